import { mount } from "svelte";
import { app } from "./app/app.svelte";
import { registerWorker } from "./app/worker";
import Page from "./ui/Page.svelte";
import "./ui/style.css";

// Reading what is kept takes longer than anything else until it is on the screen.
const started = app.start();
mount(Page, { target: document.getElementById("app")! });
void started.then(() => document.getElementById("launch")?.remove());
registerWorker((use) => app.offerNewVersion(use));
