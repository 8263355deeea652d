/** Slash commands, as the machine offers them for what is typed. */

import { METHOD_NOT_FOUND, RpcError } from "../ahp/client";

export interface Command {
  /** As it is shown: `/mode NAME`. */
  label: string;
  description: string;
  /** Why it cannot be used from here, when it cannot. */
  unavailable?: string;
  insertText: string;
  /** What of the text it takes the place of. */
  from: number;
  to: number;
}

/** Whether the machine is asked: a message that begins with `/`, on its first line. */
export const asksForCommands = (text: string): boolean => /^\/[^\n]*$/.test(text);

const words = (value: unknown): string => (typeof value === "string" ? value : "");

/** What a `completions` answer offers; whatever is not understood is left out. */
export function commandsOf(result: unknown, text: string): Command[] {
  const { items } = (result ?? {}) as { items?: unknown };
  if (!Array.isArray(items)) return [];
  return items.flatMap((item: Record<string, unknown> | null): Command[] => {
    const attachment = item?.attachment as
      { label?: unknown; _meta?: Record<string, unknown> } | undefined;
    const meta = attachment?._meta?.["copilot.command"] as Record<string, unknown> | undefined;
    if (!item || typeof item.insertText !== "string" || !meta) return [];
    const place = (value: unknown, other: number) =>
      Number.isInteger(value) ? Math.min(Math.max(value as number, 0), text.length) : other;
    const from = place(item.rangeStart, text.length);
    return [
      {
        label: words(attachment?.label) || item.insertText.trim(),
        description: words(meta.description),
        ...(typeof meta.unavailable === "string" ? { unavailable: meta.unavailable } : {}),
        insertText: item.insertText,
        from,
        to: Math.max(from, place(item.rangeEnd, text.length)),
      },
    ];
  });
}

/**
 * Asks a machine what fits the text of a chat. `undefined`: it has no commands at all, as before it
 * learned them. Nothing is offered while it cannot answer; that is no failure of anything.
 */
export async function askForCommands(
  call: (method: string, params: object) => Promise<unknown>,
  channel: string,
  text: string,
): Promise<Command[] | undefined> {
  try {
    const params = { channel, kind: "userMessage", text, offset: text.length };
    return commandsOf(await call("completions", params), text);
  } catch (error) {
    return error instanceof RpcError && error.code === METHOD_NOT_FOUND ? undefined : [];
  }
}

/** The text with a command put in. */
export const withCommand = (text: string, { from, to, insertText }: Command): string =>
  text.slice(0, from) + insertText + text.slice(to);

/** Whether there is nothing left to put in: Enter means to send. */
export const isTyped = (text: string, command: Command): boolean =>
  withCommand(text, command).trim() === text.trim();
