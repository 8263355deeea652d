/**
 * Ends of another version, made from the real ones: what the page reads and writes is changed on
 * its way, inside the page for what is sealed, and at the socket for what the relay says.
 */

import type { BrowserContext, Page } from "@playwright/test";

/* eslint-disable @typescript-eslint/no-explicit-any -- These change messages of every shape. */

/** Changes what the machine says, after it was opened and parsed. `change` runs in the page. */
export function machineSays(context: BrowserContext, change: (message: any) => void) {
  return context.addInitScript(`{
    const parse = JSON.parse;
    const change = ${change.toString()};
    JSON.parse = (text, reviver) => {
      const value = parse(text, reviver);
      if (value && typeof value === "object") change(value);
      return value;
    };
  }`);
}

/** Changes what the page says, before it is sealed. `change` runs in the page, on a copy. */
export function pageSays(context: BrowserContext, change: (message: any) => void) {
  return context.addInitScript(`{
    const { parse, stringify } = JSON;
    const change = ${change.toString()};
    JSON.stringify = (value, ...more) => {
      const text = stringify(value, ...more);
      if (!value || typeof value !== "object" || Array.isArray(value)) return text;
      const copy = parse(text);
      change(copy);
      return stringify(copy, ...more);
    };
  }`);
}

/** What a relay of a later time says beside what the page knows. */
const LATER_FRAMES: (string | Buffer)[] = [
  '{"type":"weather","channel":1,"sunny":true}',
  '{"type":"channel-paused","channel":999999}',
  '{"type":"channel-closed","channel":999999,"reason":"dreamt","message":"x"}',
  '{"type":"machine-changed","machineId":7}',
  '{"type":"machines-grouped","groups":[[]]}',
  '{"type":["hello"]}',
  '{"type":"window","channel":"1","bytes":"many"}',
  '{"no":"type"}',
  "null",
  "[]",
  "{",
  Buffer.from([]),
  Buffer.from([1, 2]),
  Buffer.from([255, 255, 255, 255, 1, 2, 3]),
];

/** A relay of a later time: more fields in all it says, and more messages between. */
export function newerRelay(page: Page): Promise<void> {
  return page.routeWebSocket(/\/link\/v1\/device/, (socket) => {
    const relay = socket.connectToServer();
    relay.onMessage((message) => {
      for (const later of LATER_FRAMES) socket.send(later);
      if (typeof message !== "string") return socket.send(message);
      const known = JSON.parse(message) as object;
      socket.send(JSON.stringify({ ...known, later: { x: [1] }, build: "99.0.0" }));
    });
    socket.onMessage((message) => {
      // A newer page says more, too.
      if (typeof message === "string") relay.send('{"type":"later","channel":1}');
      relay.send(message);
    });
  });
}
