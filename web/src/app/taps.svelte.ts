/**
 * Taps on the cards of requests. A card comes to where the one before it was, and a tap too many on
 * that one would allow what nobody has read.
 */

/** Nobody reads a card in less. */
const UNREAD_MS = 700;
/** So much later somebody may still tap once more. */
const AGAIN_MS = 1_500;

/** When a card was tapped, or came; ids are those of one session. */
export interface Moment {
  session: string;
  id: string;
  at: number;
}

/** Whether a yes to a card that came just now may be meant for another one, which was tapped `last`. */
export function isUnread(last: Moment | undefined, came: Moment, now: number): boolean {
  return (
    last !== undefined &&
    last.session === came.session &&
    last.id !== came.id &&
    now - last.at < AGAIN_MS &&
    now - came.at < UNREAD_MS
  );
}

let last: Moment | undefined;

/** Made while a component is made; kept as long as it lives. */
export class Card {
  /** It came after a tap, and shows that it takes no yes yet. */
  isFresh = $state(false);
  private readonly came: Moment;

  constructor(session: string, id: string) {
    this.came = { session, id, at: performance.now() };
    this.isFresh = this.isUnread();
    $effect(() => {
      const timer = setTimeout(() => (this.isFresh = false), UNREAD_MS);
      return () => clearTimeout(timer);
    });
  }

  isUnread(): boolean {
    return isUnread(last, this.came, performance.now());
  }

  tapped(): void {
    last = { ...this.came, at: performance.now() };
  }
}
