import { describe, expect, it } from "vitest";
import { diffLines, rowsOf, type Line } from "../../src/app/diff";

const side = (lines: Line[], without: Line["kind"]) =>
  lines.filter((line) => line.kind !== without).map((line) => line.text);

const textOf = (lines: string[]) => lines.join("\n");

function randomText(seed: { value: number }, lines: number, words: number): string {
  const next = () => {
    seed.value = (seed.value * 1103515245 + 12345) & 0x7fffffff;
    return seed.value;
  };
  return textOf(Array.from({ length: lines }, () => `line ${next() % words}`));
}

describe("diffLines", () => {
  it("shows what was added and removed", () => {
    expect(diffLines("a\nb\nc", "a\nx\nc\nd")).toEqual([
      { kind: "same", text: "a" },
      { kind: "removed", text: "b" },
      { kind: "added", text: "x" },
      { kind: "same", text: "c" },
      { kind: "added", text: "d" },
    ]);
  });

  it("shows a new and a deleted file whole", () => {
    expect(diffLines("", "a\nb").every((line) => line.kind === "added")).toBe(true);
    expect(diffLines("a\nb", "").every((line) => line.kind === "removed")).toBe(true);
    expect(diffLines("", "")).toEqual([]);
  });

  it("shows the end of the last line only where one side lacks it", () => {
    const added = (text: string) => ({ kind: "added", text });
    expect(diffLines("a\n", "a\nb\n")).toEqual([{ kind: "same", text: "a" }, added("b")]);
    expect(diffLines("", "a\n")).toEqual([added("a")]);
    expect(diffLines("a", "a\n")).toEqual([{ kind: "same", text: "a" }, added("")]);
  });

  it("gives back both sides, whatever they are", () => {
    const seed = { value: 7 };
    for (let run = 0; run < 200; run += 1) {
      const before = randomText(seed, 1 + (run % 40), 1 + (run % 13));
      const after = randomText(seed, 1 + ((run * 7) % 40), 1 + (run % 11));
      const lines = diffLines(before, after);
      expect(textOf(side(lines, "added"))).toBe(before);
      expect(textOf(side(lines, "removed"))).toBe(after);
    }
  });

  it("is bounded for twenty thousand lines that have nothing in common", () => {
    const before = Array.from({ length: 20_000 }, (_, i) => `a${i % 3}`).join("\n");
    const after = Array.from({ length: 20_000 }, (_, i) => `b${i % 3}`).join("\n");
    expect(diffLines(before, after)).toHaveLength(40_000);
  });
});

describe("rowsOf", () => {
  it("keeps three lines around a change and folds the rest", () => {
    const before = Array.from({ length: 30 }, (_, i) => `${i}`);
    const lines = diffLines(textOf(before), textOf(before.with(15, "x")));
    const rows = rowsOf(lines);
    expect(rows.at(0)).toEqual({ kind: "gap", lines: 12 });
    expect(rows.at(-1)).toEqual({ kind: "gap", lines: 11 });
    expect(rows.filter((row) => row.kind === "line")).toHaveLength(8);
  });
});
