import { describe, expect, it } from "vitest";
import type { AhpClient, Outcome } from "../../src/ahp/client";
import type { Database } from "../../src/app/database";
import {
  Outbox,
  sendAs,
  type Entry,
  type EntryKind,
  type OutboxItem,
} from "../../src/app/outbox.svelte";

const entry: Entry = {
  id: "turn",
  session: "1",
  channel: "ahp-chat:/1",
  action: { type: "chat/turnStarted" },
  kind: "prompt",
  label: "hello",
  at: 0,
};

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A client that can be reached or not, and a disk; `events` is what happened, in order. */
function start(kept: Record<string, OutboxItem> = {}) {
  const events: string[] = [];
  const disk = new Map(Object.entries(kept));
  const answers: ((outcome: Outcome) => void)[] = [];
  const client = {
    isReady: true,
    chat: undefined as object | undefined,
    state: () => client.chat,
    dispatch: (_channel: string, action: { id?: string }, again: boolean) => {
      events.push(`sent ${action.id ?? ""}${again ? " again" : ""}`);
      return new Promise<Outcome>((resolve) => answers.push(resolve));
    },
  };
  const database = {
    seal: async (_store: string, key: string, value: OutboxItem) => {
      await Promise.resolve();
      events.push(`kept ${key}${value.unsent ? " unsent" : ""}`);
      disk.set(key, value);
    },
    open: (_store: string, key: string) => Promise.resolve(disk.get(key)),
    openAll: () => Promise.resolve([...disk].map(([key, value]) => ({ key, value }))),
    remove: (_store: string, key: string) => {
      events.push(`removed ${key}`);
      disk.delete(key);
      return Promise.resolve();
    },
  };
  const device = { online: true };
  const outbox = new Outbox(
    "m",
    database as unknown as Database,
    client as unknown as AhpClient,
    () => device.online,
  );
  return { outbox, client, device, disk, events, answers };
}

const other = (id: string, session = "1"): Entry => ({
  ...entry,
  id,
  session,
  action: { type: "chat/pendingMessageSet", id },
});

describe("Outbox", () => {
  it("sends at once, and leaves nothing behind when the answer comes before it is kept", async () => {
    const { outbox, events, answers, disk } = start();
    const put = outbox.put(other("a"));
    expect(events).toEqual(["sent a"]);
    answers[0]!({ kind: "applied" });
    await put;
    await settled();
    expect(outbox.items).toEqual([]);
    expect(events).toEqual(["sent a", "kept m/1/a", "removed m/1/a"]);
    expect(disk.size).toBe(0);
  });

  it("keeps what two sessions call the same apart", async () => {
    const { outbox, answers, disk } = start();
    const plan = (session: string): Entry => ({ ...other("plan-1", session), kind: "answer" });
    await outbox.put(plan("1"));
    await outbox.put({ ...plan("2"), label: "Leave" });
    expect([...disk.keys()]).toEqual(["m/1/plan-1", "m/2/plan-1"]);
    answers[0]!({ kind: "applied" });
    answers[1]!({ kind: "rejected", reason: "no" });
    await settled();
    expect(outbox.acceptedFor("1", "plan-1")).toBe("hello");
    expect(outbox.acceptedFor("2", "plan-1")).toBeUndefined();
    expect(outbox.find("1", "plan-1")).toBeUndefined();
    expect(outbox.find("2", "plan-1")).toMatchObject({ rejected: "no", label: "Leave" });
  });

  it("reads what earlier versions kept without its session", async () => {
    const { outbox, disk, events } = start({ "m/a": other("a"), "m/2/b": other("b", "2") });
    await outbox.restore(await outbox.read(), () => true);
    expect([...disk.keys()].sort()).toEqual(["m/1/a", "m/2/b"]);
    expect(events.filter((event) => event.startsWith("sent"))).toEqual([
      "sent a again",
      "sent b again",
    ]);
  });

  it("does not set a mode or a name again that an earlier version kept", async () => {
    const mode = { ...entry, id: "mode-1", action: { type: "session/configChanged" } };
    const { outbox, disk, events } = start({ "m/mode-1": mode });
    await outbox.restore(await outbox.read(), () => true);
    expect(disk.size).toBe(0);
    expect(events).toEqual(["removed m/mode-1"]);
  });

  it("forgets refused taps that were told of, and keeps what was typed", async () => {
    const refused = { rejected: "no" };
    const { outbox } = start({
      "m/1/answer": { ...other("answer"), kind: "answer", ...refused },
      "m/1/prompt": { ...other("prompt"), ...refused },
      "m/gone/answer": { ...other("answer", "gone"), kind: "answer", ...refused },
      "m/gone/stop": { ...other("stop", "gone"), kind: "other", ...refused },
    });
    await outbox.restore(await outbox.read(), (session) => session === "1");
    const left = outbox.items.map(({ session, id }) => `${session}/${id}`);
    expect(left).toEqual(["1/prompt", "gone/answer"]);
  });
});

