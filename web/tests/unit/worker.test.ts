import { afterEach, expect, it, vi } from "vitest";
import { registerWorker } from "../../src/app/worker";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
});

/** A newer version that waits, as a page sees it; `use` takes it. */
async function start() {
  vi.stubEnv("DEV", false);
  const worker = Object.assign(new EventTarget(), { state: "installed", postMessage: vi.fn() });
  const registration = Object.assign(new EventTarget(), { waiting: worker, installing: null });
  const serviceWorker = Object.assign(new EventTarget(), {
    controller: {},
    register: () => Promise.resolve(registration),
  });
  vi.stubGlobal("navigator", { serviceWorker });
  const reload = vi.fn();
  vi.stubGlobal("location", { reload });
  const use = await new Promise<() => void>((resolve) => registerWorker(resolve));
  return { worker, serviceWorker, reload, use };
}

it("reloads when the newer version that was taken has taken over", async () => {
  const { worker, serviceWorker, reload, use } = await start();
  use();
  expect(worker.postMessage).toHaveBeenCalledWith("use");
  expect(reload).not.toHaveBeenCalled();
  serviceWorker.dispatchEvent(new Event("controllerchange"));
  expect(reload).toHaveBeenCalledOnce();
});

it.each(["activating", "activated"])(
  "reloads at once when another tab took it and it is %s",
  async (state) => {
    const { worker, serviceWorker, reload, use } = await start();
    worker.state = state;
    serviceWorker.dispatchEvent(new Event("controllerchange"));
    expect(reload).not.toHaveBeenCalled();
    use();
    expect(reload).toHaveBeenCalledOnce();
    expect(worker.postMessage).not.toHaveBeenCalled();
  },
);
