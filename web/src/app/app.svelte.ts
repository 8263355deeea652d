/** The page as a whole: this device, the relay, the machines, and where in the page one is. */

import { tick } from "svelte";
import {
  parsePairingLink,
  parseSessionLink,
  sessionFragment,
  type PairingLink,
} from "../link/links";
import type { KeyPair } from "../link/noise";
import { pair, type Paired } from "../link/pairing";
import { forgetDevice, Relay, type MachinePresence, type RelayState } from "../link/relay";
import { Database, type PairedMachine } from "./database";
import { Machine } from "./machine.svelte";
import { texts } from "./texts";
import { oneLine } from "./visible";

export type Route =
  | { kind: "sessions" }
  | { kind: "session"; machine: string; session: string }
  | { kind: "new" }
  | { kind: "settings" }
  | { kind: "pair"; link: PairingLink | undefined };

function routeOf(fragment: string): Route {
  if (fragment.startsWith("#pair=")) return { kind: "pair", link: parsePairingLink(fragment) };
  if (fragment === "#new") return { kind: "new" };
  if (fragment === "#settings") return { kind: "settings" };
  const link = parseSessionLink(fragment);
  if (link) return { kind: "session", machine: link.machineId, session: link.session };
  return { kind: "sessions" };
}

function defaultName(): string {
  const agent = navigator.userAgent;
  const system =
    ["iPhone", "iPad", "Android", "Windows", "Macintosh", "Linux"].find((name) =>
      agent.includes(name),
    ) ?? "Browser";
  const browser =
    ["Firefox", "Edg", "Chrome", "Safari"].find((name) => agent.includes(name)) ?? "browser";
  return `${browser === "Edg" ? "Edge" : browser} on ${system === "Macintosh" ? "Mac" : system}`;
}

/** Long enough for every screen reader to have taken it up. */
const SAID_AFTER_MS = 10_000;

/** The number tells two that say the same apart. */
export interface Announcement {
  text: string;
  number: number;
}

export class App {
  route = $state.raw<Route>({ kind: "sessions" });
  relay = $state.raw<RelayState>({ kind: "stopped" });
  machines = $state.raw<Machine[]>([]);
  deviceName = $state("");
  online = $state(navigator.onLine);
  /** What screen readers are told at once, and what when they have time. */
  alarm = $state.raw<Announcement>({ text: "", number: 0 });
  news = $state.raw<Announcement>({ text: "", number: 0 });
  /** The page cannot work here; why. */
  broken = $state("");
  ready = $state(false);
  newVersion = $state(false);
  private announced = 0;
  private presences = new Map<string, MachinePresence>();
  /** Whether they are all that the relay knows of now. */
  private listed = false;
  private database!: Database;
  private own!: KeyPair;
  private readonly base = new URL("/", location.href);
  private readonly link: Relay;
  private useNewVersion: () => void = () => undefined;

  constructor() {
    this.link = new Relay(
      this.base,
      (state) => {
        this.relay = state;
        if (state.kind !== "online") this.listed = false;
        this.present();
      },
      {
        machines: (machines) => {
          this.presences = new Map(machines.map((machine) => [machine.machineId, machine]));
          this.listed = true;
          this.present();
        },
        presence: (machine) => {
          this.presences.set(machine.machineId, machine);
          this.present();
        },
        machineRemoved: (machineId) => {
          this.presences.delete(machineId);
          this.present();
        },
      },
    );
  }

  async start(): Promise<void> {
    this.route = routeOf(location.hash);
    addEventListener("hashchange", () => {
      this.route = routeOf(location.hash);
    });
    addEventListener("online", () => this.back());
    addEventListener("offline", () => {
      this.online = false;
    });
    addEventListener("pageshow", (event: Event) => {
      if ((event as PageTransitionEvent).persisted) this.back();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.back();
      else for (const machine of this.machines) machine.keepCopies();
    });
    try {
      this.database = await Database.open();
      // Each of these is a round through another thread: what is kept shall be seen at once.
      const [own, name, machines] = await Promise.all([
        this.database.deviceKey(),
        this.database.setting("name"),
        this.database.machines(),
      ]);
      this.own = own;
      this.deviceName = name ?? defaultName();
      await this.load(machines);
    } catch {
      this.broken = texts.pairUnsupported;
      return;
    }
    this.ready = true;
    if (this.machines.length > 0) this.link.start();
  }

