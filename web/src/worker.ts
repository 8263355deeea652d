/**
 * The service worker: keeps the page's own files, and runs exactly the set it was installed with.
 *
 * New code is fetched whole, checked against the hashes in this file, and waits until the person
 * takes it. Only this page's files go through here; the relay's interface never does.
 */

declare const self: ServiceWorkerGlobalScope;
/** Path → SHA-256 in hex, of every file of this build. */
declare const __FILES__: Record<string, string>;

const CACHE = `copilot-${__BUILD__}-${hashOf(JSON.stringify(__FILES__))}`;

function hashOf(text: string): string {
  let hash = 0;
  for (let i = 0; i < text.length; i += 1) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return (hash >>> 0).toString(16);
}

async function fetched(path: string, expected: string): Promise<Response> {
  const response = await fetch(path, { cache: "no-cache", credentials: "same-origin" });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  const bytes = await response.clone().arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hex !== expected) throw new Error(`${path} is not the file of this version`);
  return response;
}

self.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(CACHE);
      await Promise.all(
        Object.entries(__FILES__).map(async ([path, hash]) => {
          await cache.put(path, await fetched(path, hash));
        }),
      );
    })(),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
      await self.clients.claim();
    })(),
  );
});

self.addEventListener("message", (event) => {
  if (event.data === "use") void self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== self.location.origin) return;
  const path = event.request.mode === "navigate" ? "/" : url.pathname;
  if (!Object.hasOwn(__FILES__, path)) return;
  event.respondWith(
    caches
      .open(CACHE)
      .then((cache) => cache.match(path))
      .then((cached) => cached ?? fetch(event.request)),
  );
});

export {};
