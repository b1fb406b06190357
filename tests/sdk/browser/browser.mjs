// A headless Chromium that is spoken to by the DevTools protocol through a pipe: no port, no package.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BROWSER = "chromium-headless-shell";

/** A home of its own: certificates and profile end with it. */
export function makeHome(roots) {
  const home = mkdtempSync(join(tmpdir(), "tonegate-browser-"));
  const store = join(home, ".pki", "nssdb");
  mkdirSync(store, { recursive: true });
  const certutil = (...args) => execFileSync("certutil", ["-d", `sql:${store}`, ...args], { stdio: "pipe" });
  certutil("-N", "--empty-password");
  certutil("-A", "-n", "private authority", "-t", "C,,", "-i", roots);
  return home;
}

export const removeHome = (home) => rmSync(home, { recursive: true, force: true, maxRetries: 5 });

export class Browser {
  #next = 1;
  #waiting = new Map();
  #rest = "";
  #hears = [];

  constructor(home, more = []) {
    const flags = [
      "--headless",
      "--no-sandbox", // root has none, and the only pages are ours
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--no-proxy-server",
      "--remote-debugging-pipe",
      `--user-data-dir=${join(home, "profile")}`,
      ...more,
      "about:blank",
    ];
    const stdio = ["ignore", "ignore", "pipe", "pipe", "pipe"];
    this.process = spawn(BROWSER, flags, { stdio, env: { ...process.env, HOME: home } });
    this.said = "";
    this.process.stderr.on("data", (data) => (this.said = (this.said + data).slice(-4000)));
    this.process.on("error", (error) => this.#fail(error));
    this.process.on("exit", (code) => this.#fail(new Error(`the browser ended with ${code}: ${this.said}`)));
    this.process.stdio[4].on("data", (data) => this.#read(data.toString()));
    this.process.stdio[3].on("error", () => {}); // its end is told by `exit`
  }

  /** Each event of any page. */
  onEvent(hear) {
    this.#hears.push(hear);
  }

  #fail(error) {
    this.failure = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #read(text) {
    const parts = (this.#rest + text).split("\0");
    this.#rest = parts.pop();
    for (const message of parts.map((part) => JSON.parse(part))) {
      const waiting = this.#waiting.get(message.id);
      if (!waiting) {
        for (const hear of this.#hears) hear(message);
        continue;
      }
      this.#waiting.delete(message.id);
      if (message.error) waiting.reject(new Error(message.error.message));
      else waiting.resolve(message.result);
    }
  }

  call(method, params = {}, sessionId) {
    if (this.failure) return Promise.reject(this.failure);
    const id = this.#next++;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  /** What an expression comes to in a page. */
  async evaluate(sessionId, expression) {
    const wanted = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
    const ran = await this.call("Runtime.evaluate", wanted, sessionId);
    if (ran.exceptionDetails) throw new Error(ran.exceptionDetails.exception?.description ?? ran.exceptionDetails.text);
    return ran.result.value;
  }

  async end() {
    if (this.process.exitCode !== null || this.process.signalCode) return;
    const gone = once(this.process, "exit");
    this.call("Browser.close").catch(() => {});
    const kill = setTimeout(() => this.process.kill("SIGKILL"), 5000);
    await gone;
    clearTimeout(kill);
  }
}
