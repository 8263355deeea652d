import { expect, it } from "vitest";
import { isUnread, type Moment } from "../../src/app/taps.svelte";

const tap = (id: string, at: number, session = "s"): Moment => ({ session, id, at });

it.each<[string, Moment | undefined, number, boolean]>([
  ["the first card is read", undefined, 1_001, false],
  ["a second tap that was meant for the card before", tap("before", 900), 1_100, true],
  ["a third one", tap("before", 900), 1_690, true],
  ["a tap after the time to read", tap("before", 900), 1_700, false],
  ["a tap long after the one before", tap("before", -500), 1_000, false],
  ["a tap on a card of another session before", tap("before", 900, "other"), 1_100, false],
  ["a tap on this card before", tap("this", 1_050), 1_100, false],
  ["a tap on another one that is there beside it", tap("beside", 1_200), 1_400, true],
])("%s", (_, last, now, unread) => {
  expect(isUnread(last, tap("this", 1_000), now)).toBe(unread);
});
