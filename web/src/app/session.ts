/** What the page asks of a session's summary and states. Pure. */

import type {
  Action,
  ChatInputRequest,
  ChatState,
  FileEdit,
  ResponsePart,
  SessionState,
  SessionSummary,
  ToolCall,
} from "../ahp/types";
import { pathOf } from "./content";
import { texts } from "./texts";
import { oneLine } from "./visible";

export type Need = "needs-permission" | "needs-answer" | "plan-ready";

const NEEDS = ["needs-permission", "needs-answer", "plan-ready"];
const RUNNING = ["starting", "working"];

const meta = (of: { _meta?: Record<string, unknown> } | undefined, key: string): unknown =>
  of?._meta?.[`copilot.${key}`];

export function stateOf(of: SessionSummary | SessionState | undefined): string {
  const state = meta(of, "state");
  return typeof state === "string" ? state : "idle";
}

export const needsSomeone = (of: SessionSummary): boolean => NEEDS.includes(stateOf(of));
export const isRunning = (of: SessionSummary): boolean => RUNNING.includes(stateOf(of));

export const idOf = (resource: string): string => resource.slice(resource.indexOf("/") + 1);
export const sessionUri = (id: string): string => `ahp-session:/${id}`;
export const chatUri = (id: string): string => `ahp-chat:/${id}`;

/** The last name of the session's folder. */
export function folderName(of: { workingDirectories?: string[] } | undefined): string {
  const uri = of?.workingDirectories?.[0];
  if (!uri) return "";
  try {
    return decodeURIComponent(new URL(uri).pathname.split("/").filter(Boolean).at(-1) ?? "/");
  } catch {
    return uri;
  }
}

/** The group in which a session is listed. */
export type Group = "needs" | "running" | "earlier";

export function groupOf(summary: SessionSummary): Group {
  if (needsSomeone(summary)) return "needs";
  return isRunning(summary) ? "running" : "earlier";
}

/** What the list can be narrowed to. */
export const FILTERS = ["all", "needs", "running", "error", "stored"] as const;
export type Filter = (typeof FILTERS)[number];

export function passes(summary: SessionSummary, filter: Filter): boolean {
  if (filter === "all") return true;
  if (filter === "needs") return needsSomeone(summary);
  if (filter === "running") return isRunning(summary);
  return stateOf(summary) === filter;
}

/** The newest first. */
export function byTime(a: SessionSummary, b: SessionSummary): number {
  return a.modifiedAt < b.modifiedAt ? 1 : a.modifiedAt > b.modifiedAt ? -1 : 0;
}

