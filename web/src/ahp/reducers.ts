/**
 * AHP's reducers for the states that the page shows: root, session, chat, terminal.
 *
 * Pure. An action gives a new state that shares what did not change with the old one, so that the
 * page redraws only what is new, or the very same state when it changes nothing. What each action
 * does is the protocol's, checked against fixtures that the Rust reducers write; an action or a
 * shape that is not known here changes nothing.
 */

import {
  Status,
  type Action,
  type ActiveTurn,
  type ChatState,
  type ResponsePart,
  type RootState,
  type SessionState,
  type TerminalState,
  type ToolCall,
  type Turn,
} from "./types";

/** The mutually exclusive bits of a status. */
const ACTIVITY_MASK = (1 << 5) - 1;

type Trimmed<T> = {
  [K in keyof T as undefined extends T[K] ? never : K]: T[K];
} & { [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined> };

/** A copy without the keys whose value is `undefined`, as the wire has it. */
function trimmed<T extends object>(value: T): Trimmed<T> {
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries) as Trimmed<T>;
}

const withFlag = (status: number, flag: number, set: boolean): number =>
  set ? status | flag : status & ~flag;

/** Replaces the first item that matches; the same list when none does. */
function replaced<T>(list: T[], matches: (item: T) => boolean, next: (item: T) => T): T[] {
  const index = list.findIndex(matches);
  if (index < 0) return list;
  const before = list[index]!;
  const after = next(before);
  return after === before ? list : list.with(index, after);
}

function upserted<T>(list: T[] | undefined, item: T, same: (other: T) => boolean): T[] {
  if (!list) return [item];
  const index = list.findIndex(same);
  return index < 0 ? [...list, item] : list.with(index, item);
}

function without<T>(list: T[] | undefined, matches: (item: T) => boolean): T[] | undefined {
  const index = list?.findIndex(matches) ?? -1;
  return index < 0 ? list : list!.toSpliced(index, 1);
}

// --- root

export function reduceRoot(state: RootState, action: Action): RootState {
  switch (action.type) {
    case "root/agentsChanged":
      return { ...state, agents: action.agents };
    case "root/activeSessionsChanged":
      return { ...state, activeSessions: action.activeSessions };
    case "root/terminalsChanged":
      return { ...state, terminals: action.terminals };
    case "root/configChanged": {
      if (!state.config) return state;
      const values = action.replace ? action.config : { ...state.config.values, ...action.config };
      return { ...state, config: { ...state.config, values } };
    }
    default:
      return state;
  }
}

// --- session

