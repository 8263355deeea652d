/**
 * The real thing around a browser: daemon, relay, terminals and agent in a scratch folder, kept by
 * the `world` program of the end-to-end tests. Only the model is scripted.
 */

import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import {
  test as base,
  expect,
  type BrowserContext,
  type Locator,
  type Page,
} from "@playwright/test";
import { texts } from "../../src/app/texts";

const binaries = resolve(process.env.COPILOT_TEST_BIN_DIR ?? "../target/debug");

/** Steps of a scripted model; the format is in docs/scripted-model.md. */
export type Step = Record<string, unknown>;

export const say = (text: string): Step => ({ say: text });
export const tool = (name: string, input: object): Step => ({ tools: [{ name, input }] });
export const think = (text: string): Step => ({ think: text });
export const waitFor = (file: string): Step => ({ wait_for_file: file });

/** What the model does for which prompt. A tool call ends a response. */
export function scenario(prompts: Record<string, Step[]>): object {
  return {
    prompts: Object.entries(prompts).map(([match, steps]) => {
      const responses: { steps: Step[] }[] = [{ steps: [] }];
      for (const step of steps) {
        responses.at(-1)!.steps.push(step);
        if ("tools" in step) responses.push({ steps: [] });
      }
      return { match, responses: responses.filter((response) => response.steps.length > 0) };
    }),
  };
}

/** The same where an answer depends on what came before it. */
export interface Response {
  when?: object;
  steps: Step[];
}

export const responses = (prompts: Record<string, Response[]>): object => ({
  prompts: Object.entries(prompts).map(([match, responses]) => ({ match, responses })),
});

export interface Run {
  code: number;
  stdout: string;
  stderr: string;
}

export class World {
  private next = 1;
  private readonly waiting = new Map<
    number,
    { resolve(value: unknown): void; reject(error: Error): void }
  >();

  private constructor(
    private readonly child: ChildProcessWithoutNullStreams,
    private readonly folder: string,
    readonly url: string,
  ) {}

  static async start(model: object): Promise<World> {
    const folder = mkdtempSync(join(tmpdir(), "cw-"));
    const file = join(folder, "scenario.json");
    writeFileSync(file, JSON.stringify(model));
    const child = spawn(join(binaries, "world"), [file], {
      env: { ...process.env, COPILOT_TEST_BIN_DIR: binaries },
      // In a group of its own: whatever ends this program, its end of the pipe closes, and the world
      // can still end everything it has started.
      detached: true,
    });
    let said = "";
    child.stderr.on("data", (data: Buffer) => {
      said += data.toString();
    });
    const lines = createInterface({ input: child.stdout });
    let world: World | undefined;
    return new Promise((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`the world ended with ${code}\n${said}`)));
      lines.on("line", (line) => {
        const message = JSON.parse(line) as {
          ready?: string;
          id?: number;
          ok?: unknown;
          error?: string;
        };
        if (message.ready !== undefined) {
          world = new World(child, folder, message.ready);
          resolve(world);
          return;
        }
        const waiting = world?.waiting.get(message.id ?? -1);
        world?.waiting.delete(message.id ?? -1);
        if (message.error === undefined) waiting?.resolve(message.ok);
        else waiting?.reject(new Error(`${message.error}\n${said}`));
      });
    });
  }

  private do<T = void>(what: string, more: object = {}): Promise<T> {
    const id = this.next++;
    return new Promise<T>((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.child.stdin.write(`${JSON.stringify({ id, do: what, ...more })}\n`);
    });
  }

  terminal = (...args: string[]) => this.do<number>("terminal", { arguments: args });
  keys = (terminal: number, keys: string) => this.do("keys", { terminal, keys });
  wait = (terminal: number, text: string) => this.do<string>("wait", { terminal, text });
  screen = (terminal: number) => this.do<string>("screen", { terminal });
  copilot = (...args: string[]) => this.do<Run>("copilot", { arguments: args });
  /** Ends the daemon, which refuses that while a turn runs. */
  stopDaemon = () =>
    expect.poll(async () => (await this.copilot("daemon", "stop")).code, "it stops").toBe(0);
  session = () => this.do<string>("session");
  pairing = (session?: string) =>
    this.do<{ pairing: string; link: string }>("pairing", session ? { session } : {});
  code = (pairing: string, code: string) => this.do<string>("code", { pairing, code });
  write = (name: string, content: string) => this.do("write", { name, content });
  read = (name: string) => this.do<string | null>("read", { name });
  stopRelay = () => this.do("relay-stop");
  startRelay = () => this.do("relay-start");
  killDaemon = () => this.do("daemon-kill");
  startDaemon = () => this.do("daemon-start");

  /** Settings beside those without which no device would see a session; they are read live. */
  settings = (more: object) =>
    this.write(
      "../home/config/settings.json",
      JSON.stringify({ remote: { requireGithubRepository: false }, ...more }),
    );

  /** A session in a terminal, in a trusted folder, that devices can see. */
  async begin(prompt: string, ...more: string[]): Promise<{ terminal: number; session: string }> {
    const terminal = await this.terminal("--remote", "-i", prompt, ...more);
    await this.wait(terminal, "trust");
    await this.keys(terminal, "2");
    return { terminal, session: await this.session() };
  }

  /** Pairs the browser as a person does: link, code, typing. `at`: what stands before the relay. */
  async pair(page: Page, session?: string, at = this.url): Promise<void> {
    const { pairing, link } = await this.pairing(session);
    await page.goto(link.replace(this.url, at));
    await page.getByRole("button", { name: texts.pairStart, exact: true }).click();
    const code = (await page.getByTestId("pairing-code").innerText()).replace(/\s/g, "");
    await this.code(pairing, code);
    await expect(page.getByTestId("pairing-code")).toBeHidden();
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.stdin.end();
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A session on the page, by what a person sees of it. */
export function phone(page: Page) {
  const button = (name: string) => page.getByRole("button", { name, exact: true });
  const field = page.getByRole("textbox", {
    name: new RegExp(`^(${texts.promptPlaceholder}|${texts.steerPlaceholder})$`),
  });
  return {
    button,
    field,
    timeline: page.getByRole("log"),
    permission: page.getByTestId("permission"),
    question: page.getByTestId("question"),
    state: page.getByTestId("session-state"),
    /** What the page says about the connection; it is in the page twice and to be seen once. */
    says: (text: string | RegExp) =>
      page.getByRole("status").getByText(text).filter({ visible: true }),
    /** What was typed and has not begun. */
    pending: page.getByRole("list", { name: texts.pending, exact: true }),
    /** The prompts in the timeline that say exactly this. */
    prompts: (text: string) => page.locator("article .prompt").getByText(text, { exact: true }),
    approve: () => page.getByTestId("permission").getByText("Yes, once").click(),
    /** Waits until nothing runs: until then what is sent would join what does. */
    idle: () => expect(page.getByTestId("session-state")).toHaveText(texts.states.idle!),
    /** Types in this field, and waits until that would be there again after a reload. */
    async type(text: string, into: Locator = field) {
      await into.fill(text);
      const kept = async () => (await keptIn(page, "drafts")).map(({ value }) => value);
      await expect.poll(kept).toContain(text);
    },
    /** Taps, and waits no longer than until that would outlive the page or is done. */
    async tap(button: Locator, isDone: () => Promise<boolean>) {
      await button.click();
      const isKept = async () => (await keptIn(page, "outbox")).length > 0;
      await expect.poll(async () => (await isKept()) || (await isDone())).toBe(true);
    },
    async send(text: string, how: string = texts.sendPrompt) {
      await field.fill(text);
      await button(how).click();
    },
  };
}

interface Kept {
  key: string;
  value: unknown;
}

/**
 * What this device keeps in a store, decrypted as the page does it. A page that is gone within the
 * milliseconds of a key or a tap keeps nothing.
 */
export function keptIn(page: Page, store: "drafts" | "outbox" | "cache"): Promise<Kept[]> {
  return page.evaluate(async (name) => {
    const done = <T>(request: IDBRequest<T>) =>
      new Promise<T>((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error!);
      });
    type Sealed = { iv: Uint8Array<ArrayBuffer>; data: ArrayBuffer };
    const database = await done(indexedDB.open("copilot"));
    const transaction = database.transaction(["keys", name]);
    const objects = transaction.objectStore(name);
    const [cipher, keys, values] = await Promise.all([
      done(transaction.objectStore("keys").get("cache") as IDBRequest<CryptoKey>),
      done(objects.getAllKeys()),
      done(objects.getAll() as IDBRequest<Sealed[]>),
    ]);
    database.close();
    const opened = async ({ iv, data }: Sealed, at: number) => {
      const key = String(keys[at]);
      const additionalData = new TextEncoder().encode(`${name}/${key}`);
      const how = { name: "AES-GCM", iv, additionalData };
      const plain = new TextDecoder().decode(await crypto.subtle.decrypt(how, cipher, data));
      return { key, value: JSON.parse(plain) as unknown };
    };
    return Promise.all(values.map(opened));
  }, store);
}

