// Which sessions there are, how those ended that have, and what the edge tells of one as it goes on.

import { PROTOCOL } from "./phone";
import { $, count, element, milliseconds } from "./dom";
import { change } from "./timeline";

const EVERY = 2000; // milliseconds from one answer to the next question
const SLOWER = 15_000; // where the last question failed
const SEARCHES = 12; // for a session that has just begun, 150 ms apart
const SHOWN = 30; // rows; who wants more asks the edge

const GATE = {
  authorised: "The gate opened: the code is one that is known",
  rejected: "The gate rejected the caller",
  expired: "The gate closed: no code came in time",
};

export class Sessions {
  #ended = [];

  constructor({ edge, credential }) {
    Object.assign(this, { edge, credential });
    $("sessions").hidden = !edge.sessions;
    if (!edge.sessions) return;
    // The line by which this page holds its telephone is no conversation.
    this.aside = edge.routes.filter(({ subprotocols }) => subprotocols.includes(PROTOCOL)).map(({ name }) => name);
    credential.onChange(() => this.#ask());
    document.addEventListener("visibilitychange", () => this.#ask());
    this.#ask();
  }

  /** A session has begun, by its route or its call, and its story is to have what the edge tells of it;
   *  without one: something has ended. */
  follow(course, wanted) {
    if (!this.edge.sessions) return;
    if (course) this.#follow(course, wanted).catch(() => {});
    this.#ask();
  }

  async #get(path) {
    const headers = this.credential.key ? { Authorization: `Bearer ${this.credential.key}` } : {};
    return fetch(`${this.edge.sessions.path}${path}`, { headers, cache: "no-store" });
  }

  async #ask() {
    clearTimeout(this.timer);
    const turn = (this.turn = {});
    if (document.hidden) return;
    if (this.edge.sessions.key && !this.credential.key) {
      this.#show([], [], "Enter a key to see the sessions that it may see.");
      return;
    }
    let wait = EVERY;
    try {
      const answers = await Promise.all([this.#get(""), this.#get("/ended")]);
      const [running, over] = await Promise.all(answers.map((answer) => answer.json()));
      if (this.turn !== turn) return;
      const refused = answers.findIndex((answer) => !answer.ok);
      if (refused === -1) {
        this.#show(running.sessions, over.ended, "No session runs, and none has ended. Connect above, and yours appears here.");
      } else {
        const { status } = answers[refused];
        const { detail } = [running, over][refused];
        if (status === 401) this.credential.refused();
        wait = status < 500 && status !== 429 ? null : SLOWER;
        this.#show([], [], detail ? `The edge does not tell: ${detail}.` : `The edge answered ${status}.`);
      }
    } catch {
      if (this.turn !== turn) return;
      wait = SLOWER;
      this.#show([], [], "The edge does not answer. It is asked again in a moment.");
    }
    if (wait !== null) this.timer = setTimeout(() => this.#ask(), wait);
  }

  #show(running, ended, empty) {
    const ours = ({ route }) => !this.aside?.includes(route);
    const rows = [
      ...running.filter(ours).reverse().map((session) => runs(session)),
      ...ended.filter(ours).map((session) => hasEnded(session, this.edge.endings)),
    ].slice(0, SHOWN);
    const some = running.filter(ours).length;
    $("sessions-state").textContent = rows.length === 0 ? "" : some === 0 ? "None runs" : count(some, "runs", "run");
    $("sessions-rows").replaceChildren(...rows);
    $("sessions-empty").textContent = empty;
    $("sessions-empty").hidden = rows.length > 0;
    $("sessions-table").hidden = rows.length === 0;
  }

  async #find({ route, call }) {
    for (let search = 0; search < SEARCHES; search++) {
      const answer = await this.#get("");
      if (!answer.ok) return null;
      const { sessions } = await answer.json();
      const is = (session) => (call ? session.call === call : session.own && session.route === route);
      const found = sessions.findLast(is);
      if (found) return found;
      await new Promise((done) => setTimeout(done, 150));
    }
    return null;
  }

  /** Adds what the edge tells, line by line, to the story of whoever began it. */
  async #follow(course, wanted) {
    const began = wanted.began ?? course.now();
    const session = await this.#find(wanted);
    if (!session) return;
    const answer = await this.#get(`/${session.session}/tail`);
    if (!answer.ok) return;
    const story = new Story(course, began, this.edge.endings);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) story.tell(JSON.parse(line));
      if (!course.isCurrent()) return void reader.cancel();
    }
  }
}

/** What the edge tells of one session, in words. */
class Story {
  #keys = null;
  #first = new Set();

  constructor(course, began, endings) {
    Object.assign(this, { course, began, endings });
  }

  tell(event) {
    const at = this.began + (event.at_ms ?? 0);
    switch (event.event) {
      case "begin":
        this.course.add("edge", `Session ${event.id.slice(0, 8)} of ${event.subject}`, this.began);
        break;
      case "gate":
        if (GATE[event.state]) this.course.add("edge", GATE[event.state], at, event.state === "authorised" ? "good" : "bad");
        break;
      case "keys":
        this.#keys ??= this.course.add("edge", "", at);
        change(this.#keys, `Heard ${count(event.count, "key", "keys")} in the audio`);
        break;
      case "message":
        this.#message(event, at);
        break;
      case "ended": {
        const title = this.endings.find(({ word }) => word === event.reason)?.title ?? "";
        this.course.add(event.ended_by, `Ended the session: ${event.reason}, ${title}`, at);
        break;
      }
    }
  }

  #message({ direction, type }, at) {
    const audio = ["AudioData", "input_audio_buffer.append", "response.audio.delta", "response.output_audio.delta"].includes(type);
    if (!audio || this.#first.has(direction)) return;
    this.#first.add(direction);
    const way = direction === "up" ? "from the caller" : "to the caller";
    this.course.add("edge", `The first audio ${way} crosses`, at);
  }
}

const cell = (label, ...children) => element("td", { "data-label": label }, element("span", {}, ...children));

function row(id, { started, route, own, subject }, ...state) {
  return element(
    "tr",
    {},
    cell("Began", element("time", { datetime: started }, new Date(started).toLocaleTimeString())),
    cell("Route", route),
    cell("Who", own ? `${subject} (you)` : subject),
    cell("State", ...state),
    cell("Session", element("code", { title: id }, id.slice(0, 8))),
  );
}

const dot = (mood) => element("span", { class: `dot ${mood}`, "aria-hidden": "true" });

function runs(session) {
  const since = Math.max(0, Date.now() - new Date(session.started));
  return row(session.session, session, dot("good"), ` runs for ${milliseconds(since)}`);
}

function hasEnded(session, endings) {
  const { reason, ended_by: by } = session.end;
  const row_ = endings.find(({ word }) => word === reason);
  const usual = row_?.close === 1000;
  const text = ` ${reason}, by the ${by}, after ${milliseconds(session.duration_ms)}`;
  return row(session.id, { ...session, started: session.since }, dot(usual ? "" : "bad"), element("span", { title: row_?.title }, text));
}