export function reduceSession(state: SessionState, action: Action): SessionState {
  switch (action.type) {
    case "session/ready":
      return { ...state, lifecycle: "ready" };
    case "session/creationFailed":
      return { ...state, lifecycle: "failed", creationError: action.error };
    case "session/chatAdded": {
      const { summary } = action;
      const chats = upserted(state.chats, summary, (chat) => chat.resource === summary.resource);
      return { ...state, chats };
    }
    case "session/chatRemoved": {
      const chats = without(state.chats, (chat) => chat.resource === action.chat)!;
      if (chats === state.chats) return state;
      const defaultChat = state.defaultChat === action.chat ? undefined : state.defaultChat;
      return trimmed({ ...state, chats, defaultChat });
    }
    case "session/chatUpdated": {
      const { resource: _, ...changes } = trimmed(action.changes ?? {}) as { resource?: string };
      const chats = replaced(
        state.chats,
        (chat) => chat.resource === action.chat,
        (chat) => ({ ...chat, ...changes }),
      );
      return chats === state.chats ? state : { ...state, chats };
    }
    case "session/defaultChatChanged":
      return trimmed({ ...state, defaultChat: action.defaultChat });
    case "session/titleChanged":
      return { ...state, title: action.title };
    case "session/isReadChanged":
      return { ...state, status: withFlag(state.status, Status.IsRead, action.isRead) };
    case "session/isArchivedChanged":
      return { ...state, status: withFlag(state.status, Status.IsArchived, action.isArchived) };
    case "session/activityChanged":
      return trimmed({ ...state, activity: action.activity });
    case "session/changesetsChanged":
      return trimmed({ ...state, changesets: action.changesets });
    case "session/configChanged": {
      if (!state.config) return state;
      const values = action.replace ? action.config : { ...state.config.values, ...action.config };
      return { ...state, config: { ...state.config, values } };
    }
    case "session/metaChanged":
      return trimmed({ ...state, _meta: action._meta });
    case "session/serverToolsChanged":
      return { ...state, serverTools: action.tools };
    case "session/activeClientSet": {
      const client = action.activeClient;
      const activeClients = upserted(
        state.activeClients,
        client,
        (other) => other.clientId === client.clientId,
      );
      return { ...state, activeClients };
    }
    case "session/activeClientRemoved": {
      const activeClients = without(
        state.activeClients,
        (client) => client.clientId === action.clientId,
      )!;
      return activeClients === state.activeClients ? state : { ...state, activeClients };
    }
    case "session/workingDirectorySet": {
      const list = state.workingDirectories ?? [];
      if (list.includes(action.directory)) return state;
      return { ...state, workingDirectories: [...list, action.directory] };
    }
    case "session/workingDirectoryRemoved": {
      const list = without(state.workingDirectories, (other) => other === action.directory);
      return list === state.workingDirectories
        ? state
        : trimmed({ ...state, workingDirectories: list });
    }
    case "session/inputNeededSet": {
      const id = action.request?.id;
      if (typeof id !== "string") return state;
      const inputNeeded = upserted(state.inputNeeded, action.request, (other) => other.id === id);
      return { ...state, inputNeeded, status: inputNeededStatus(state.status, inputNeeded) };
    }
    case "session/inputNeededRemoved": {
      const left = without(state.inputNeeded, (other) => other.id === action.id);
      if (left === state.inputNeeded) return state;
      const inputNeeded = left!.length > 0 ? left : undefined;
      const status = inputNeededStatus(state.status, inputNeeded ?? []);
      return trimmed({ ...state, inputNeeded, status });
    }
    default:
      return state;
  }
}

function inputNeededStatus(status: number, inputNeeded: { kind: string }[]): number {
  // Work that a client does for the agent waits for no person.
  return inputNeeded.some((request) => request.kind !== "toolClientExecution")
    ? (status & ~ACTIVITY_MASK) | Status.InputNeeded
    : status & ~(Status.InputNeeded & ~Status.InProgress);
}

// --- chat

