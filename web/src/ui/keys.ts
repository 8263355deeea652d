/** Keys, as browsers differ in them. */

/** What a key says that belongs to a composition. */
const COMPOSING = 229;

/** Whether a key is one of an input method. Safari says that it has ended before its last key. */
export const isComposing = (event: KeyboardEvent): boolean =>
  event.isComposing || event.keyCode === COMPOSING;
