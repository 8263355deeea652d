/** The difference of two texts, line by line. Pure; bounded in time for any input. */

export interface Line {
  kind: "same" | "added" | "removed";
  text: string;
}

/** Cells of the table for one stretch without anchors; beyond it, all is removed and added. */
const MAX_CELLS = 1_000_000;

export function diffLines(before: string, after: string): Line[] {
  const old = before === "" ? [] : before.split("\n");
  const now = after === "" ? [] : after.split("\n");
  // What ends the last line begins no other one. It is shown only where one side lacks it.
  if (ends(before) && ends(after)) {
    old.pop();
    now.pop();
  }
  const lines: Line[] = [];
  compare(old, 0, old.length, now, 0, now.length, lines);
  return lines;
}

const ends = (text: string): boolean => text === "" || text.endsWith("\n");

function compare(
  old: string[],
  oldFrom: number,
  oldTo: number,
  now: string[],
  nowFrom: number,
  nowTo: number,
  lines: Line[],
): void {
  while (oldFrom < oldTo && nowFrom < nowTo && old[oldFrom] === now[nowFrom]) {
    lines.push({ kind: "same", text: old[oldFrom]! });
    oldFrom += 1;
    nowFrom += 1;
  }
  let tail = 0;
  while (
    oldFrom < oldTo - tail &&
    nowFrom < nowTo - tail &&
    old[oldTo - 1 - tail] === now[nowTo - 1 - tail]
  ) {
    tail += 1;
  }
  middle(old, oldFrom, oldTo - tail, now, nowFrom, nowTo - tail, lines);
  for (let i = oldTo - tail; i < oldTo; i += 1) lines.push({ kind: "same", text: old[i]! });
}

function middle(
  old: string[],
  oldFrom: number,
  oldTo: number,
  now: string[],
  nowFrom: number,
  nowTo: number,
  lines: Line[],
): void {
  if (oldFrom < oldTo && nowFrom < nowTo) {
    const anchors = uniqueInBoth(old, oldFrom, oldTo, now, nowFrom, nowTo);
    if (anchors.length > 0) {
      let [o, n] = [oldFrom, nowFrom];
      for (const [oldAt, nowAt] of anchors) {
        compare(old, o, oldAt, now, n, nowAt, lines);
        lines.push({ kind: "same", text: old[oldAt]! });
        [o, n] = [oldAt + 1, nowAt + 1];
      }
      compare(old, o, oldTo, now, n, nowTo, lines);
      return;
    }
    if ((oldTo - oldFrom) * (nowTo - nowFrom) <= MAX_CELLS) {
      longestCommon(old.slice(oldFrom, oldTo), now.slice(nowFrom, nowTo), lines);
      return;
    }
  }
  for (let i = oldFrom; i < oldTo; i += 1) lines.push({ kind: "removed", text: old[i]! });
  for (let i = nowFrom; i < nowTo; i += 1) lines.push({ kind: "added", text: now[i]! });
}

/** Lines that occur once on either side, as far as they are in the same order on both. */
function uniqueInBoth(
  old: string[],
  oldFrom: number,
  oldTo: number,
  now: string[],
  nowFrom: number,
  nowTo: number,
): [number, number][] {
  const seen = new Map<string, { old: number; now: number; count: number }>();
  for (let i = oldFrom; i < oldTo; i += 1) {
    const entry = seen.get(old[i]!);
    if (entry) entry.count = -1;
    else seen.set(old[i]!, { old: i, now: -1, count: 0 });
  }
  for (let i = nowFrom; i < nowTo; i += 1) {
    const entry = seen.get(now[i]!);
    if (!entry || entry.count < 0) continue;
    entry.count += 1;
    entry.now = i;
  }
  const pairs = [...seen.values()]
    .filter((entry) => entry.count === 1)
    .map((entry): [number, number] => [entry.old, entry.now]);
  return longestIncreasing(pairs);
}

/** Of pairs that rise in the first number, the most that also rise in the second. */
function longestIncreasing(pairs: [number, number][]): [number, number][] {
  const tails: number[] = [];
  const previous = new Array<number>(pairs.length);
  pairs.forEach(([, value], i) => {
    let [low, high] = [0, tails.length];
    while (low < high) {
      const half = (low + high) >> 1;
      if (pairs[tails[half]!]![1] < value) low = half + 1;
      else high = half;
    }
    previous[i] = low > 0 ? tails[low - 1]! : -1;
    tails[low] = i;
  });
  const chosen: [number, number][] = [];
  for (let i = tails.at(-1) ?? -1; i >= 0; i = previous[i]!) chosen.push(pairs[i]!);
  return chosen.reverse();
}

function longestCommon(old: string[], now: string[], lines: Line[]): void {
  const width = now.length + 1;
  const table = new Uint32Array((old.length + 1) * width);
  for (let o = old.length - 1; o >= 0; o -= 1) {
    for (let n = now.length - 1; n >= 0; n -= 1) {
      table[o * width + n] =
        old[o] === now[n]
          ? table[(o + 1) * width + n + 1]! + 1
          : Math.max(table[(o + 1) * width + n]!, table[o * width + n + 1]!);
    }
  }
  let [o, n] = [0, 0];
  while (o < old.length || n < now.length) {
    if (o < old.length && n < now.length && old[o] === now[n]) {
      lines.push({ kind: "same", text: old[o]! });
      o += 1;
      n += 1;
    } else if (
      n >= now.length ||
      (o < old.length && table[(o + 1) * width + n]! >= table[o * width + n + 1]!)
    ) {
      lines.push({ kind: "removed", text: old[o]! });
      o += 1;
    } else {
      lines.push({ kind: "added", text: now[n]! });
      n += 1;
    }
  }
}

export type Row = { kind: "line"; line: Line } | { kind: "gap"; lines: number };

const CONTEXT = 3;

/** Changes with a few lines around them; longer stretches without a change become a gap. */
export function rowsOf(lines: Line[]): Row[] {
  const near = new Uint8Array(lines.length);
  lines.forEach((line, i) => {
    if (line.kind === "same") return;
    const to = Math.min(lines.length - 1, i + CONTEXT);
    for (let k = Math.max(0, i - CONTEXT); k <= to; k += 1) near[k] = 1;
  });
  const rows: Row[] = [];
  lines.forEach((line, i) => {
    const last = rows.at(-1);
    if (near[i]) rows.push({ kind: "line", line });
    else if (last?.kind === "gap") last.lines += 1;
    else rows.push({ kind: "gap", lines: 1 });
  });
  return rows;
}
