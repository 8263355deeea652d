/**
 * The part of the Agent Host Protocol 1.0 that the page shows. Fields and variants that are not
 * named here pass through untouched: states are kept as they came.
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Meta = Record<string, Json>;

/** Plain text, or markdown said to be such. */
export type StringOrMarkdown = string | { markdown: string };

export interface Message {
  text: string;
  origin: { kind: string };
  attachments?: Json[];
  model?: { id: string };
  _meta?: Meta;
}

export interface ContentRef {
  uri: string;
  sizeHint?: number;
  contentType?: string;
}

export interface ConfirmationOption {
  id: string;
  label: string;
  kind: string;
  group?: number;
}

export interface FileEditSide {
  uri: string;
  content: ContentRef;
}

export interface FileEdit {
  before?: FileEditSide;
  after?: FileEditSide;
  diff?: { added?: number; removed?: number };
}

export type ToolResultContent =
  | { type: "text"; text: string }
  | ({ type: "fileEdit" } & FileEdit)
  | {
      type: "terminal";
      resource: string;
      title: string;
      isPty?: boolean;
      result?: { exitCode?: number; preview?: string; truncated?: boolean };
    }
  | ({ type: "resource" } & ContentRef)
  | { type: "embeddedResource"; data: string; contentType: string }
  | { type: string };

export type ToolCallStatus =
  | "streaming"
  | "pending-confirmation"
  | "running"
  | "auth-required"
  | "pending-result-confirmation"
  | "completed"
  | "cancelled";

export interface ToolCall {
  status: ToolCallStatus;
  toolCallId: string;
  toolName: string;
  displayName: string;
  intention?: string;
  toolInput?: string | ContentRef;
  contributor?: { kind: string; clientId?: string };
  invocationMessage?: StringOrMarkdown;
  partialInput?: string;
  confirmationTitle?: StringOrMarkdown;
  riskAssessment?: Json;
  edits?: { items: FileEdit[] };
  editable?: boolean;
  options?: ConfirmationOption[];
  confirmed?: string;
  selectedOption?: ConfirmationOption;
  content?: ToolResultContent[];
  success?: boolean;
  pastTenseMessage?: StringOrMarkdown;
  structuredContent?: Json;
  error?: Json;
  reason?: string;
  reasonMessage?: StringOrMarkdown;
  userSuggestion?: Message;
  auth?: Json;
  _meta?: Meta;
}

export interface ChatInputOption {
  id: string;
  label: string;
  description?: string;
  recommended?: boolean;
}

export interface ChatInputQuestion {
  kind: string;
  id: string;
  title?: string;
  message: string;
  required?: boolean;
  options?: ChatInputOption[];
  allowFreeformInput?: boolean;
  format?: string;
  min?: number;
  max?: number;
  defaultValue?: string | number | boolean;
}

export interface ChatInputAnswer {
  state: "draft" | "submitted" | "skipped";
  value?: AnswerValue;
  freeformValues?: string[];
}

export type AnswerValue =
  | { kind: "text"; value: string }
  | { kind: "number"; value: number }
  | { kind: "boolean"; value: boolean }
  | { kind: "selected"; value: string; freeformValues?: string[] }
  | { kind: "selected-many"; value: string[]; freeformValues?: string[] };

export interface ChatInputRequest {
  id: string;
  message?: string;
  url?: string;
  questions?: ChatInputQuestion[];
  answers?: Record<string, ChatInputAnswer>;
}

export interface ErrorInfo {
  errorType: string;
  message: string;
}

export type ResponsePart =
  | { kind: "markdown"; id: string; content: string }
  | { kind: "reasoning"; id: string; content: string }
  | { kind: "toolCall"; toolCall: ToolCall }
  | ({ kind: "contentRef" } & ContentRef)
  | { kind: "systemNotification"; content: StringOrMarkdown; _meta?: Meta }
  | { kind: "inputRequest"; request: ChatInputRequest; response?: "accept" | "decline" | "cancel" }
  | { kind: "error"; error: ErrorInfo; resumable?: boolean };

