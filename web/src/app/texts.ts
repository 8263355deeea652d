/** Every English text of the page, in one place. Functions where a text depends on something. */

export const texts = {
  appName: "Copilot",
  back: "Back",
  close: "Close",
  retryNow: "Try now",
  more: "More",
  copy: "Copy",
  copied: "Copied",

  // Welcome and pairing
  welcomeTitle: "Your sessions, in your pocket",
  welcomeText: "This device is not paired with a machine yet. On the machine, in a terminal, run:",
  welcomeCommand: "copilot devices pair",
  welcomeThen: "Then scan the code it shows, or open its link here.",
  pairTitle: "Pair this device",
  pairName: "Name of this device",
  pairStart: "Pair",
  pairConnecting: "Connecting to the machine …",
  pairTypeCode: (machine: string) => `Type this code at ${machine || "the machine"}:`,
  pairWaiting: "Waiting for the code to be typed. Keep this page open.",
  pairDone: (machine: string) => `Paired with ${machine}.`,
  pairFailed: "Pairing did not work",
  pairAgain: "Try again",
  pairBadLink: "This pairing link is not complete. Copy it again, or scan the code.",
  pairUnsupported:
    "This browser cannot keep the keys that pairing needs. Use a current version of Chrome, Edge, Firefox or Safari, over HTTPS.",

  // Connection
  relayConnecting: "Connecting to the relay …",
  relayLost: (since: string, why: string) => `The relay cannot be reached since ${since}. ${why}`,
  offlineDevice: "This device is offline. What you type is kept and sent later.",
  machineOffline: (name: string, since: string) => `${name} is offline since ${since}.`,
  machineConnecting: (name: string) => `Connecting to ${name} …`,
  machineRetrying: (name: string, why: string) => `Reconnecting to ${name}. ${why}`,
  machineRevoked: (name: string) => `${name} no longer trusts this device.`,
  unknownDevice: "The relay does not know this device any more. Pair it again from a terminal.",
  newVersion: "A new version of this page is ready.",
  newVersionUse: "Use it",

  // Sessions
  sessions: "Sessions",
  needsYou: "Needs you",
  running: "Running",
  earlier: "Earlier",
  search: "Search",
  filterAll: "All",
  filterNeeds: "Needs you",
  filterRunning: "Running",
  filterMachine: "Machine",
  filterRepository: "Repository",
  everyMachine: "Every machine",
  everyRepository: "Every repository",
  noSessions: "No session is shared with this device.",
  noSessionsHint: "In a session, type /remote on. Only such sessions can be seen here.",
  nothingFound: "Nothing matches.",
  newSession: "New session",
  settings: "Settings",
  untitled: "New session",
  needsCount: (count: number) =>
    count === 1 ? "1 session needs you" : `${count} sessions need you`,

  states: {
    starting: "Starting",
    idle: "Idle",
    working: "Working",
    "needs-permission": "Needs permission",
    "needs-answer": "Needs an answer",
    "plan-ready": "Plan ready",
    error: "Error",
    stored: "Stored",
  } as Record<string, string>,

  // Session
  sessionGone: "This session does not exist, or is not shared with this device.",
  olderTurns: "Show earlier",
  loadingOlder: "Loading …",
  toEnd: "Go to the end",
  you: "You",
  agent: "Agent",
  reasoning: "Thinking",
  cancelled: "Cancelled",
  turnFailed: "Stopped by an error",
  continueTurn: "Continue",
  tokens: (count: string) => `${count} tokens`,
  todos: (done: number, all: number) => `To do: ${done} of ${all} done`,
  attached: (names: string) => `Also here: ${names}`,
  confined: "confined",
  cooperative: "cooperative",

  // Modes
  mode: "Mode",
  modes: {
    interactive: "Interactive",
    plan: "Plan",
    autopilot: "Autopilot",
  } as Record<string, string>,
  modeHints: {
    interactive: "Asks before it changes something.",
    plan: "Reads and thinks, changes nothing.",
    autopilot: "Goes on until the task is done.",
  } as Record<string, string>,
  allowAll: "Allows everything",

  // Tool calls
  toolRunning: "Running",
  toolDone: "Done",
  toolFailed: "Failed",
  toolDenied: "Denied",
  toolSkipped: "Skipped",
  toolWaiting: "Waiting for an answer",
  answeredBy: (who: string, choice: string) => (choice ? `${who}: ${choice}` : who),
  showOutput: "Output",
  showInput: "Input",
  fullOutput: "Load all",
  outputCut: "Only a part is shown.",
  exitCode: (code: number) => `exit ${code}`,
  noChange: "No change",
  showDiff: (count: number) => `Show all ${count} lines`,
  created: "created",
  deleted: "deleted",

  // Cards
  permissionTitle: "Permission",
  questionTitle: "Question",
  planTitle: "Plan",
  wordsLabel: "What should be done instead?",
  wordsSend: "Deny and say this",
  ownAnswer: "Something else …",
  send: "Send",
  decline: "Decline",
  yes: "Yes",
  no: "No",
  required: "This needs an answer.",
  between: (min: number | undefined, max: number | undefined) =>
    min !== undefined && max !== undefined
      ? `From ${min} to ${max}`
      : min !== undefined
        ? `At least ${min}`
        : `At most ${max}`,
  chooseBetween: (min: number, max: number) => `Choose ${min === max ? min : `${min} to ${max}`}`,
  tapSending: "Sending …",
  tapQueued: "Will be sent when the machine is back",
  tapAccepted: "Accepted",
  localOnly: "Answer this at the machine.",

  // Composer
  promptPlaceholder: "Message",
  steerPlaceholder: "Steer this turn",
  sendPrompt: "Send",
  sendSteer: "Send now",
  sendQueue: "Queue",
  cancelTurn: "Stop",
  cancelling: "Stopping …",
  queued: "Queued",
  steering: "Waiting to join the turn",
  takeBack: "Take back",
  undelivered: "Waiting to be sent",
  rejected: "Not accepted",
  dismiss: "Dismiss",
  commands: "Commands",

  // New session
  newSessionTitle: "New session",
  folder: "Folder",
  noFolders: "No session with a trusted folder is known here yet.",
  firstPrompt: "What should be done?",
  start: "Start",
  machine: "Machine",

  // Settings
  thisDevice: "This device",
  deviceName: "Name",
  pairedMachines: "Paired machines",
  pairedSince: (when: string) => `Paired ${when}`,
  forgetDevice: "Forget this device",
  forgetWarning:
    "Removes the keys, the copies of sessions and everything typed from this browser. To use it again it must be paired again.",
  install: "Install as an app",
  version: (build: string) => `Version ${build}`,
  cancel: "Cancel",
  save: "Save",

  // Announcements for screen readers
  announceNeeds: (title: string) => `${title} needs you`,
  announceEnd: (title: string) => `${title}: the turn has ended`,
} as const;
