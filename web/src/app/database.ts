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

export class Database {
  private constructor(
    private readonly db: IDBDatabase,
    private readonly cacheKey: CryptoKey,
  ) {}

  static async open(): Promise<Database> {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      for (const store of STORES) {
        if (!request.result.objectStoreNames.contains(store))
          request.result.createObjectStore(store);
      }
    };
    const db = await result(request);
    // Another tab wants to remove or change the database: let it.
    db.onversionchange = () => db.close();
    const cacheKey = await Database.keep(db, "cache", () =>
      crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]),
    );
    return new Database(db, cacheKey);
  }

  /** The stored value, or a new one stored; two tabs that ask at once get the same. */
  private static async keep<T>(db: IDBDatabase, key: string, make: () => Promise<T>): Promise<T> {
    const read = () => result<T | undefined>(db.transaction("keys").objectStore("keys").get(key));
    const stored = await read();
    if (stored !== undefined) return stored;
    const made = await make();
    try {
      await result(db.transaction("keys", "readwrite").objectStore("keys").add(made, key));
      return made;
    } catch {
      return (await read()) ?? made;
    }
  }

  deviceKey(): Promise<KeyPair> {
    return Database.keep(this.db, "device", () => generateKeyPair());
  }

  private store(name: StoreName, mode: IDBTransactionMode = "readonly"): IDBObjectStore {
    return this.db.transaction(name, mode).objectStore(name);
  }

  machines(): Promise<PairedMachine[]> {
    return result(this.store("machines").getAll());
  }

  async keepMachine(machine: PairedMachine): Promise<void> {
    await result(this.store("machines", "readwrite").put(machine, machine.machineId));
  }

  async forgetMachine(machineId: string): Promise<void> {
    await result(this.store("machines", "readwrite").delete(machineId));
  }

  async setting(key: string): Promise<string | undefined> {
    return result<string | undefined>(this.store("settings").get(key));
  }

  async keepSetting(key: string, value: string): Promise<void> {
    await result(this.store("settings", "readwrite").put(value, key));
  }

  /** Keeps a value encrypted. The value must survive JSON. */
  async seal(store: "outbox" | "drafts" | "cache", key: string, value: unknown): Promise<void> {
    const iv = random(12);
    const data = await crypto.subtle.encrypt(
      { name: "AES-GCM", iv, additionalData: utf8(`${store}/${key}`) },
      this.cacheKey,
      utf8(JSON.stringify(value)),
    );
    await result(this.store(store, "readwrite").put({ iv, data } satisfies Sealed, key));
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
    const sealed = await result<Sealed | undefined>(this.store(store).get(key));
    return sealed && this.unseal<T>(store, key, sealed);
  }

  /** Everything in a store, in the order of the keys. */
  async openAll<T>(store: "outbox" | "cache", prefix = ""): Promise<{ key: string; value: T }[]> {
    const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
    const objects = this.store(store);
    const [keys, values] = await Promise.all([
      result(objects.getAllKeys(range)),
      result<Sealed[]>(objects.getAll(range)),
    ]);
    const opened = await Promise.all(
      keys.map(async (key, i) => ({
        key: String(key),
        value: await this.unseal<T>(store, String(key), values[i]!),
      })),
    );
    return opened.flatMap(({ key, value }) => (value === undefined ? [] : [{ key, value }]));
  }

  async remove(store: "outbox" | "drafts" | "cache", key: string): Promise<void> {
    await result(this.store(store, "readwrite").delete(key));
  }

  /** Forgets everything that this device ever kept, its keys first. */
  async erase(): Promise<void> {
    for (const store of STORES) await result(this.store(store, "readwrite").clear());
    this.db.close();
  }
}
