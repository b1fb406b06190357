// Opens pages in a headless Chromium and lets them talk to an edge, one task after the other.
//
//   node drive.mjs --roots ca.pem '[{"page":"http://localhost:PORT/","do":"converse","url":"wss://…"}]'
//
// `do` names a function of page.html, which the caller serves; the rest is its argument. The browser
// trusts the certificate authority through its own database, as a user's would. Prints one JSON line
// with a result or an error per task; exit 0 only when every task returned. Speaks the DevTools
// protocol through a pipe: no port, no package.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const BROWSER = "chromium-headless-shell";
const PATIENCE = 60_000; // for everything; a page's own are shorter

// A home of its own: certificates and profile end with it.
function makeHome(roots) {
  const home = mkdtempSync(join(tmpdir(), "tonegate-browser-"));
  const store = join(home, ".pki", "nssdb");
  mkdirSync(store, { recursive: true });
  const certutil = (...args) => execFileSync("certutil", ["-d", `sql:${store}`, ...args], { stdio: "pipe" });
  certutil("-N", "--empty-password");
  certutil("-A", "-n", "private authority", "-t", "C,,", "-i", roots);
  return home;
}

class Browser {
  #next = 1;
  #waiting = new Map();
  #rest = "";

  constructor(home) {
    const flags = [
      "--headless",
      "--no-sandbox", // root has none, and the only pages are ours
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--no-proxy-server",
      "--remote-debugging-pipe",
      `--user-data-dir=${join(home, "profile")}`,
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
      if (!waiting) continue; // an event; nobody here listens to any
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

  // A page, opened anew for one task.
  async run({ page, do: name, ...argument }) {
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    const there = await this.call("Page.navigate", { url: page }, sessionId);
    if (there.errorText) throw new Error(`${page}: ${there.errorText}`);
    const expression = `(async () => {
      if (document.readyState !== "complete") await new Promise((done) => addEventListener("load", done));
      return { origin: location.origin, ...(await ${name}(${JSON.stringify(argument)})) };
    })()`;
    const ran = await this.call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true }, sessionId);
    await this.call("Target.closeTarget", { targetId });
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

async function main() {
  const { values, positionals } = parseArgs({ options: { roots: { type: "string" } }, allowPositionals: true });
  const home = makeHome(values.roots);
  const browser = new Browser(home);
  const late = setTimeout(() => browser.process.kill("SIGKILL"), PATIENCE);
  const results = [];
  const { product } = await browser.call("Browser.getVersion").catch((error) => ({ product: `none: ${error.message}` }));
  for (const task of JSON.parse(positionals[0])) {
    results.push(await browser.run(task).catch((error) => ({ error: error.message })));
  }
  await browser.end();
  clearTimeout(late);
  rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  process.stdout.write(`${JSON.stringify({ browser: product, results })}\n`);
  process.exitCode = results.every((result) => !result.error) ? 0 : 1;
}

await main();
