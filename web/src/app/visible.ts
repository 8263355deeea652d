/** Text of unknown origin, made safe to look at: what cannot be seen is shown, what moves is stopped. */

/** Controls except tab and newline, zero-width and bidirectional formatting characters. */
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udc7f]/g;

/** Marks every character that could make a command or a path look like another one. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (char) => {
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
