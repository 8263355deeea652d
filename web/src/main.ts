import { mount } from "svelte";
import { app } from "./app/app.svelte";
import { registerWorker } from "./app/worker";
import Page from "./ui/Page.svelte";
import "./ui/style.css";

mount(Page, { target: document.getElementById("app")! });
void app.start();
registerWorker((use) => app.offerNewVersion(use));