describe("what was typed without a connection", () => {
  it("can be taken back until it goes out", async () => {
    const { outbox, client, events, disk } = start();
    client.isReady = false;
    await outbox.put(other("a"));
    await outbox.put(other("b"));
    expect(events).toEqual(["kept m/1/a unsent", "kept m/1/b unsent"]);
    expect(await outbox.takeBack(other("a"))).toBe(true);
    await settled();
    expect([...disk.keys()]).toEqual(["m/1/b"]);
    client.isReady = true;
    events.length = 0;
    await outbox.flush();
    // That it may have arrived is known before it can arrive.
    expect(events).toEqual(["kept m/1/b", "sent b"]);
    expect(await outbox.takeBack(other("b"))).toBe(false);
    expect(outbox.items).toHaveLength(1);
  });

  it("waits as well when the connection does not know yet that the network is gone", async () => {
    const { outbox, device, events } = start();
    device.online = false;
    await outbox.put(other("a"));
    expect(events).toEqual(["kept m/1/a unsent"]);
    device.online = true;
    await outbox.flush();
    expect(events.at(-1)).toBe("sent a");
  });

  it("can be taken back after a reload, unless it may have arrived", async () => {
    const { outbox, client, events } = start({
      "m/1/a": { ...other("a"), unsent: true },
      "m/1/b": other("b"),
    });
    client.isReady = false;
    await outbox.restore(await outbox.read(), () => true);
    expect(events).toEqual(["sent b again"]);
    expect(await outbox.takeBack(other("b"))).toBe(false);
    expect(await outbox.takeBack(other("a"))).toBe(true);
    client.isReady = true;
    await outbox.flush();
    expect(events.some((event) => event === "sent a")).toBe(false);
  });

  it("goes out in the order in which it was typed", async () => {
    const { outbox, client, events } = start();
    client.isReady = false;
    await outbox.put(other("a"));
    await outbox.put(other("b"));
    client.isReady = true;
    void outbox.flush();
    await outbox.put(other("c"));
    await settled();
    const sent = events.filter((event) => event.startsWith("sent"));
    expect(sent).toEqual(["sent a", "sent b", "sent c"]);
  });

  it("is not overtaken while it is written down before it goes", async () => {
    const { outbox, client, events } = start();
    client.isReady = false;
    await outbox.put(other("a"));
    client.isReady = true;
    const flushed = outbox.flush();
    // Nothing waits any more, and the first one has not gone yet.
    await Promise.all([outbox.put(other("b")), flushed]);
    await settled();
    const sent = events.filter((event) => event.startsWith("sent"));
    expect(sent).toEqual(["sent a", "sent b"]);
    expect(outbox.items.some((item) => item.unsent)).toBe(false);
  });

  it("is not taken back when another tab has sent it", async () => {
    const { outbox, client, disk } = start();
    client.isReady = false;
    await outbox.put(other("a"));
    disk.set("m/1/a", other("a"));
    expect(await outbox.takeBack(other("a"))).toBe(false);
    disk.clear();
    expect(await outbox.takeBack(other("a"))).toBe(false);
  });

  it("does not go out when another tab took it back", async () => {
    const { outbox, client, events, disk } = start();
    client.isReady = false;
    await outbox.put(other("a"));
    disk.clear();
    client.isReady = true;
    await outbox.flush();
    expect(outbox.items).toEqual([]);
    expect(events.some((event) => event.startsWith("sent"))).toBe(false);
  });
});

describe("what is typed after what has not arrived", () => {
  const item = (kind: EntryKind, more: object = {}): OutboxItem => ({ ...entry, kind, ...more });

  it.each<[EntryKind[], "idle" | "running", string]>([
    [[], "idle", "prompt"],
    [["prompt"], "idle", "queued"],
    [["steer"], "idle", "queued"],
    [["queue"], "idle", "queued"],
    [["answer", "other"], "idle", "prompt"],
    [[], "running", "steering"],
    [["prompt"], "running", "queued"],
    [["steer"], "running", "queued"],
    [["queue"], "running", "steering"],
  ])("goes after %j of a session that is %s as %s", (kinds, is, how) => {
    const items = kinds.map((kind) => item(kind));
    expect(sendAs(items, is === "running", false)).toBe(how);
  });

  it("goes after a message that waits to join the turn", () => {
    expect(sendAs([], true, true)).toBe("queued");
    expect(sendAs([], false, true)).toBe("queued");
  });

  it("does not wait for what was refused", () => {
    expect(sendAs([item("prompt", { rejected: "no" })], false, false)).toBe("prompt");
  });
});

describe("what is refused", () => {
  it("can be taken back, also when it could never be sent", async () => {
    const { outbox, answers, disk } = start();
    await outbox.put(other("a"));
    answers[0]!({ kind: "rejected", reason: "This is too long" });
    await settled();
    expect(outbox.items).toMatchObject([{ id: "a", rejected: "This is too long" }]);
    expect(disk.get("m/1/a")).toMatchObject({ rejected: "This is too long" });
    expect(await outbox.takeBack(other("a"))).toBe(true);
    await settled();
    expect(disk.size).toBe(0);
  });

  it("is done when it was asked for before and is so", async () => {
    const { outbox, client, answers } = start();
    client.chat = { turns: [] };
    const action = { type: "chat/pendingMessageRemoved", id: "a", kind: "queued" };
    await outbox.put({ ...other("remove-a"), kind: "other", action });
    answers[0]!({ kind: "rejected", reason: "does not wait any more", again: true });
    await settled();
    expect(outbox.items).toEqual([]);
  });
});

it("what was typed for a session that is gone is kept until somebody lets it go", async () => {
  const { outbox, disk, events } = start();
  await outbox.lose(other("draft"), "It is gone.");
  expect(outbox.items).toMatchObject([{ id: "draft", rejected: "It is gone." }]);
  expect([...disk.keys()]).toEqual(["m/1/draft"]);
  expect(events.some((event) => event.startsWith("sent"))).toBe(false);
});
