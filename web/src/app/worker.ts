/** The service worker, from the page's side. */

const PATH = "/worker.js";
/** The states of a worker that is in use, or as good as that. */
const TAKEN: ServiceWorkerState[] = ["activating", "activated"];

/** With Trusted Types only a policy can name a script; this one names exactly one. */
function workerUrl(): string {
  const { trustedTypes } = globalThis as unknown as {
    trustedTypes?: {
      createPolicy(name: string, rules: object): { createScriptURL(url: string): unknown };
    };
  };
  if (!trustedTypes) return PATH;
  const policy = trustedTypes.createPolicy("copilot-worker", { createScriptURL: () => PATH });
  // The types of the platform still say string.
  return policy.createScriptURL(PATH) as string;
}

/** Registers it; calls `offer` when newer code waits to be used. */
export function registerWorker(offer: (use: () => void) => void): void {
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  let reloading = false;
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (reloading) location.reload();
  });
  void navigator.serviceWorker
    .register(workerUrl(), { type: "module", updateViaCache: "none" })
    .then((registration) => {
      const look = (worker: ServiceWorker | null) => {
        if (!worker) return;
        const tell = () => {
          // Without a controller this is the first visit, whose code is running already.
          if (worker.state !== "installed" || !navigator.serviceWorker.controller) return;
          offer(() => {
            // Another tab took it: nothing changes any more that would reload this one.
            if (TAKEN.includes(worker.state)) {
              location.reload();
              return;
            }
            reloading = true;
            worker.postMessage("use");
          });
        };
        worker.addEventListener("statechange", tell);
        tell();
      };
      look(registration.waiting);
      registration.addEventListener("updatefound", () => look(registration.installing));
    })
    .catch(() => undefined);
}
