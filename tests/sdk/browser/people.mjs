// Uses the edge's own page as people do, in a headless Chromium: reads, clicks, types, listens.
//
//   node people.mjs --roots ca.pem --page https://localhost:PORT/page --key KEY [--shots FOLDER]
//
// The edge is that of `tonegate demo`. Prints one JSON line: a result, or an error, per part; exit 0
// only when every part is done. With --shots it also leaves pictures, for people to look at.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { Browser, makeHome, removeHome } from "./browser.mjs";

const PATIENCE = 90_000; // for everything
const WAIT = 15_000; // for one thing to appear

/** What a microphone hears: a voice-like sound of 1.2 s, and silence, again and again. */
function microphoneFile(path) {
  const [rate, speech, all] = [48_000, 1.2, 4];
  const samples = Buffer.alloc(rate * all * 2);
  let phase = 0;
  for (let n = 0; n < rate * speech; n++) {
    phase += (2 * Math.PI * (140 + 30 * Math.sin((2 * Math.PI * 0.9 * n) / rate))) / rate;
    let sound = 0;
    for (let harmonic = 1; harmonic <= 8; harmonic++) sound += Math.sin(phase * harmonic) / harmonic;
    samples.writeInt16LE(Math.round(6000 * (0.55 - 0.45 * Math.cos((2 * Math.PI * 4 * n) / rate)) * sound), n * 2);
  }
  const head = Buffer.alloc(44);
  head.write("RIFF", 0);
  head.writeUInt32LE(36 + samples.length, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36);
  head.writeUInt32LE(samples.length, 40);
  writeFileSync(path, Buffer.concat([head, samples]));
}

/** A page in the browser, and a person before it. */
class Person {
  static async open(browser, url, { width = 1160, height = 900, dark = false } = {}) {
    const { targetId } = await browser.call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await browser.call("Target.attachToTarget", { targetId, flatten: true });
    const person = new Person(browser, targetId, sessionId);
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await person.call(`${domain}.enable`);
    await person.look({ width, height, dark });
    const there = await person.call("Page.navigate", { url });
    if (there.errorText) throw new Error(`${url}: ${there.errorText}`);
    await person.until("the page", `document.readyState === "complete" && document.getElementById("version").textContent !== ""`);
    return person;
  }

  constructor(browser, targetId, sessionId) {
    Object.assign(this, { browser, targetId, sessionId, complaints: [], frames: [], bodies: [] });
    browser.onEvent(({ method, params, sessionId: of }) => {
      if (of !== sessionId) return;
      if (method === "Log.entryAdded" && params.entry.level === "error") this.complaints.push(params.entry.text);
      if (method === "Runtime.exceptionThrown") this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
      if (method === "Runtime.consoleAPICalled" && params.type === "error") this.complaints.push(JSON.stringify(params.args));
      if (method === "Network.webSocketFrameReceived" && params.response.opcode === 1) this.frames.push(params.response.payloadData);
      if (method === "Network.loadingFinished") this.bodies.push(params.requestId);
    });
  }

  call(method, params) {
    return this.browser.call(method, params, this.sessionId);
  }

  evaluate(expression) {
    return this.browser.evaluate(this.sessionId, expression);
  }

