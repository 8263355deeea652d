/** How figures are made and printed: one a line. Nothing here judges them. */

export function title(text: string): void {
  console.log(text);
}

export function figure(what: string, value: string): void {
  console.log(`  ${what}: ${value}`);
}

/** The middle, the worst but one in a hundred, and the worst of some times. */
export function times(what: string, all: number[]): void {
  const sorted = all.toSorted((a, b) => a - b);
  const at = (part: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!;
  const worst = at(1);
  figure(what, `p50 ${ms(at(0.5))}, p99 ${ms(at(0.99))}, worst ${ms(worst)} of ${sorted.length}`);
}

/** The middle and the worst, where there are too few for more. */
export function few(what: string, all: number[]): void {
  const sorted = all.toSorted((a, b) => a - b);
  figure(
    what,
    `${ms(sorted[sorted.length >> 1]!)} median, ${ms(sorted.at(-1)!)} worst of ${all.length}`,
  );
}

export const ms = (time: number): string => `${time.toFixed(1)} ms`;
export const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
export const kb = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;
