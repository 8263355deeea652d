import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Database } from "../../src/app/database";

type Handler = (() => void) | null;

/** As much of IndexedDB as is asked for, over a disk; `handles` are those that were opened. */
function storage() {
  const disk = new Map<string, unknown>();
  const handles: Handle[] = [];
  const state = { opens: true };

  function request<T>(act: () => T) {
    const made = { result: undefined as T | undefined, error: null as unknown } as {
      result: T | undefined;
      error: unknown;
      onsuccess: Handler;
      onerror: Handler;
    };
    queueMicrotask(() => {
      try {
        made.result = act();
        made.onsuccess?.();
      } catch (error) {
        made.error = error;
        made.onerror?.();
      }
    });
    return made;
  }

  class Handle {
    onclose: Handler = null;
    onversionchange: Handler = null;
    closed = false;
    /** What every request answers. */
    fails: string | undefined;

    close() {
      this.closed = true;
    }

    transaction(name: string) {
      if (this.closed) throw new DOMException("it is closed", "InvalidStateError");
      const key = (of: string) => `${name}/${of}`;
      const asked = <T>(act: () => T) =>
        request(() => {
          if (this.fails) throw new DOMException("lost", this.fails);
          return act();
        });
      const objectStore = () => ({
        get: (of: string) => asked(() => disk.get(key(of))),
        put: (value: unknown, of: string) => asked(() => disk.set(key(of), value)),
        add: (value: unknown, of: string) => asked(() => disk.set(key(of), value)),
        clear: () => asked(() => disk.clear()),
      });
      return { objectStore };
    }
  }

  const open = () =>
    request(() => {
      if (!state.opens) throw new DOMException("lost", "UnknownError");
      const handle = new Handle();
      handles.push(handle);
      return handle;
    });
  return { open, handles, state };
}

let idb: ReturnType<typeof storage>;
beforeEach(() => {
  idb = storage();
  vi.stubGlobal("indexedDB", idb);
});
afterEach(() => vi.unstubAllGlobals());

it("opens again when the browser has closed it", async () => {
  const database = await Database.open();
  await database.seal("cache", "a", 1);
  idb.handles[0]!.closed = true;
  idb.handles[0]!.onclose?.();
  expect(await database.open("cache", "a")).toBe(1);
  expect(idb.handles).toHaveLength(2);
});

it.each(["InvalidStateError", "UnknownError"])(
  "asks once more over a new handle after %s",
  async (name) => {
    const database = await Database.open();
    await database.keepSetting("name", "phone");
    idb.handles[0]!.fails = name;
    expect(await database.setting("name")).toBe("phone");
    expect(idb.handles[0]!.closed).toBe(true);
    idb.handles[1]!.closed = true;
    await database.seal("drafts", "s", "half a tho");
    expect(await database.open("drafts", "s")).toBe("half a tho");
    expect(idb.handles).toHaveLength(3);
  },
);

it("does not ask again for what fails otherwise, nor for ever", async () => {
  const database = await Database.open();
  idb.handles[0]!.fails = "QuotaExceededError";
  await expect(database.keepSetting("name", "x")).rejects.toThrow("lost");
  expect(idb.handles).toHaveLength(1);
  idb.state.opens = false;
  idb.handles[0]!.fails = "UnknownError";
  await expect(database.setting("name")).rejects.toThrow("lost");
  // And works when the browser does again.
  idb.state.opens = true;
  expect(await database.setting("name")).toBeUndefined();
});

it("lets another tab have it, and comes back", async () => {
  const database = await Database.open();
  idb.handles[0]!.onversionchange?.();
  await new Promise((resolve) => setImmediate(resolve));
  expect(idb.handles[0]!.closed).toBe(true);
  expect(await database.setting("name")).toBeUndefined();
});

it("keeps nothing anew after it was erased", async () => {
  const database = await Database.open();
  await database.erase();
  await expect(database.seal("cache", "a", 1)).rejects.toThrow();
  expect(idb.handles).toHaveLength(1);
});
