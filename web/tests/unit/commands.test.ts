import { describe, expect, it } from "vitest";
import { RpcError } from "../../src/ahp/client";
import {
  askForCommands,
  asksForCommands,
  commandsOf,
  isTyped,
  withCommand,
  type Command,
} from "../../src/app/commands";

const item = (insertText: string, meta: object, range: object = {}) => ({
  insertText,
  ...range,
  attachment: { type: "simple", label: `${insertText}NAME`, _meta: { "copilot.command": meta } },
});

describe("what a machine offers", () => {
  it("is shown with its description, and with the reason why it cannot be used", () => {
    const items = [
      item("/mode ", { description: "switch the mode" }, { rangeStart: 0, rangeEnd: 3 }),
      item("/undo ", { description: "undo", unavailable: "only at the machine" }),
    ];
    expect(commandsOf({ items }, "/mo")).toEqual([
      {
        label: "/mode NAME",
        description: "switch the mode",
        insertText: "/mode ",
        from: 0,
        to: 3,
      },
      {
        label: "/undo NAME",
        description: "undo",
        unavailable: "only at the machine",
        insertText: "/undo ",
        from: 3,
        to: 3,
      },
    ]);
  });

  it("is put where it belongs, whatever ranges it names", () => {
    const items = [item("/a", {}, { rangeStart: -7, rangeEnd: 1e9 })];
    const [command] = commandsOf({ items }, "/x 🎉");
    expect(withCommand("/x 🎉", command!)).toBe("/a");
  });

  it.each([
    undefined,
    null,
    {},
    { items: "no" },
    {
      items: [
        null,
        3,
        {},
        { insertText: 1 },
        { insertText: "x" },
        { insertText: "x", attachment: {} },
      ],
    },
  ])("is nothing where it is not understood: %j", (result) => {
    expect(commandsOf(result, "/")).toEqual([]);
  });
});

it.each([
  ["/", true],
  ["/mo", true],
  ["/mode plan", true],
  ["", false],
  ["a /b", false],
  ["/a\nb", false],
])("%j asks the machine: %s", (text, asks) => {
  expect(asksForCommands(text)).toBe(asks);
});

it.each([
  ["/plan", true],
  ["/plan ", true],
  ["/pla", false],
])("with %j typed there is nothing left to put in: %s", (text, typed) => {
  const command: Command = {
    label: "/plan",
    description: "",
    insertText: "/plan ",
    from: 0,
    to: text.length,
  };
  expect(isTyped(text, command)).toBe(typed);
});

describe("a machine is asked", () => {
  it("with the whole text and the place of its end, counted as JavaScript counts", async () => {
    const asked: unknown[] = [];
    const items = [item("/plan ", { description: "plan first" })];
    const found = await askForCommands(
      (method, params) => {
        asked.push({ method, params });
        return Promise.resolve({ items });
      },
      "ahp-chat:/x",
      "/🎉",
    );
    expect(asked).toEqual([
      {
        method: "completions",
        params: { channel: "ahp-chat:/x", kind: "userMessage", text: "/🎉", offset: 3 },
      },
    ]);
    expect(found).toHaveLength(1);
  });

  it.each([
    ["does not know the method", new RpcError(-32601, "method not found"), undefined],
    ["went away", new RpcError(0, "The connection to the machine was lost."), []],
    ["fails otherwise", new RpcError(-32603, "internal"), []],
  ])("and nothing is shown when it %s", async (_what, error, expected) => {
    const found = await askForCommands(() => Promise.reject(error), "ahp-chat:/x", "/");
    expect(found).toEqual(expected);
  });
});
