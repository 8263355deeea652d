/** How long to wait before the next attempt: none at first, then full jitter up to 30 s. */

const CAP_MS = 30_000;
const BASE_MS = 500;
/** A link that was well for this long starts again without waiting. */
const HEALTHY_MS = 60_000;

export class Backoff {
  private failures = 0;

  constructor(private readonly random: () => number = Math.random) {}

  /** Milliseconds until the next attempt; `livedMs` is how long the last link was up. */
  next(livedMs = 0): number {
    if (livedMs >= HEALTHY_MS) this.failures = 0;
    const ceiling = this.failures === 0 ? 0 : Math.min(CAP_MS, BASE_MS * 2 ** (this.failures - 1));
    this.failures += 1;
    return Math.round(this.random() * ceiling);
  }

  /** Something changed that may well have been the reason: try at once. */
  reset(): void {
    this.failures = 0;
  }
}
