import { expect, it } from "vitest";
import { Backoff } from "../../src/link/backoff";

it("tries at once, then waits ever longer up to thirty seconds", () => {
  const backoff = new Backoff(() => 1);
  const waits = Array.from({ length: 10 }, () => backoff.next());
  expect(waits).toEqual([0, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
});

it("starts again after a link that was well, and when something changed", () => {
  const backoff = new Backoff(() => 1);
  backoff.next();
  backoff.next();
  expect(backoff.next(60_000)).toBe(0);
  backoff.next();
  backoff.reset();
  expect(backoff.next()).toBe(0);
});

it("spreads what many devices do at the same moment", () => {
  const backoff = new Backoff(() => 0.25);
  backoff.next();
  backoff.next();
  expect(backoff.next()).toBe(250);
});
