import { describe, expect, it } from "vitest";
import {
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