export function reduceChat(state: ChatState, action: Action): ChatState {
  switch (action.type) {
    case "chat/turnStarted":
      return turnStarted(state, action);
    case "chat/delta":
      return appended(state, action, "markdown");
    case "chat/reasoning":
      return appended(state, action, "reasoning");
    case "chat/responsePart":
      if (action.part?.kind === "error") return state;
      return withParts(state, action.turnId, (parts) => [...parts, action.part]);
    case "chat/turnComplete":
      return turnEnded(state, action, "complete");
    case "chat/turnCancelled":
      return turnEnded(state, action, "cancelled");
    case "chat/error":
      return turnEnded(state, action, "error");
    case "chat/turnResume":
      return turnResumed(state, action.turnId);
    case "chat/activityChanged":
      return trimmed({ ...state, activity: action.activity });
    case "chat/backgroundWorkSet": {
      const { work } = action;
      if (typeof work?.id !== "string") return state;
      const list = upserted(state.backgroundWork, work, (other) => other.id === work.id);
      return { ...state, backgroundWork: list };
    }
    case "chat/backgroundWorkRemoved": {
      const list = without(state.backgroundWork, (other) => other.id === action.id);
      return list === state.backgroundWork ? state : trimmed({ ...state, backgroundWork: list });
    }
    case "chat/movableChanged":
      return { ...state, movable: action.movable };
    case "chat/changesetsChanged":
      return trimmed({ ...state, changesets: action.changesets });
    case "chat/canvasesChanged":
      return trimmed({ ...state, canvases: action.canvases });
    case "chat/workingDirectorySet": {
      const list = state.workingDirectories ?? [];
      if (list.includes(action.directory)) return state;
      return { ...state, workingDirectories: [...list, action.directory] };
    }
    case "chat/workingDirectoryRemoved": {
      const list = without(state.workingDirectories, (other) => other === action.directory);
      return list === state.workingDirectories
        ? state
        : trimmed({ ...state, workingDirectories: list });
    }
    case "chat/toolCallStart":
      return withParts(state, action.turnId, (parts) => [...parts, toolCallStarted(action)]);
    case "chat/toolCallDelta":
      return withToolCall(state, action, (call) => toolCallDelta(call, action));
    case "chat/toolCallContentChanged":
      return withToolCall(state, action, (call) =>
        call.status === "running"
          ? trimmed({ ...call, _meta: action._meta ?? call._meta, content: action.content })
          : call,
      );
    case "chat/toolCallReady":
      return refreshed(
        state,
        withToolCall(state, action, (call) => toolCallReady(call, action)),
      );
    case "chat/toolCallConfirmed":
      return refreshed(
        state,
        withToolCall(state, action, (call) => toolCallConfirmed(call, action)),
      );
    case "chat/toolCallComplete":
      return refreshed(
        state,
        withToolCall(state, action, (call) => toolCallComplete(call, action)),
      );
    case "chat/toolCallResultConfirmed":
      return refreshed(
        state,
        withToolCall(state, action, (call) => resultConfirmed(call, action)),
      );
    case "chat/toolCallAuthRequired":
      return refreshed(
        state,
        withToolCall(state, action, (call) =>
          call.status === "running" && call.contributor?.kind === "mcp"
            ? trimmed({
                ...call,
                status: "auth-required" as const,
                auth: action.auth,
                _meta: action._meta ?? call._meta,
              })
            : call,
        ),
      );
    case "chat/toolCallAuthResolved":
      return refreshed(
        state,
        withToolCall(state, action, (call) => {
          if (call.status !== "auth-required") return call;
          const { auth: _, ...rest } = call;
          return trimmed({
            ...rest,
            status: "running" as const,
            _meta: action._meta ?? call._meta,
          });
        }),
      );
    case "chat/usage":
      return withActiveTurn(state, action.turnId, (turn) => ({ ...turn, usage: action.usage }));
    case "chat/truncated":
      return truncated(state, action.turnId);
    case "chat/turnsLoaded": {
      const known = new Set(state.turns.map((turn) => turn.id));
      const older = (action.turns as Turn[]).filter((turn) => !known.has(turn.id));
      return trimmed({
        ...state,
        turns: [...older, ...state.turns],
        turnsNextCursor: action.turnsNextCursor,
      });
    }
    case "chat/inputRequested":
      return inputRequested(state, action);
    case "chat/inputAnswerChanged":
      return withOpenInput(state, action.requestId, (part) => {
        const answers = { ...part.request.answers };
        if (action.answer === undefined || action.answer === null)
          delete answers[action.questionId];
        else answers[action.questionId] = action.answer;
        return { ...part, request: withAnswers(part.request, answers) };
      });
    case "chat/inputCompleted":
      return refreshed(
        state,
        withOpenInput(state, action.requestId, (part) => ({
          ...part,
          request: withAnswers(part.request, { ...part.request.answers, ...action.answers }),
          response: action.response,
        })),
      );
    case "chat/pendingMessageSet": {
      const entry = { id: action.id, message: action.message };
      if (action.kind === "steering") return { ...state, steeringMessage: entry };
      if (action.kind !== "queued") return state;
      const list = upserted(state.queuedMessages, entry, (other) => other.id === entry.id);
      return { ...state, queuedMessages: list };
    }
    case "chat/pendingMessageRemoved": {
      if (action.kind === "steering") {
        if (state.steeringMessage?.id !== action.id) return state;
        return trimmed({ ...state, steeringMessage: undefined });
      }
      const left = state.queuedMessages?.filter((message) => message.id !== action.id);
      if (left?.length === state.queuedMessages?.length) return state;
      return trimmed({ ...state, queuedMessages: left!.length > 0 ? left : undefined });
    }
    case "chat/queuedMessagesReordered": {
      if (!state.queuedMessages) return state;
      const left = new Map(state.queuedMessages.map((message) => [message.id, message]));
      const ordered = [];
      for (const id of action.order as string[]) {
        const message = left.get(id);
        if (message) ordered.push(message);
        left.delete(id);
      }
      const rest = [...left.values()].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
      return { ...state, queuedMessages: [...ordered, ...rest] };
    }
    case "chat/draftChanged":
      return trimmed({ ...state, draft: action.draft });
    case "chat/isReadChanged":
      return { ...state, status: withFlag(state.status, Status.IsRead, action.isRead) };
    case "chat/isArchivedChanged":
      return { ...state, status: withFlag(state.status, Status.IsArchived, action.isArchived) };
    default:
      return state;
  }
}