export interface UsageInfo {
  inputTokens?: number;
  outputTokens?: number;
  model?: string;
  cacheReadTokens?: number;
}

export interface ActiveTurn {
  id: string;
  startedAt: string;
  message: Message;
  responseParts: ResponsePart[];
  usage?: UsageInfo;
}

export interface Turn {
  id: string;
  startedAt?: string;
  duration?: number;
  message: Message;
  responseParts: ResponsePart[];
  usage?: UsageInfo;
  state: "complete" | "cancelled" | "error";
}

export interface PendingMessage {
  id: string;
  message: Message;
}

export interface ChatState {
  resource: string;
  title: string;
  status: number;
  activity?: string;
  modifiedAt: string;
  movable?: boolean;
  workingDirectories?: string[];
  changesets?: Json[];
  backgroundWork?: ({ id: string } & Meta)[];
  canvases?: Json[];
  turns: Turn[];
  turnsNextCursor?: string;
  activeTurn?: ActiveTurn;
  steeringMessage?: PendingMessage;
  queuedMessages?: PendingMessage[];
  draft?: Message;
  _meta?: Meta;
}

export interface SessionState {
  provider: string;
  title: string;
  status: number;
  activity?: string;
  project?: { uri?: string; displayName?: string };
  workingDirectories?: string[];
  lifecycle: string;
  creationError?: ErrorInfo;
  serverTools?: Json[];
  activeClients: ({ clientId: string } & Meta)[];
  chats: ({ resource: string } & Meta)[];
  defaultChat?: string;
  config?: { schema: { properties: Record<string, ConfigProperty> }; values: Meta };
  customizations?: Json[];
  changesets?: Json[];
  inputNeeded?: ({ id?: string; kind: string } & Meta)[];
  _meta?: Meta;
}

export interface ConfigProperty {
  type: string;
  title?: string;
  description?: string;
  enum?: string[];
  enumLabels?: string[];
  readOnly?: boolean;
  sessionMutable?: boolean;
}

export interface SessionSummary {
  provider: string;
  title: string;
  status: number;
  activity?: string;
  project?: { uri?: string; displayName?: string };
  workingDirectories?: string[];
  resource: string;
  createdAt: string;
  modifiedAt: string;
  _meta?: Meta;
}

export interface RootState {
  agents: {
    provider: string;
    displayName: string;
    description: string;
    models: { id: string; name: string }[];
  }[];
  activeSessions?: number;
  terminals?: Json[];
  config?: { values: Meta };
  _meta?: Meta;
}

export type TerminalPart =
  | { type: "unclassified"; value: string }
  | {
      type: "command";
      commandId: string;
      commandLine: string;
      output: string;
      timestamp: number;
      isComplete: boolean;
      exitCode?: number;
      durationMs?: number;
    };

export interface TerminalState {
  title: string;
  cwd?: string;
  cols?: number;
  rows?: number;
  content: TerminalPart[];
  lifecycle: { status: string; exitCode?: number };
  claim: Json;
  supportsCommandDetection?: boolean;
  isPty?: boolean;
}

/** An action: its `type` and what belongs to it. */
// The reducers check what they use; an action of an unknown type or shape changes nothing.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Action = { type: string; [key: string]: any };

export interface ActionEnvelope {
  channel: string;
  action: Action;
  serverSeq: number;
  origin?: { clientId: string; clientSeq: number };
  rejectionReason?: string;
}

export interface Snapshot<S = unknown> {
  resource: string;
  state: S;
  fromSeq: number;
}

/** Bits of `status`. */
export const Status = {
  Idle: 1,
  Error: 1 << 1,
  InProgress: 1 << 3,
  InputNeeded: (1 << 3) | (1 << 4),
  IsRead: 1 << 5,
  IsArchived: 1 << 6,
} as const;