/** Waits until this device remembers a session as one whose turn has ended. */
export async function remembersEnd(page: Page, session: string): Promise<void> {
  const isOver = async () => {
    const copies = await keptIn(page, "cache");
    const copy = copies.find(({ key }) => key.startsWith("chat/") && key.endsWith(session));
    const known = copy?.value as { chat: { activeTurn?: unknown } } | undefined;
    return known !== undefined && known.chat.activeTurn === undefined;
  };
  await expect.poll(isOver).toBe(true);
}

/** Everything that a page must never do, whatever a test does with it. */
async function complaintsOf(context: BrowserContext): Promise<Set<string>> {
  const complaints = new Set<string>();
  context.on("weberror", (error) => complaints.add(String(error.error().stack)));
  context.on("console", (message) => {
    if (/Content Security Policy|Trusted/i.test(message.text())) complaints.add(message.text());
  });
  context.on("request", (request) => {
    if (!/^(http|ws):\/\/127\.0\.0\.1:/.test(request.url())) complaints.add(request.url());
  });
  await context.exposeBinding("complain", (_, what: string) => complaints.add(what));
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      const { complain } = window as unknown as { complain(what: string): void };
      const broken = event as unknown as Record<string, string>;
      const { violatedDirective, blockedURI, sample, sourceFile, lineNumber } = broken;
      complain(`${violatedDirective}: ${blockedURI} ${sample} ${sourceFile}:${lineNumber}`);
    });
  });
  return complaints;
}

interface Fixtures {
  /** Starts a world that ends with the test. */
  start(model: object): Promise<World>;
}

/** A test that also fails when a page breaks its own policy, throws, or asks somebody else. */
export const test = base.extend<Fixtures>({
  start: async ({ context }, use) => {
    const worlds: World[] = [];
    const complaints = await complaintsOf(context);
    await use(async (model) => {
      const world = await World.start(model);
      worlds.push(world);
      return world;
    });
    for (const world of worlds) await world.end();
    expect([...complaints]).toEqual([]);
  },
});

/** Until the service worker can serve the page without a network; runs in the page. */
export const installed = () => navigator.serviceWorker.ready.then(() => undefined);

export { expect };