function activity(state: ChatState, terminal?: number): number {
  if (terminal !== undefined) return terminal;
  const parts = state.activeTurn?.responseParts;
  if (!parts) return Status.Idle;
  const waits = parts.some(
    (part) =>
      (part.kind === "inputRequest" && part.response === undefined) ||
      (part.kind === "toolCall" &&
        ["pending-confirmation", "pending-result-confirmation", "auth-required"].includes(
          part.toolCall.status,
        )),
  );
  return waits ? Status.InputNeeded : Status.InProgress;
}

/** The status that goes with a change, where there was one. */
const refreshed = (before: ChatState, after: ChatState): ChatState =>
  after === before ? before : withStatus(after);

function withStatus(state: ChatState, terminal?: number): ChatState {
  const status = (state.status & ~ACTIVITY_MASK) | activity(state, terminal);
  return status === state.status ? state : { ...state, status };
}

const unread = (state: ChatState): ChatState => ({
  ...state,
  status: withFlag(state.status, Status.IsRead, false),
});

function withActiveTurn(
  state: ChatState,
  turnId: string,
  next: (turn: ActiveTurn) => ActiveTurn,
): ChatState {
  const turn = state.activeTurn;
  if (!turn || turn.id !== turnId) return state;
  const after = next(turn);
  return after === turn ? state : { ...state, activeTurn: after };
}

function withParts(
  state: ChatState,
  turnId: string,
  next: (parts: ResponsePart[]) => ResponsePart[],
): ChatState {
  return withActiveTurn(state, turnId, (turn) => {
    const responseParts = next(turn.responseParts);
    return responseParts === turn.responseParts ? turn : { ...turn, responseParts };
  });
}

function appended(state: ChatState, action: Action, kind: "markdown" | "reasoning"): ChatState {
  return withParts(state, action.turnId, (parts) =>
    replaced(
      parts,
      (part) => partId(part) === action.partId,
      (part) => (part.kind === kind ? { ...part, content: part.content + action.content } : part),
    ),
  );
}

function partId(part: ResponsePart): string | undefined {
  if (part.kind === "toolCall") return part.toolCall.toolCallId;
  return part.kind === "markdown" || part.kind === "reasoning" ? part.id : undefined;
}

function withToolCall(
  state: ChatState,
  action: Action,
  next: (call: ToolCall) => ToolCall,
): ChatState {
  return withParts(state, action.turnId, (parts) =>
    replaced(
      parts,
      (part) => part.kind === "toolCall" && part.toolCall.toolCallId === action.toolCallId,
      (part) => {
        if (part.kind !== "toolCall") return part;
        const toolCall = next(part.toolCall);
        return toolCall === part.toolCall ? part : { ...part, toolCall };
      },
    ),
  );
}

