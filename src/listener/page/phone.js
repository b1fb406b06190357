// A telephone: its keys, its hook, and what its caller hears. There is one where a route leads to a
// simulated caller, as in `tonegate demo`.

import { Sound } from "./audio";
import { $, count, element, milliseconds, note, state } from "./dom";
import { change } from "./timeline";
import { open, tellEnding } from "./talk";

/** What such a route speaks. */
export const PROTOCOL = "phone.tonegate";

const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];
const LETTERS = ["", "ABC", "DEF", "GHI", "JKL", "MNO", "PQRS", "TUV", "WXYZ", "", "+", ""];
const SPOKEN = { "*": "star", "#": "hash" };
const LOW = [697, 770, 852, 941];
const HIGH = [1209, 1336, 1477];
const AGAIN = [500, 8000]; // milliseconds to wait before a lost line is opened anew; doubled each time

export class Phone {
  #socket = null;
  #call = null;
  #wait = AGAIN[0];

  constructor({ edge, base, credential, timeline, onChange }) {
    Object.assign(this, { edge, base, credential, timeline, onChange });
    this.route = edge.routes.find(({ subprotocols }) => subprotocols.includes(PROTOCOL));
    $("phone").hidden = !this.route;
    if (!this.route) return;
    $("keypad").replaceChildren(
      ...KEYS.map((key, at) => {
        const label = SPOKEN[key] ?? key;
        const button = element(
          "button",
          { type: "button", class: "digit", "aria-label": label, "data-key": key },
          element("span", { class: "sign" }, key),
          element("span", { class: "letters", "aria-hidden": "true" }, LETTERS[at]),
        );
        button.addEventListener("click", () => this.press(key));
        return button;
      }),
    );
    $("phone").addEventListener("keydown", (event) => this.#typed(event));
    $("phone-dial").addEventListener("click", () => this.dial());
    $("phone-end").addEventListener("click", () => this.#send({ type: "hang_up" }));
    $("phone-speak").addEventListener("click", () => this.#send({ type: "speak" }));
    $("phone-code").addEventListener("click", () => this.#code());
    credential.onChange(() => this.#connect());
    this.#connect();
  }

  /** Keys of the keyboard work while the focus is on the telephone, and mean nothing elsewhere. */
  #typed(event) {
    const plain = !event.ctrlKey && !event.altKey && !event.metaKey;
    if (!plain || !KEYS.includes(event.key)) return;
    event.preventDefault();
    if (!event.repeat) this.press(event.key);
  }

  #connect() {
    clearTimeout(this.again);
    this.#socket?.close(1000);
    this.#socket = null;
    const wants = this.route.key.length > 0 && !this.credential.key;
    for (const button of [$("phone-dial"), $("phone-code")]) button.disabled = wants;
    state("phone", wants ? "Needs a key" : "On the hook");
    if (wants) return;
    let socket;
    try {
      socket = open(this.route, this.credential.key);
    } catch (error) {
      note("phone-note", error.message);
      return;
    }
    let opened = false;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => (opened = true);
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = (event) => this.#socket === socket && this.#lost(event, opened);
    this.#socket = socket;
  }

  /** The line to the telephone itself is gone, and with it the call. */
  #lost(event, opened) {
    this.#socket = null;
    const { text } = tellEnding(event, opened, this.edge.endings);
    this.#over(text, false);
    for (const button of [$("phone-dial"), $("phone-code")]) button.disabled = true;
    if (event.reason === "unauthenticated") this.credential.refused();
    if (!opened || event.code === 1008) {
      state("phone", "Refused", "bad");
      return;
    }
    state("phone", "Out of order", "bad");
    this.again = setTimeout(() => this.#connect(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, AGAIN[1]);
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  async dial() {
    if (this.#call) return;
    note("phone-note");
    this.#keys(0);
    this.#call = { course: this.timeline.begin("A phone call"), began: 0, pressed: null, said: 0 };
    this.#buttons(true);
    state("phone", "Dialling", "busy");
    this.#call.course.add("client", "ACS dials the media URL of the call");
    try {
      this.sound ??= await Sound.open(this.base, null);
    } catch {
      // Without sound the call is still worth seeing.
      note("phone-note", "This browser plays no sound here; all else works.");
    }
    this.#send({ type: "dial" });
  }

  press(key) {
    if (!this.#call) {
      note("phone-note", "Dial first: there is nobody on the line.");
      return;
    }
    const at = KEYS.indexOf(key);
    this.sound?.beep(LOW[Math.floor(at / 3)], HIGH[at % 3]);
    const button = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    button.classList.add("down");
    setTimeout(() => button.classList.remove("down"), 120);
    this.#send({ type: "press", key });
  }

  #hear(data) {
    if (typeof data !== "string") {
      this.sound?.play(new Int16Array(data));
      return;
    }
    const event = JSON.parse(data);
    const call = this.#call;
    switch (event.type) {
      case "ready":
        this.#wait = AGAIN[0];
        $("phone-caller").textContent = event.caller;
        return;
      case "code":
        $("phone-code-text").textContent = event.code;
        return;
    }
    if (!call) return;
    // The telephone counts from when it dialled, this story from when somebody pressed Dial.
    if (event.type === "answered") call.began = call.course.now() - event.at;
    const at = call.began + (event.at ?? 0);
    switch (event.type) {
      case "answered":
        call.course.add("edge", "Admitted the call: ACS’ token, and the signature of the media URL", at);
        call.course.add("edge", "The gate is pending; nothing goes on before the code", at);
        state("phone", "Connected; the gate waits", "busy");
        this.onChange(call.course, { call: event.call, began: at });
        break;
      case "refused":
        this.#over(`The edge refused the call with HTTP ${event.status}.`, false);
        break;
      case "key":
        this.#keys(event.count);
        call.pressed ??= call.course.add("client", "", at);
        change(call.pressed, `${count(event.count, "key", "keys")} pressed, as tones in the audio`);
        break;
      case "said":
        call.said = at;
        call.course.add("client", "The caller has spoken", at);
        break;
      case "audio":
        this.#answered(call, at);
        break;
      case "stop":
        this.sound?.hush();
        if (event.dropped > 0) {
          const text = `The caller broke in: StopAudio, ${milliseconds(event.dropped)} of the answer were dropped`;
          call.course.add("edge", text, at);
        }
        break;
      case "ended": {
        const told = tellEnding(event, true, this.edge.endings);
        const good = event.how === "hung_up" || told.good;
        const text = event.how === "hung_up" ? "Hangs up" : `Closed with ${told.text}`;
        call.course.add(event.how === "hung_up" ? "client" : "edge", text, at, good ? "good" : "bad");
        this.#over(text, good, true);
        break;
      }
    }
  }

  #answered(call, at) {
    state("phone", "Talking to the agent", "good");
    $("phone-speak").disabled = false;
    if (call.said === 0) {
      call.course.add("upstream", "The first sound of the agent", at);
      return;
    }
    const ms = at - call.said;
    call.said = 0;
    call.course.answered(ms);
    call.course.add("upstream", `The answer begins, ${milliseconds(ms)} after the last word`, at);
  }

  #over(text, good, told = false) {
    const call = this.#call;
    this.#call = null;
    this.sound?.hush();
    if (call && !told) call.course.add("edge", text, undefined, good ? "good" : "bad");
    this.#buttons(false);
    state("phone", "On the hook");
    note("phone-note", good ? "" : text);
    this.onChange();
  }

  #buttons(live) {
    $("phone-dial").hidden = live;
    $("phone-end").hidden = !live;
    $("phone-speak").disabled = !live;
    if (document.activeElement === document.body) $(live ? "phone-end" : "phone-dial").focus();
  }

  #keys(number) {
    $("phone-keys").textContent = "•".repeat(Math.min(number, 24));
    $("phone-count").textContent = number > 0 ? count(number, "key pressed", "keys pressed") : "";
  }

  #code() {
    const shown = $("phone-code").getAttribute("aria-expanded") === "true";
    $("phone-code").setAttribute("aria-expanded", String(!shown));
    $("phone-code").textContent = shown ? "Show the code" : "Hide the code";
    $("phone-code-text").textContent = "";
    if (!shown) this.#send({ type: "code" });
  }
}