  /** How the page is looked at. */
  async look({ width, height = 900, dark = false, scale = 1 }) {
    await this.call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: scale, mobile: width < 500 });
    await this.call("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }] });
  }

  /** Waits until an expression is true in the page; what it comes to. */
  async until(what, expression) {
    const late = Date.now() + WAIT;
    for (;;) {
      const value = await this.evaluate(expression);
      if (value) return value;
      if (Date.now() > late) throw new Error(`no ${what} in time: ${this.complaints} ${await this.evaluate("document.body.innerText")}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  click = (id) => this.evaluate(`document.getElementById(${JSON.stringify(id)}).click()`);
  text = (id) => this.evaluate(`document.getElementById(${JSON.stringify(id)}).textContent`);
  has = (id, text) => this.until(`${JSON.stringify(text)} in ${id}`, `document.getElementById(${JSON.stringify(id)}).textContent.includes(${JSON.stringify(text)})`);

  /** Presses a key of the keyboard, wherever the focus is. */
  async type(key) {
    const text = key.length === 1 ? key : undefined;
    const codes = { Tab: 9, Enter: 13 };
    const wanted = { key, text, unmodifiedText: text, windowsVirtualKeyCode: codes[key] ?? key.charCodeAt(0) };
    await this.call("Input.dispatchKeyEvent", { type: text ? "keyDown" : "rawKeyDown", ...wanted });
    await this.call("Input.dispatchKeyEvent", { type: "keyUp", ...wanted });
  }

  /** A picture, where somebody wants one. */
  async shoot(name) {
    if (!shots) return;
    const { cssContentSize } = await this.call("Page.getLayoutMetrics");
    const clip = { x: 0, y: 0, width: cssContentSize.width, height: cssContentSize.height, scale: 1 };
    const { data } = await this.call("Page.captureScreenshot", { format: "png", captureBeyondViewport: true, clip });
    writeFileSync(join(shots, `${name}.png`), Buffer.from(data, "base64"));
  }

  /** The timeline, line by line. */
  lines = () => this.evaluate(`[...document.querySelectorAll(".events li")].map((line) => [line.querySelector(".side").textContent, line.querySelector(".what").textContent])`);
}

/** What a screen reader is told of controls: each needs a role and a name. */
async function nameless(person) {
  await person.call("Accessibility.enable");
  const { nodes } = await person.call("Accessibility.getFullAXTree");
  const controls = ["button", "textbox", "combobox", "radio", "link", "meter", "table", "log", "img", "image", "group", "region"];
  return nodes
    .filter(({ ignored, role }) => !ignored && controls.includes(role?.value))
    .filter(({ name }) => !name?.value)
    .map(({ role }) => role.value);
}

/** Text whose contrast with what is behind it is less than WCAG 2.2 AA asks for. */
const FAINT = `(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest(":disabled, .unseen, .skip, noscript, option")) continue;
    const style = getComputedStyle(element);
    const svg = element instanceof SVGElement;
    const [a, b] = [light(rgb(svg ? style.fill : style.color)), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(element.tagName + " " + element.textContent.trim().slice(0, 30) + " " + contrast.toFixed(2));
  }
  return found;
})()`;

// The parts. Each leaves the page as it found it.

const PARTS = {
  /** The page is set up, the key has left the address, and nothing broke the policy. */
  async opens(person) {
    return {
      address: await person.evaluate("location.href"),
      stored: await person.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])"),
      secure: await person.evaluate("isSecureContext"),
      cards: await person.evaluate(`[...document.querySelectorAll(".card:not([hidden]) h2")].map((title) => title.textContent)`),
      nameless: await nameless(person),
      faint: await person.evaluate(FAINT),
    };
  },

  /** Somebody with a keyboard comes everywhere, and out again. */
  async tabs(person) {
    await person.evaluate(`document.querySelector(".skip").focus()`);
    const seen = [];
    for (let presses = 0; presses < 60; presses++) {
      await person.type("Tab");
      const at = await person.evaluate(`(({ id, className, dataset, name, tagName }) => id || dataset.key || name || className || tagName)(document.activeElement)`);
      if (at === "BODY" || seen.includes(at)) break;
      seen.push(at);
    }
    return { seen };
  },

  /** A conversation with the test voice. */
  async talks(person) {
    await person.click("talk-start");
    await person.has("timeline-log", "The answer begins");
    await person.until("sound", `document.getElementById("level-down").value > 0.02`);
    await person.has("transcript", "what you said");
    await person.shoot("talk-light");
    await person.look({ width: 1160, dark: true });
    const faint = await person.evaluate(FAINT);
    await person.shoot("talk-dark");
    await person.look({ width: 1160 });
    await person.click("talk-end");
    await person.has("talk-state", "Not connected");
    const plot = await person.evaluate(`document.querySelector("#latency-plot svg").getAttribute("aria-label")`);
    return { lines: await person.lines(), plot, faint, note: await person.text("talk-note") };
  },

  /** The same through a microphone. */
  async speaks(person) {
    await person.until("an end", `!document.getElementById("talk-start").hidden`);
    await person.evaluate(`document.querySelector("input[value=microphone]").click()`);
    await person.click("talk-start");
    await person.has("timeline-log", "Asks for the microphone");
    await person.has("timeline-log", "The answer begins");
    await person.until("sound", `document.getElementById("level-down").value > 0.02`);
    await person.click("talk-end");
    await person.has("talk-state", "Not connected");
    return { lines: await person.lines(), note: await person.text("talk-note") };
  },

  /** A microphone that is not allowed. */
  async denied(person) {
    await person.evaluate(`navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", "NotAllowedError")); 0`);
    await person.evaluate(`document.querySelector("input[value=microphone]").click()`);
    await person.click("talk-start");
    await person.has("talk-note", "microphone");
    await person.shoot("microphone-denied");
    await person.evaluate(`document.querySelector("input[value=voice]").click()`);
    return { note: await person.text("talk-note"), state: await person.text("talk-state") };
  },

  /** A caller with a wrong code, by the keyboard. */
  async mistypes(person) {
    await person.evaluate(`document.getElementById("phone-dial").focus()`);
    await person.type("Enter");
    await person.evaluate(`document.getElementById("phone-dial").hidden || document.getElementById("phone-dial").click()`);
    await person.has("phone-state", "gate waits");
    for (const key of "000000") await person.type(key);
    await person.has("phone-note", "4403");
    await person.has("timeline-log", "Ended the session");
    await person.shoot("wrong-code");
    return { lines: await person.lines(), note: await person.text("phone-note"), count: await person.text("phone-count") };
  },

  /** One with the right code, by the mouse, who talks. */
  async calls(person) {
    await person.click("phone-code");
    const code = await person.until("code", `document.getElementById("phone-code-text").textContent`);
    await person.click("phone-code");
    await person.click("phone-dial");
    await person.has("phone-state", "gate waits");
    for (const key of code) await person.evaluate(`document.querySelector('[data-key="${key}"]').click()`);
    await person.until("six keys", `document.getElementById("phone-count").textContent.startsWith("6 ")`);
    await person.click("phone-speak");
    await person.has("timeline-log", "The answer begins");
    await person.shoot("phone-light");
    await person.look({ width: 360, scale: 2 });
    await person.shoot("phone-narrow");
    await person.look({ width: 320 });
    const wide = await person.evaluate("document.documentElement.scrollWidth");
    await person.look({ width: 1160 });
    await person.click("phone-end");
    await person.has("phone-state", "On the hook");
    await person.has("timeline-log", "Ended the session");
    const told = person.frames.filter((frame) => frame.includes(code) && !frame.startsWith('{"type":"code"') && !frame.includes('"code":"'));
    return { lines: await person.lines(), note: await person.text("phone-note"), wide, told };
  },

  /** Which sessions there are and were. */
  async lists(person) {
    await person.has("sessions-rows", "code_wrong");
    await person.until("the last call", `document.querySelector("#sessions-rows tr").innerText.includes("client_closed")`);
    await person.shoot("sessions");
    return { rows: await person.evaluate(`[...document.querySelectorAll("#sessions-rows tr")].map((row) => row.innerText)`) };
  },

  /** Somebody with a key that is none. */
  async refused(person) {
    await person.click("key-forget");
    await person.has("sessions-empty", "Enter a key");
    const empty = await person.text("sessions-empty");
    await person.shoot("no-key");
    await person.evaluate(`document.getElementById("key").value = "no-such-key"`);
    await person.evaluate(`document.getElementById("key-form").requestSubmit()`);
    await person.click("talk-start");
    await person.has("talk-note", "1008");
    await person.has("sessions-empty", "does not tell");
    await person.has("key-state", "refused");
    await person.shoot("refused");
    return { empty, note: await person.text("talk-note"), sessions: await person.text("sessions-empty"), lines: await person.lines() };
  },
};