type InputPart = Extract<ResponsePart, { kind: "inputRequest" }>;

function withOpenInput(
  state: ChatState,
  requestId: string,
  next: (part: InputPart) => InputPart,
): ChatState {
  if (!state.activeTurn) return state;
  return withParts(state, state.activeTurn.id, (parts) =>
    replaced(
      parts,
      (part) =>
        part.kind === "inputRequest" &&
        part.response === undefined &&
        part.request.id === requestId,
      (part) => (part.kind === "inputRequest" ? next(part) : part),
    ),
  );
}

function withAnswers(
  request: InputPart["request"],
  answers: NonNullable<InputPart["request"]["answers"]>,
): InputPart["request"] {
  return trimmed({ ...request, answers: Object.keys(answers).length > 0 ? answers : undefined });
}

function inputRequested(state: ChatState, action: Action): ChatState {
  const turn = state.activeTurn;
  if (!turn) return state;
  const isOpen = (part: ResponsePart): part is InputPart =>
    part.kind === "inputRequest" &&
    part.response === undefined &&
    part.request.id === action.request.id;
  const existing = turn.responseParts.find(isOpen);
  const request = existing
    ? trimmed({ ...action.request, answers: action.request.answers ?? existing.request.answers })
    : action.request;
  const part: InputPart = { kind: "inputRequest", request };
  const responseParts = existing
    ? turn.responseParts.map((other) => (other === existing ? part : other))
    : [...turn.responseParts, part];
  return unread(withStatus({ ...state, activeTurn: { ...turn, responseParts } }));
}

function turnStarted(state: ChatState, action: Action): ChatState {
  const activeTurn: ActiveTurn = {
    id: action.turnId,
    startedAt: action.startedAt,
    message: action.message,
    responseParts: [],
  };
  const next = unread(withStatus({ ...state, activeTurn, modifiedAt: action.startedAt }));
  const id: string | undefined = action.queuedMessageId;
  if (id === undefined) return next;
  const queued = next.queuedMessages?.filter((message) => message.id !== id);
  return trimmed({
    ...next,
    steeringMessage: next.steeringMessage?.id === id ? undefined : next.steeringMessage,
    queuedMessages: queued && queued.length > 0 ? queued : undefined,
  });
}

function turnEnded(state: ChatState, action: Action, how: Turn["state"]): ChatState {
  const active = state.activeTurn;
  if (!active || active.id !== action.turnId) return state;
  const started = Date.parse(active.startedAt);
  if (Number.isNaN(started)) return state;
  const duration = Math.max(0, action.duration);
  const responseParts = active.responseParts.map((part) =>
    part.kind === "toolCall" ? { ...part, toolCall: settled(part.toolCall) } : part,
  );
  if (how === "error") responseParts.push(action.part);
  const turn: Turn = trimmed({
    id: active.id,
    startedAt: active.startedAt,
    duration,
    message: active.message,
    responseParts,
    usage: active.usage,
    state: how,
  });
  return withStatus(
    trimmed({
      ...state,
      activeTurn: undefined,
      turns: [...state.turns, turn],
      modifiedAt: new Date(started + duration).toISOString(),
    }),
    how === "error" ? Status.Error : undefined,
  );
}

/** A call that a turn's end finds unfinished was skipped. */
function settled(call: ToolCall): ToolCall {
  if (call.status === "completed" || call.status === "cancelled") return call;
  return trimmed({
    ...identity(call),
    toolInput: call.toolInput,
    status: "cancelled" as const,
    invocationMessage: call.invocationMessage ?? "",
    reason: "skipped",
  });
}