  private back(): void {
    this.online = navigator.onLine;
    this.link.nudge();
    for (const machine of this.machines) machine.nudge();
  }

  private async load(kept: PairedMachine[]): Promise<void> {
    for (const paired of kept) {
      if (this.machines.some((machine) => machine.id === paired.machineId)) continue;
      const machine = new Machine(paired, this.own, this.deviceName, this.link, this.database, {
        announce: (summary) => {
          this.warn(texts.announceNeeds(oneLine(summary.title) || texts.untitled));
        },
        takeDraft: (session) => this.takeDraft(session),
      });
      this.machines = [...this.machines, machine];
      await machine.restore();
    }
    this.present();
  }

  private present(): void {
    const online = this.relay.kind === "online";
    for (const machine of this.machines) {
      machine.present(this.presences.get(machine.id), online, this.listed);
    }
  }

  machine(id: string): Machine | undefined {
    return this.machines.find((machine) => machine.id === id);
  }

  retry(): void {
    this.back();
  }

  /** Tells screen readers that somebody is needed. */
  warn(text: string): void {
    this.alarm = { text, number: ++this.announced };
  }

  say(text: string): void {
    const number = ++this.announced;
    this.news = { text, number };
    // It was said. Who reads the page later does not come across it.
    setTimeout(() => {
      if (this.news.number === number) this.news = { text: "", number: ++this.announced };
    }, SAID_AFTER_MS);
  }

  // --- where in the page

  open(machine: string, session: string): void {
    location.hash = sessionFragment({ machineId: machine, session });
  }

  go(to: "" | "new" | "settings"): void {
    if (to === "") history.replaceState(null, "", location.pathname);
    else location.hash = to;
    this.route = routeOf(location.hash);
  }

  /** Opens a pairing link that was pasted, as an app has no address bar. Says whether it is one. */
  openLink(text: string): boolean {
    const fragment = text.trim().match(/#pair=[\w-]+$/)?.[0];
    const link = fragment && parsePairingLink(fragment);
    if (!link) return false;
    this.route = { kind: "pair", link };
    return true;
  }

  // --- this device

  async pair(
    link: PairingLink,
    name: string,
    code: (code: string, machine: string) => void,
    signal: AbortSignal,
  ): Promise<Paired> {
    await this.rename(name);
    const paired = await pair(this.base, link, this.own, this.deviceName, { code }, signal);
    await this.database.keepMachine({
      machineId: link.machineId,
      machineKey: link.machineKey,
      name: paired.machine,
      pairedAt: new Date().toISOString(),
    });
    // The same machine may have made itself new keys.
    this.machine(link.machineId)?.stop();
    this.machines = this.machines.filter((machine) => machine.id !== link.machineId);
    await this.load(await this.database.machines());
    this.link.stop();
    this.link.start();
    return paired;
  }

  async rename(name: string): Promise<void> {
    this.deviceName = name.trim() || defaultName();
    await this.database.keepSetting("name", this.deviceName);
  }

  async forget(): Promise<void> {
    await forgetDevice(this.base).catch(() => undefined);
    this.link.stop();
    for (const machine of this.machines) machine.stop();
    this.machines = [];
    await this.database.erase();
    location.replace(location.pathname);
  }

  private keeping = Promise.resolve();

  draft(session: string): Promise<string | undefined> {
    return this.database.open<string>("drafts", session);
  }

  /** One after another: what was sealed before it was sent must not come back after it is removed. */
  keepDraft(session: string, draft: string): Promise<void> {
    const keep = () =>
      draft
        ? this.database.seal("drafts", session, draft)
        : this.database.remove("drafts", session);
    this.keeping = this.keeping.then(keep, keep);
    return this.keeping;
  }

  /** A draft that is none any more, after all that was typed of it. */
  private async takeDraft(session: string): Promise<string | undefined> {
    await tick();
    await this.keeping.catch(() => undefined);
    const draft = await this.draft(session);
    if (draft) await this.keepDraft(session, "");
    return draft;
  }

  // --- versions of the page

  offerNewVersion(use: () => void): void {
    this.newVersion = true;
    this.useNewVersion = use;
  }

  acceptNewVersion(): void {
    this.useNewVersion();
  }
}

export const app = new App();
