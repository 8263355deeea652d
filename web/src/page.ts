import { mount } from "svelte";
import { app } from "./app/app.svelte";
import type { Kept } from "./app/database";
import { registerWorker } from "./app/worker";
import Page from "./ui/Page.svelte";

/** Puts the page on the screen, with what is being read. */
export function show(kept: Promise<Kept>): void {
  const started = app.start(kept);
  mount(Page, { target: document.getElementById("app")! });
  void started.then(() => document.getElementById("launch")?.remove());
  registerWorker((use) => app.offerNewVersion(use));
}