function turnResumed(state: ChatState, turnId: string): ChatState {
  const turn = state.turns.at(-1);
  const error = turn?.responseParts.at(-1);
  if (state.activeTurn || !turn || turn.id !== turnId || turn.state !== "error") return state;
  if (error?.kind !== "error" || error.resumable !== true) return state;
  const activeTurn: ActiveTurn = trimmed({
    id: turn.id,
    startedAt: turn.startedAt ?? state.modifiedAt,
    message: turn.message,
    responseParts: turn.responseParts,
    usage: turn.usage,
  });
  return unread(withStatus({ ...state, turns: state.turns.slice(0, -1), activeTurn }));
}

function truncated(state: ChatState, turnId: string | undefined): ChatState {
  if (turnId === undefined || turnId === null) {
    return withStatus(
      trimmed({ ...state, turns: [], turnsNextCursor: undefined, activeTurn: undefined }),
    );
  }
  const index = state.turns.findIndex((turn) => turn.id === turnId);
  if (index < 0) return state;
  return withStatus(
    trimmed({ ...state, turns: state.turns.slice(0, index + 1), activeTurn: undefined }),
  );
}

// --- tool calls

/** What a call keeps whatever becomes of it. */
function identity(call: ToolCall) {
  const { toolCallId, toolName, displayName, intention, contributor, _meta } = call;
  return { toolCallId, toolName, displayName, intention, contributor, _meta };
}

function toolCallStarted(action: Action): ResponsePart {
  const { toolCallId, toolName, displayName, intention, contributor, _meta } = action;
  const toolCall = trimmed({
    status: "streaming" as const,
    toolCallId,
    toolName,
    displayName,
    intention,
    contributor,
    _meta,
  }) as ToolCall;
  return { kind: "toolCall", toolCall };
}

function toolCallDelta(call: ToolCall, action: Action): ToolCall {
  if (call.status !== "streaming") return call;
  const partialInput =
    typeof action.content === "string"
      ? (call.partialInput ?? "") + action.content
      : call.partialInput;
  return trimmed({
    ...call,
    partialInput,
    _meta: action._meta ?? call._meta,
    invocationMessage: action.invocationMessage ?? call.invocationMessage,
  });
}

function refinedContributor(
  current: ToolCall["contributor"],
  next: ToolCall["contributor"],
): ToolCall["contributor"] {
  if (!next) return current;
  if (current?.kind === "client") {
    return next.kind === "client" && next.clientId === current.clientId ? next : current;
  }
  return next.kind === "client" ? current : next;
}

function toolCallReady(call: ToolCall, action: Action): ToolCall {
  if (!["streaming", "running", "pending-confirmation"].includes(call.status)) return call;
  const base = {
    ...identity(call),
    intention: action.intention ?? call.intention,
    toolInput: action.toolInput ?? (call.status === "streaming" ? undefined : call.toolInput),
    contributor: refinedContributor(call.contributor, action.contributor),
    _meta: action._meta ?? call._meta,
    invocationMessage: action.invocationMessage,
  };
  if (action.confirmed !== undefined) {
    return trimmed({ ...base, status: "running" as const, confirmed: action.confirmed });
  }
  const pending = call.status === "pending-confirmation" ? call : undefined;
  return trimmed({
    ...base,
    status: "pending-confirmation" as const,
    confirmationTitle: action.confirmationTitle ?? pending?.confirmationTitle,
    riskAssessment: action.riskAssessment ?? pending?.riskAssessment,
    edits: action.edits ?? pending?.edits,
    editable: action.editable ?? pending?.editable,
    options: action.options ?? pending?.options,
  });
}

