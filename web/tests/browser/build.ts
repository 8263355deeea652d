/**
 * A relay whose page can become another one: it stands before the real relay, passes everything on,
 * and changes the page's own files when it is told to.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, request, type IncomingMessage, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";

/** The version in `package.json`, which the page shows, and the one that comes after it. */
export const { version: BUILD } = JSON.parse(readFileSync("package.json", "utf8")) as {
  version: string;
};
export const NEWER = "9.9.9";

/**
 * What is served. `tampered`: other code under the names of the old one, and the old worker.
 * `newer`: a whole build, with its own worker.
 */
export type Serving = "own" | "tampered" | "newer";

export class OtherBuild {
  serving: Serving = "own";
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly relay: URL,
  ) {}

  static async before(relay: string): Promise<OtherBuild> {
    const server = createServer();
    const other = new OtherBuild(server, new URL(relay));
    server.on("request", (asked, answer) => {
      void other.answer(asked).then(({ status, headers, body }) => {
        answer.writeHead(status, headers);
        answer.end(body);
      });
    });
    server.on("upgrade", (asked: IncomingMessage, socket: Socket, head: Buffer) => {
      const [host, port] = [other.relay.hostname, Number(other.relay.port)];
      const onward = connect(port, host, () => {
        const lines = Object.entries(other.headers(asked)).map(
          ([name, value]) => `${name}: ${value}`,
        );
        onward.write([`GET ${asked.url} HTTP/1.1`, ...lines, "", ""].join("\r\n"));
        onward.write(head);
        onward.pipe(socket).pipe(onward);
      });
      for (const [end, far] of [
        [socket, onward],
        [onward, socket],
      ] as const) {
        other.sockets.add(end);
        end.on("error", () => far.destroy());
        end.on("close", () => far.destroy());
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return other;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  end(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.closeAllConnections();
    this.server.close();
  }

  /** As the relay must see them: it answers by its own name, to its own page. */
  private headers(asked: IncomingMessage): Record<string, string> {
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(asked.headers)) headers[name] = String(value);
    headers.host = this.relay.host;
    if (headers.origin) headers.origin = this.relay.origin;
    if (headers.referer) delete headers.referer;
    headers["accept-encoding"] = "identity";
    if (this.serving !== "own") delete headers["if-none-match"];
    return headers;
  }

  private async answer(asked: IncomingMessage) {
    const said: Buffer[] = [];
    for await (const part of asked) said.push(part as Buffer);
    const answer = await this.ask(
      asked.method!,
      asked.url!,
      this.headers(asked),
      Buffer.concat(said),
    );
    const body = await this.changed(asked.url!, answer.body);
    const headers = { ...answer.headers };
    if (body !== answer.body) {
      delete headers.etag;
      headers["content-length"] = String(body.length);
    }
    return { ...answer, headers, body };
  }

  private ask(
    method: string,
    path: string,
    headers: Record<string, string>,
    body = Buffer.alloc(0),
  ) {
    return new Promise<{ status: number; headers: IncomingMessage["headers"]; body: Buffer }>(
      (resolve, reject) => {
        const asking = request(new URL(path, this.relay), { method, headers }, (answer) => {
          const parts: Buffer[] = [];
          answer.on("data", (part: Buffer) => parts.push(part));
          answer.on("end", () => {
            const { statusCode: status = 500, headers } = answer;
            resolve({ status, headers, body: Buffer.concat(parts) });
          });
        });
        asking.on("error", reject);
        asking.end(body);
      },
    );
  }

  private async changed(path: string, body: Buffer): Promise<Buffer> {
    if (this.serving === "own") return body;
    if (/^\/assets\/.*\.js$/.test(path)) return later(body);
    if (path !== "/worker.js" || this.serving === "tampered") return body;
    // The worker names every file with its hash.
    let worker = body.toString();
    for (const [, file] of worker.matchAll(/(\/assets\/[\w.-]+\.js)[`'"]/g)) {
      const own = (await this.ask("GET", file!, { "accept-encoding": "identity" })).body;
      worker = worker.replaceAll(hash(own), hash(later(own)));
    }
    return Buffer.from(worker.replaceAll(BUILD, NEWER));
  }
}

const hash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

const later = (code: Buffer): Buffer => Buffer.from(code.toString().replaceAll(BUILD, NEWER));
