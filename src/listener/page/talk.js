// Talking to Voice Live on a route: its messages, the audio both ways, and how it ended.

import { Sound, RATE, fromBase64, toBase64, whyNot } from "./audio";
import { $, element, milliseconds, note, state } from "./dom";

const LOUD = 0.02; // what counts as somebody speaking, of a full scale of 1
const WAIT = 15_000; // for a socket that neither opens nor closes
const LINES = 100; // of the transcript
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/; // what a subprotocol may be called (RFC 9110)

/** A WebSocket to a route, with the key where the route takes one. */
export function open(route, key, parameters = {}) {
  const url = new URL(route.path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  for (const [name, value] of Object.entries(parameters)) if (value) url.searchParams.set(name, value);
  const protocols = [...route.subprotocols];
  if (key && route.key.length > 0) {
    if (route.key.includes("subprotocol") && TOKEN.test(key)) protocols.push(`authorization.bearer.${key}`);
    else if (route.key.includes("query")) url.searchParams.set("token", key);
    else throw new Error("This key has characters that a browser cannot send here. The route would have to accept it in the query.");
  }
  return new WebSocket(url, protocols);
}

/** How a socket ended, for people, by the edge's own table. */
export function tellEnding({ code, reason }, opened, endings) {
  const row = endings.find(({ word }) => word === reason);
  if (row) return { good: code === 1000, text: `${code} ${row.word}: ${row.title}.` };
  if (!opened) {
    return {
      good: false,
      text: "1006: refused before it opened. Browsers do not tell a page why; mostly the key is not one for this route, or its origins do not list this page.",
    };
  }
  if (code === 1006) return { good: false, text: "1006: the connection was lost without a word." };
  if (code === 1005) return { good: true, text: "no code." };
  const same = endings.filter(({ close }) => close === code);
  const title = code === 1000 ? "ended as it should" : same.length === 1 ? same[0].title : "closed";
  return { good: code === 1000, text: `${code}: ${title}${reason ? ` (“${reason}”)` : ""}.` };
}

export class Talk {
  #run = null;

  constructor({ edge, base, credential, timeline, onChange }) {
    Object.assign(this, { edge, base, credential, timeline, onChange });
    this.routes = edge.routes.filter(({ kind }) => kind === "voice-live");
    $("talk").hidden = this.routes.length === 0;
    if (this.routes.length === 0) return;
    $("route").replaceChildren(...this.routes.map(({ name }) => element("option", { value: name }, name)));
    $("route-label").hidden = this.routes.length === 1;
    $("route").addEventListener("change", () => this.#models());
    this.#models();
    $("talk-start").addEventListener("click", () => this.start());
    $("talk-end").addEventListener("click", () => this.#run?.hangUp());
  }

  get #route() {
    return this.routes.find(({ name }) => name === $("route").value) ?? this.routes[0];
  }

  #models() {
    const { models } = this.#route;
    $("model").replaceChildren(...models.map((name) => element("option", { value: name }, name)));
    $("model-label").hidden = models.length < 2;
  }

  async start() {
    if (this.#run) return;
    const route = this.#route;
    note("talk-note");
    if (route.key.length > 0 && !this.credential.key) {
      note("talk-note", "This route wants a key. Enter one at the top of the page first.");
      $("key").focus();
      return;
    }
    const source = document.querySelector("input[name=source]:checked").value;
    this.#buttons(true);
    state("talk", source === "microphone" ? "Asking for the microphone" : "Preparing the sound", "busy");
    const run = new Run(this, route, source);
    this.#run = run;
    try {
      await run.dial($("model").value);
    } catch (error) {
      const why = run.leaving ? "" : whyNot(error);
      if (why) run.course.add("client", why, undefined, "bad");
      this.ended(run.leaving, why);
      await run.close();
    }
  }

  #buttons(live) {
    $("talk-start").hidden = live;
    $("talk-end").hidden = !live;
    // The focus stays where somebody left it, on the button that took the other's place.
    if (document.activeElement === document.body) $(live ? "talk-end" : "talk-start").focus();
    for (const control of document.querySelectorAll("#talk select, #talk input")) control.disabled = live;
  }

  ended(good, text) {
    this.#run = null;
    this.#buttons(false);
    for (const name of ["level-up", "level-down"]) $(name).value = 0;
    state("talk", "Not connected");
    note("talk-note", good ? "" : text);
    this.onChange();
  }
}

/** One conversation. */
class Run {
  #spoke = 0;
  #lines = new Map();

  constructor(talk, route, source) {
    Object.assign(this, { talk, route, source, opened: false, sending: false, said: false, leaving: false });
  }

  async dial(model) {
    this.course = this.talk.timeline.begin(`A talk on route ${this.route.name}`);
    $("transcript").replaceChildren(element("p", { class: "empty" }, "Nothing yet."));
    if (this.source === "microphone") this.course.add("client", "Asks for the microphone");
    this.sound = await Sound.open(this.talk.base, this.source);
    if (this.leaving) throw new DOMException("Cancelled.", "AbortError");
    this.sound.onPiece = (data) => this.#speak(data);
    this.sound.onHeard = (data) => this.#heard(data);
    this.course.add("client", `Connects to ${this.route.path}`);
    state("talk", "Connecting", "busy");
    const parameters = { model: this.route.models.length > 0 ? model : "" };
    this.socket = open(this.route, this.talk.credential.key, parameters);
    this.late = setTimeout(() => this.socket.close(), WAIT);
    this.socket.onopen = () => this.#open();
    this.socket.onmessage = ({ data }) => this.#hear(data);
    this.socket.onclose = (event) => this.#closed(event);
  }

  hangUp() {
    this.leaving = true;
    this.course.add("client", "Hangs up");
    if (!this.socket) return;
    this.socket.close(1000);
  }

  async close() {
    clearTimeout(this.late);
    await this.sound?.close();
  }

  #open() {
    clearTimeout(this.late);
    this.opened = true;
    this.course.add("edge", "Answered the upgrade (101)");
    state("talk", "Waiting for the service", "busy");
    this.talk.onChange(this.course, { route: this.route.name });
  }

  #send(event) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(event));
  }

  #hear(data) {
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return; // nothing of Voice Live's
    }
    switch (event.type) {
      case "session.created":
        this.course.add("upstream", "The session is there");
        this.#send({
          type: "session.update",
          session: {
            modalities: ["text", "audio"],
            input_audio_format: "pcm16",
            input_audio_sampling_rate: RATE,
            output_audio_format: "pcm16",
            turn_detection: { type: "azure_semantic_vad", silence_duration_ms: 300 },
          },
        });
        break;
      case "session.updated":
        if (!this.sending) this.course.add("upstream", "The session is set up; audio goes up");
        this.sending = true;
        state("talk", "Connected", "good");
        break;
      case "input_audio_buffer.speech_started":
        this.sound.hush();
        break;
      case "response.audio.delta":
      case "response.output_audio.delta":
        this.#audio(event.delta);
        break;
      case "response.audio_transcript.delta":
      case "response.output_audio_transcript.delta":
      case "response.text.delta":
        this.#write(event.response_id, "Agent", event.delta, true);
        break;
      case "conversation.item.input_audio_transcription.completed":
        this.#write(event.item_id, "You", event.transcript, false);
        break;
      case "error":
        note("talk-note", event.error?.message ?? "The service reported an error.");
        this.course.add(this.sending ? "upstream" : "edge", event.error?.message ?? "An error", undefined, "bad");
        break;
    }
  }

  #speak({ piece, level }) {
    $("level-up").value = Math.min(1, level * 4);
    if (!this.sending) return;
    if (level > LOUD) {
      if (!this.said) this.course.add("client", "The first words go up");
      this.said = true;
      this.#spoke = performance.now();
    }
    this.#send({ type: "input_audio_buffer.append", audio: toBase64(piece) });
  }

  #audio(delta) {
    const now = performance.now();
    if (this.#spoke > 0) {
      const ms = now - this.#spoke;
      this.#spoke = 0;
      this.course.answered(ms);
      this.course.add("upstream", `The answer begins, ${milliseconds(ms)} after the last word`);
    }
    this.sound.play(fromBase64(delta));
  }

  #heard({ level, stopped }) {
    if (level !== undefined) $("level-down").value = Math.min(1, level * 4);
    if (stopped !== undefined) {
      const text = `You broke in; ${milliseconds(stopped * 1000)} of the answer were dropped`;
      this.course.add("client", text);
    }
  }

  #write(id, who, text, more) {
    const log = $("transcript");
    let line = this.#lines.get(id);
    if (!line) {
      if (this.#lines.size === 0) log.replaceChildren();
      line = element("span", { class: "said" });
      this.#lines.set(id, line);
      log.append(element("p", { class: who === "You" ? "you" : "agent" }, element("b", {}, who), " ", line));
      if (log.children.length > LINES) log.firstElementChild.remove();
    }
    line.textContent = more ? line.textContent + text : text;
    log.scrollTop = log.scrollHeight;
  }

  async #closed(event) {
    const told = tellEnding(event, this.opened, this.talk.edge.endings);
    const good = told.good || this.leaving;
    this.course.add("edge", `Closed with ${told.text}`, undefined, good ? "good" : "bad");
    if (event.reason === "unauthenticated") this.talk.credential.refused();
    this.talk.ended(good, told.text);
    await this.close();
  }
}
