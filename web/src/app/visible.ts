/** Text of unknown origin, made safe to look at: what cannot be seen is shown, what moves is stopped. */

/** Controls except tab and newline, and what is invisible or moves other characters. */
const HIDDEN =
  // Each of them is meant alone.
  // eslint-disable-next-line no-misleading-character-class
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{e0000}-\u{e0fff}]/gu;

const PICTURE = /[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]/u;
const KEYCAP = /[0-9#*]/;
/** Letters of scripts in which joiners are spelling. */
const JOINED =
  /(?![\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{Script=Inherited}])[\p{L}\p{M}]/u;
const FLAG = /\u{1f3f4}[\u{e0020}-\u{e007f}]*$/u;

/** Whether a hidden character is part of a picture or of a word where it stands. */
function belongs(char: string, text: string, at: number): boolean {
  const before = Array.from(text.slice(Math.max(0, at - 2), at)).at(-1) ?? "";
  const after = String.fromCodePoint(text.codePointAt(at + char.length) ?? 0);
  switch (char) {
    case "\u200d":
      if (PICTURE.test(before) && PICTURE.test(after)) return true;
    // falls through
    case "\u200c":
      return JOINED.test(before) && JOINED.test(after);
    case "\ufe0e":
    case "\ufe0f":
      return PICTURE.test(before) || KEYCAP.test(before);
    default:
      return char.length === 2 && FLAG.test(text.slice(Math.max(0, at - 16), at));
  }
}

/** Marks every character that could make a command or a path look like another one. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (char: string, at: number) => {
    if (belongs(char, text, at)) return char;
    const code = char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
    return `⟨U+${code}⟩`;
  });
}

/** One line of it, for titles. */
export const oneLine = (text: string): string => visible(text.replace(/[\n\t]+/g, " ")).trim();

// CSI, OSC and the two-character sequences.
const ANSI =
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[PX^_][^\u001b]*\u001b\\|[ -/]*[0-~])/g;

/** A command's output as a terminal without colours would leave it. */
export function terminalText(output: string): string {
  const lines = output.replace(ANSI, "").replaceAll("\r\n", "\n").split("\n");
  // A carriage return starts the line anew, as progress bars do.
  return visible(
    lines
      .map((line) => line.slice(line.lastIndexOf("\r", line.length - 2) + 1).replace(/\r$/, ""))
      .join("\n"),
  );
}

const PIECE = 20_000;

/** A long text in pieces that end with a line where they can. */
export function piecesOf(text: string): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length;) {
    let to = Math.min(at + PIECE, text.length);
    if (to < text.length) {
      const line = text.lastIndexOf("\n", to - 1);
      if (line >= at) to = line + 1;
      // Not between the halves of a character.
      else if (/[\ud800-\udbff]/.test(text[to - 1]!)) to -= 1;
    }
    pieces.push(text.slice(at, to));
    at = to;
  }
  return pieces;
}