const { values } = parseArgs({
  options: { roots: { type: "string" }, page: { type: "string" }, key: { type: "string" }, shots: { type: "string" } },
});
const { shots } = values;
if (shots) mkdirSync(shots, { recursive: true });

async function main() {
  const home = makeHome(values.roots);
  const heard = join(home, "microphone.wav");
  microphoneFile(heard);
  const browser = new Browser(home, [
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    `--use-file-for-fake-audio-capture=${heard}`,
    "--force-prefers-reduced-motion",
  ]);
  const late = setTimeout(() => browser.process.kill("SIGKILL"), PATIENCE);
  const results = {};
  let failed = false;
  try {
    const person = await Person.open(browser, `${values.page}#key=${values.key}`);
    await person.shoot("fresh-light");
    for (const [name, part] of Object.entries(PARTS)) {
      const began = Date.now();
      const quiet = person.complaints.length;
      results[name] = await part(person).catch((error) => ((failed = true), { error: error.message }));
      results[name].complaints = person.complaints.slice(quiet);
      results[name].ms = Date.now() - began;
    }
  } catch (error) {
    failed = true;
    results.error = error.message;
  }
  await browser.end();
  clearTimeout(late);
  removeHome(home);
  process.stdout.write(`${JSON.stringify(results)}\n`);
  process.exitCode = failed ? 1 : 0;
}

await main();
