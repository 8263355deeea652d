/** The version of the page, from its package. */
declare const __BUILD__: string;