export function matches(summary: SessionSummary, machine: string, words: string): boolean {
  const text = `${summary.title} ${folderName(summary)} ${machine}`.toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

export interface Todo {
  content: string;
  status: string;
}

export function todosOf(session: SessionState | undefined): Todo[] {
  const todos = meta(session, "todos");
  if (!Array.isArray(todos)) return [];
  return todos.filter((todo): todo is Todo => typeof (todo as Todo | null)?.content === "string");
}

export interface PlanVersion {
  version: number;
  name: string;
  uri: string;
  size: number;
}

/** The plans that were proposed, the newest last. */
export function plansOf(session: SessionState | undefined): PlanVersion[] {
  const plans = meta(session, "plans");
  if (!Array.isArray(plans)) return [];
  return plans.filter(
    (plan): plan is PlanVersion => typeof (plan as PlanVersion | null)?.uri === "string",
  );
}

/** How many older turns this device does not get, and because of which limit. */
export function leftOutOf(
  chat: ChatState | undefined,
): { turns: number; limitBytes: number } | undefined {
  const left = meta(chat, "leftOut") as { turns?: unknown; limitBytes?: unknown } | undefined;
  return typeof left?.turns === "number" && typeof left.limitBytes === "number"
    ? { turns: left.turns, limitBytes: left.limitBytes }
    : undefined;
}

export interface Person {
  name: string;
  trust: string;
}

export function clientsOf(session: SessionState | undefined): Person[] {
  const clients = meta(session, "clients");
  return Array.isArray(clients) ? (clients as Person[]) : [];
}

export const isCancelling = (session: SessionState | undefined): boolean =>
  meta(session, "cancelling") === true;

export function confinementOf(session: SessionState | undefined): string | undefined {
  const value = meta(session, "confinement");
  return typeof value === "string" ? value : undefined;
}

export const textsOfConfinement = (confinement: string | undefined): string | undefined =>
  confinement === undefined
    ? undefined
    : confinement === "confined"
      ? texts.confinedHint
      : texts.cooperativeHint;

export function configOf(session: SessionState | undefined, key: string): unknown {
  return session?.config?.values?.[key];
}

/** The modes that the session's schema offers. */
export function modesOf(session: SessionState | undefined): string[] {
  return session?.config?.schema?.properties?.mode?.enum ?? [];
}

export interface Answered {
  by: Person;
  at: string;
  choice: string;
}

/** Who answered a question or a permission, by its id. */
export function answerOf(session: SessionState | undefined, id: string): Answered | undefined {
  const answers = meta(session, "answers") as Record<string, Answered> | undefined;
  return answers && Object.hasOwn(answers, id) ? answers[id] : undefined;
}

export function callAnsweredBy(call: ToolCall): { name: string; choice: string } | undefined {
  const answered = meta(call, "answeredBy") as { name?: unknown; choice?: unknown } | undefined;
  return typeof answered?.name === "string"
    ? { name: answered.name, choice: String(answered.choice ?? "") }
    : undefined;
}

/** Who answered and how, as it is said. */
export function saidBy(name: string, choice: string): string {
  const how = Object.hasOwn(texts.choices, choice) ? texts.choices[choice]! : oneLine(choice);
  const who = name === "policy" ? texts.rule : oneLine(name);
  return how ? texts.answeredBy(who, how) : who;
}

export interface PermissionMeta {
  kind: string;
  subject: string;
  reason: string;
}

export function permissionOf(call: ToolCall): PermissionMeta | undefined {
  return meta(call, "permission") as PermissionMeta | undefined;
}

/**
 * What a yes to a change covers beside the edits that are shown, in lines. The input is left out
 * where it only says their paths; of the subject comes what neither of them says.
 */
export function besideEdits(input: string, subject: string, edits: FileEdit[]): string {
  const sides = edits.flatMap((edit) => [edit.before, edit.after]);
  const paths = new Set(sides.flatMap((side) => (side ? [pathOf(side.uri)] : [])));
  const lines = input.split("\n");
  const shown = lines.every((line) => paths.has(line)) ? [] : lines;
  const isNew = (line: string) => line && !paths.has(line) && !lines.includes(line);
  return [...shown, ...subject.split("\n").filter(isNew)].join("\n");
}

export const callKind = (call: ToolCall): string => String(meta(call, "kind") ?? "other");

export type Open =
  | { kind: "permission"; id: string; turnId: string; call: ToolCall }
  | { kind: "question"; id: string; request: ChatInputRequest };

/** What waits for a person, the oldest first. */
export function openRequests(chat: ChatState | undefined): Open[] {
  const turn = chat?.activeTurn;
  if (!turn) return [];
  return turn.responseParts.flatMap((part: ResponsePart): Open[] => {
    if (part.kind === "toolCall" && part.toolCall.status === "pending-confirmation") {
      return [
        { kind: "permission", id: part.toolCall.toolCallId, turnId: turn.id, call: part.toolCall },
      ];
    }
    if (part.kind === "inputRequest" && part.response === undefined) {
      return [{ kind: "question", id: part.request.id, request: part.request }];
    }
    return [];
  });
}

/**
 * Whether it is so already what was asked for, although the machine refused to do it. `again`: it
 * was asked before, so that what is refused may be its own effect.
 */
export function isDone(action: Action, chat: ChatState | undefined, again: boolean): boolean {
  if (!chat) return false;
  switch (action.type) {
    case "chat/turnCancelled":
      return chat.activeTurn?.id !== action.turnId;
    case "chat/turnResume": {
      const last = chat.turns.at(-1);
      return again && !(last?.id === action.turnId && last?.state === "error");
    }
    case "chat/pendingMessageRemoved": {
      // It begins as a turn of its own id, and then was not taken back.
      const places = [chat.steeringMessage, ...(chat.queuedMessages ?? []), chat.activeTurn];
      return again && ![...places, ...chat.turns].some((place) => place?.id === action.id);
    }
    default:
      return false;
  }
}

export const plain = (text: string | { markdown: string } | undefined): string =>
  text === undefined ? "" : typeof text === "string" ? text : text.markdown;
