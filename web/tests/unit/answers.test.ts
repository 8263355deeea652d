import { describe, expect, it } from "vitest";
import type { ChatInputQuestion } from "../../src/ahp/types";
import { answersOf, initial, valueOf, type Field } from "../../src/app/answers";

const ask = (kind: string, more: Partial<ChatInputQuestion> = {}): ChatInputQuestion => ({
  kind,
  id: "q",
  message: "?",
  ...more,
});
const field = (more: Partial<Field>): Field => ({
  text: "",
  chosen: [],
  own: "",
  yes: undefined,
  ...more,
});

const rows: [string, ChatInputQuestion, Partial<Field>, unknown][] = [
  ["text", ask("text"), { text: "a" }, { value: { kind: "text", value: "a" } }],
  ["no text where none is needed", ask("text"), {}, { value: undefined }],
  ["a whole number", ask("integer"), { text: "3" }, { value: { kind: "number", value: 3 } }],
  ["yes", ask("boolean"), { yes: true }, { value: { kind: "boolean", value: true } }],
  ["no", ask("boolean"), { yes: false }, { value: { kind: "boolean", value: false } }],
  [
    "a choice",
    ask("single-select"),
    { chosen: ["a"] },
    { value: { kind: "selected", value: "a" } },
  ],
  [
    "own words instead of a choice",
    ask("single-select"),
    { own: "else" },
    { value: { kind: "selected", value: "else", freeformValues: ["else"] } },
  ],
  [
    "several choices",
    ask("multi-select", { min: 1, max: 2 }),
    { chosen: ["a", "b"] },
    { value: { kind: "selected-many", value: ["a", "b"] } },
  ],
];

describe("a filled field becomes the protocol's value", () => {
  it.each(rows)("%s", (_name, question, filled, expected) => {
    expect(valueOf(question, field(filled))).toEqual(expected);
  });
});

const wrong: [string, ChatInputQuestion, Partial<Field>][] = [
  ["nothing where something is needed", ask("text", { required: true }), {}],
  ["words for a number", ask("number"), { text: "three" }],
  ["a fraction for a whole number", ask("integer"), { text: "1.5" }],
  ["too small", ask("number", { min: 2 }), { text: "1" }],
  ["too large", ask("number", { max: 2 }), { text: "3" }],
  ["too many choices", ask("multi-select", { max: 1 }), { chosen: ["a", "b"] }],
  ["no choice where one is needed", ask("single-select", { required: true }), {}],
];

describe("a field that does not fit says so", () => {
  it.each(wrong)("%s", (_name, question, filled) => {
    expect(valueOf(question, field(filled))).toHaveProperty("problem");
  });
});

it("starts with what the question proposes", () => {
  expect(initial(ask("number", { defaultValue: 3 })).text).toBe("3");
  expect(initial(ask("boolean", { defaultValue: false })).yes).toBe(false);
});

it("answers all questions or names each that is wrong", () => {
  const questions = [ask("text", { id: "a", required: true }), ask("text", { id: "b" })];
  expect(answersOf(questions, {})).toEqual({ problems: { a: expect.any(String) } });
  expect(answersOf(questions, { a: field({ text: "x" }) })).toEqual({
    answers: { a: { state: "submitted", value: { kind: "text", value: "x" } } },
  });
});
