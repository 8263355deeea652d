/**
 * What this device keeps, in IndexedDB: its keys, the machines it is paired with, what was typed
 * and not delivered, and a sealed copy of what was last shown.
 *
 * Keys are `CryptoKey`s that cannot be exported. Everything that quotes a session (`cache`,
 * `outbox`, `drafts`) is encrypted with a key that never leaves this browser.
 */

import { text, utf8, random, type Bytes } from "../link/bytes";
import { texts } from "./texts";
import { generateKeyPair, type KeyPair } from "../link/noise";

const NAME = "copilot";
const VERSION = 1;
const STORES = ["keys", "machines", "outbox", "drafts", "cache", "settings"] as const;
type StoreName = (typeof STORES)[number];

/** A machine that this device is paired with. */
export interface PairedMachine {
  machineId: string;
  machineKey: Bytes;
  name: string;
  pairedAt: string;
}

interface Sealed {
  iv: Bytes;
  data: ArrayBuffer;
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error(texts.storageFailed));
  });
}

/** How a browser says that a handle is no good any more. */
const LOST = ["InvalidStateError", "UnknownError"];

export class Database {
  /** Opened again when it is lost, as iOS takes it from a page in the background. */
  private handle: Promise<IDBDatabase> | undefined;
  private cacheKey!: CryptoKey;
  /** What is forgotten is not kept anew. */
  private erased = false;

  private constructor() {}

  static async open(): Promise<Database> {
    const database = new Database();
    database.cacheKey = await database.key("cache", () =>
      crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]),
    );
    return database;
  }

  private connect(): Promise<IDBDatabase> {
    if (this.erased) return Promise.reject(new Error(texts.storageFailed));
    if (this.handle) return this.handle;
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      for (const store of STORES) {
        if (!request.result.objectStoreNames.contains(store))
          request.result.createObjectStore(store);
      }
    };
    const handle = result(request);
    this.handle = handle;
    handle.then(
      (db) => {
        // Another tab wants to remove or change the database: let it.
        db.onversionchange = () => this.drop(handle);
        db.onclose = () => this.drop(handle);
      },
      () => this.drop(handle),
    );
    return handle;
  }

  private drop(handle: Promise<IDBDatabase>): void {
    if (this.handle === handle) this.handle = undefined;
    handle.then(
      (db) => db.close(),
      () => undefined,
    );
  }

  private ask<T>(
    name: StoreName,
    mode: IDBTransactionMode,
    what: (store: IDBObjectStore) => IDBRequest<T>,
  ): Promise<T> {
    return this.within(name, mode, (store) => result(what(store)));
  }

  /** Works in a store; once more over a new handle where this one turns out to be lost. */
  private async within<T>(
    name: StoreName,
    mode: IDBTransactionMode,
    what: (store: IDBObjectStore) => Promise<T>,
  ): Promise<T> {
    const handle = this.connect();
    const db = await handle;
    try {
      return await what(db.transaction(name, mode).objectStore(name));
    } catch (error) {
      if (!LOST.includes((error as Error | null)?.name ?? "")) throw error;
    }
    this.drop(handle);
    const next = await this.connect();
    return what(next.transaction(name, mode).objectStore(name));
  }

  /** The stored value, or a new one stored; two tabs that ask at once get the same. */
  private async key<T>(key: string, make: () => Promise<T>): Promise<T> {
    const read = () =>
      this.ask("keys", "readonly", (keys) => keys.get(key) as IDBRequest<T | undefined>);
    const stored = await read();
    if (stored !== undefined) return stored;
    const made = await make();
    try {
      await this.ask("keys", "readwrite", (keys) => keys.add(made, key));
      return made;
    } catch {
      return (await read()) ?? made;
    }
  }

  deviceKey(): Promise<KeyPair> {
    return this.key("device", () => generateKeyPair());
  }

  machines(): Promise<PairedMachine[]> {
    return this.ask("machines", "readonly", (machines) => machines.getAll());
  }

  async keepMachine(machine: PairedMachine): Promise<void> {
    await this.ask("machines", "readwrite", (machines) => machines.put(machine, machine.machineId));
  }

  async forgetMachine(machineId: string): Promise<void> {
    await this.ask("machines", "readwrite", (machines) => machines.delete(machineId));
  }

  async setting(key: string): Promise<string | undefined> {
    return this.ask<string | undefined>("settings", "readonly", (settings) => settings.get(key));
  }

  async keepSetting(key: string, value: string): Promise<void> {
    await this.ask("settings", "readwrite", (settings) => settings.put(value, key));
  }

  /** Keeps a value encrypted. The value must survive JSON. */
  async seal(store: "outbox" | "drafts" | "cache", key: string, value: unknown): Promise<void> {
    const iv = random(12);
    const data = await crypto.subtle.encrypt(
      { name: "AES-GCM", iv, additionalData: utf8(`${store}/${key}`) },
      this.cacheKey,
      utf8(JSON.stringify(value)),
    );
    const sealed: Sealed = { iv, data };
    await this.ask(store, "readwrite", (objects) => objects.put(sealed, key));
  }

  private async unseal<T>(store: StoreName, key: string, sealed: Sealed): Promise<T | undefined> {
    try {
      const plain = await crypto.subtle.decrypt(
        { name: "AES-GCM", iv: sealed.iv, additionalData: utf8(`${store}/${key}`) },
        this.cacheKey,
        sealed.data,
      );
      return JSON.parse(text(new Uint8Array(plain))) as T;
    } catch {
      // Not ours to read any more, as after the key was cleared. It is only a copy.
      return undefined;
    }
  }

  async open<T>(store: "outbox" | "drafts" | "cache", key: string): Promise<T | undefined> {
    const sealed = await this.ask<Sealed | undefined>(store, "readonly", (objects) =>
      objects.get(key),
    );
    return sealed && this.unseal<T>(store, key, sealed);
  }

  /** Everything in a store, in the order of the keys. */
  async openAll<T>(store: "outbox" | "cache", prefix = ""): Promise<{ key: string; value: T }[]> {
    const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
    const [keys, values] = await this.within(store, "readonly", (objects) =>
      Promise.all([result(objects.getAllKeys(range)), result<Sealed[]>(objects.getAll(range))]),
    );
    const opened = await Promise.all(
      keys.map(async (key, i) => ({
        key: String(key),
        value: await this.unseal<T>(store, String(key), values[i]!),
      })),
    );
    return opened.flatMap(({ key, value }) => (value === undefined ? [] : [{ key, value }]));
  }

  async remove(store: "outbox" | "drafts" | "cache", key: string): Promise<void> {
    await this.ask(store, "readwrite", (objects) => objects.delete(key));
  }

  /** Forgets everything that this device ever kept, its keys first. */
  async erase(): Promise<void> {
    for (const store of STORES) await this.ask(store, "readwrite", (objects) => objects.clear());
    this.erased = true;
    if (this.handle) this.drop(this.handle);
  }
}
