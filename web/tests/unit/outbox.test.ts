import { describe, expect, it } from "vitest";
import type { AhpClient, Outcome } from "../../src/ahp/client";
import type { Database } from "../../src/app/database";
import { Outbox, type Entry } from "../../src/app/outbox.svelte";

const entry: Entry = {
  id: "turn",
  session: "1",
  channel: "ahp-chat:/1",
  action: { type: "chat/turnStarted" } as Entry["action"],
  kind: "prompt",
  label: "hello",
  at: 0,
};

describe("Outbox", () => {
  it("sends at once, and leaves nothing behind when the answer comes before it is kept", async () => {
    const done: string[] = [];
    let keep: () => void = () => undefined;
    let answer: (outcome: Outcome) => void = () => undefined;
    const database = {
      seal: () => new Promise<void>((resolve) => (keep = resolve)).then(() => done.push("kept")),
      remove: () => Promise.resolve(done.push("removed")),
    } as unknown as Database;
    const client = {
      dispatch: () => {
        done.push("sent");
        return new Promise<Outcome>((resolve) => (answer = resolve));
      },
    } as unknown as AhpClient;
    const outbox = new Outbox("machine", database, client);
    const put = outbox.put(entry);
    expect(done).toEqual(["sent"]);
    answer({ kind: "applied" });
    await new Promise((resolve) => setImmediate(resolve));
    expect(outbox.items).toEqual([]);
    keep();
    await put;
    await new Promise((resolve) => setImmediate(resolve));
    expect(done).toEqual(["sent", "kept", "removed"]);
  });
});