function toolCallConfirmed(call: ToolCall, action: Action): ToolCall {
  if (call.status !== "pending-confirmation") return call;
  const base = {
    ...identity(call),
    toolInput: call.toolInput,
    invocationMessage: call.invocationMessage,
    _meta: action._meta ?? call._meta,
    selectedOption: call.options?.find((option) => option.id === action.selectedOptionId),
  };
  if (!action.approved) {
    return trimmed({
      ...base,
      status: "cancelled" as const,
      reason: action.reason ?? "denied",
      reasonMessage: action.reasonMessage,
      userSuggestion: action.userSuggestion,
    });
  }
  const edited: string | undefined = action.editedToolInput;
  const toolInput =
    edited !== undefined && typeof call.toolInput === "string" ? edited : call.toolInput;
  return trimmed({
    ...base,
    status: "running" as const,
    toolInput,
    confirmed: action.confirmed ?? "not-needed",
  });
}

function toolCallComplete(call: ToolCall, action: Action): ToolCall {
  const { result } = action;
  if (!["running", "pending-confirmation", "auth-required"].includes(call.status)) return call;
  const unauthorised = call.status === "auth-required";
  if (unauthorised && result.success) return call;
  const waits = action.requiresResultConfirmation === true && !unauthorised;
  return trimmed({
    ...identity(call),
    _meta: action._meta ?? call._meta,
    toolInput: call.toolInput,
    invocationMessage: call.invocationMessage,
    status: waits ? ("pending-result-confirmation" as const) : ("completed" as const),
    success: result.success,
    pastTenseMessage: result.pastTenseMessage,
    content: result.content ?? (unauthorised ? call.content : undefined),
    structuredContent: result.structuredContent,
    error: result.error,
    confirmed: call.status === "pending-confirmation" ? "not-needed" : call.confirmed,
    selectedOption: call.status === "pending-confirmation" ? undefined : call.selectedOption,
  });
}

function resultConfirmed(call: ToolCall, action: Action): ToolCall {
  if (call.status !== "pending-result-confirmation") return call;
  const _meta = action._meta ?? call._meta;
  if (action.approved) return trimmed({ ...call, _meta, status: "completed" as const });
  return trimmed({
    ...identity(call),
    _meta,
    toolInput: call.toolInput,
    invocationMessage: call.invocationMessage,
    status: "cancelled" as const,
    reason: "result-denied",
    selectedOption: call.selectedOption,
  });
}

// --- terminal

export function reduceTerminal(state: TerminalState, action: Action): TerminalState {
  switch (action.type) {
    case "terminal/data": {
      const last = state.content.at(-1);
      if (last?.type === "unclassified") {
        const part = { ...last, value: last.value + action.data };
        return { ...state, content: state.content.with(-1, part) };
      }
      if (last?.type === "command" && !last.isComplete) {
        const part = { ...last, output: last.output + action.data };
        return { ...state, content: state.content.with(-1, part) };
      }
      return {
        ...state,
        content: [...state.content, { type: "unclassified", value: action.data }],
      };
    }
    case "terminal/cleared":
      return { ...state, content: [] };
    case "terminal/exited":
      return { ...state, lifecycle: trimmed({ status: "exited", exitCode: action.exitCode }) };
    case "terminal/titleChanged":
      return { ...state, title: action.title };
    case "terminal/resized":
      return { ...state, cols: action.cols, rows: action.rows };
    case "terminal/cwdChanged":
      return { ...state, cwd: action.cwd };
    case "terminal/claimed":
      return { ...state, claim: action.claim };
    case "terminal/commandDetectionAvailable":
      return { ...state, supportsCommandDetection: true };
    case "terminal/commandExecuted": {
      const { commandId, commandLine, timestamp } = action;
      const part = {
        type: "command" as const,
        commandId,
        commandLine,
        output: "",
        timestamp,
        isComplete: false,
      };
      return { ...state, content: [...state.content, part], supportsCommandDetection: true };
    }
    case "terminal/commandFinished": {
      const content = replaced(
        state.content,
        (part) => part.type === "command" && part.commandId === action.commandId,
        (part) =>
          trimmed({
            ...part,
            isComplete: true,
            exitCode: action.exitCode,
            durationMs: action.durationMs,
          }) as typeof part,
      );
      return content === state.content ? state : { ...state, content };
    }
    default:
      return state;
  }
}
