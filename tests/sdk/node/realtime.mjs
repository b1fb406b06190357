// Holds one conversation through OpenAI's own realtime client for Node, unmodified, or with --browser
// through its class for browsers, which puts the key into a subprotocol and needs the native
// WebSocket (Node below 22 has it behind --experimental-websocket).
//
// Streams PCM in 20 ms appends, asks for the reply, and compares its bytes with those sent (the model
// at the far end is expected to say back what it heard). Prints one JSON line; exit 0 only when every
// byte came back. The caller names the certificate authority in NODE_EXTRA_CA_CERTS.

import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { CHUNK, RATE, pseudoSpeech } from "./speech.mjs";

// tests/tools/install.sh puts the SDK below .tools/, away from the sources.
const sdk = (name) => import(new URL(`../../../.tools/openai-node/node_modules/openai/${name}`, import.meta.url));

const AUDIO = ["response.output_audio.delta"];

function settings() {
  const { values } = parseArgs({
    options: {
      endpoint: { type: "string" }, // https://localhost:PORT
      key: { type: "string" },
      browser: { type: "boolean", default: false },
      model: { type: "string", default: "gpt-realtime" },
      seconds: { type: "string", default: "2" }, // how much is said
      timeout: { type: "string", default: "60" }, // seconds for the whole conversation
    },
  });
  if (!values.endpoint || !values.key) throw new Error("--endpoint and --key are needed");
  return values;
}

async function dial(args) {
  const { OpenAI } = await sdk("index.mjs");
  const client = new OpenAI({ apiKey: args.key, baseURL: `${args.endpoint}/v1`, dangerouslyAllowBrowser: args.browser });
  if (args.browser) {
    const { OpenAIRealtimeWebSocket } = await sdk("realtime/websocket.mjs");
    return new OpenAIRealtimeWebSocket({ model: args.model, dangerouslyAllowBrowser: true }, client);
  }
  const { OpenAIRealtimeWS } = await sdk("realtime/ws.mjs");
  return new OpenAIRealtimeWS({ model: args.model }, client);
}

// Counts the events, keeps the audio, and lets the conversation wait for an event by its type.
class Ear {
  events = {};
  audio = [];
  #waiting = [];
  #failure = null;

  constructor(realtime) {
    realtime.on("event", (event) => this.#heard(event));
    realtime.on("error", (error) => this.#fail(error));
    this.closed = new Promise((resolve) => {
      realtime.socket.addEventListener("close", ({ code, reason }) => {
        this.#fail(new Error(`closed: ${code} ${reason}`));
        resolve(code);
      });
    });
  }

  #heard(event) {
    this.events[event.type] = (this.events[event.type] ?? 0) + 1;
    if (AUDIO.includes(event.type)) this.audio.push(Buffer.from(event.delta, "base64"));
    this.#waiting = this.#waiting.filter((one) => one.type !== event.type || one.resolve(event));
  }

  #fail(error) {
    this.#failure ??= error;
    for (const one of this.#waiting.splice(0)) one.reject(error);
  }

  // Each type is waited for once, so one that came before anybody asked counts too.
  until(type) {
    if (this.events[type]) return Promise.resolve();
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => this.#waiting.push({ type, resolve, reject }));
  }
}

async function run(args) {
  const realtime = await dial(args);
  const ear = new Ear(realtime);
  await ear.until("session.created");
  const format = { type: "audio/pcm", rate: RATE };
  const session = {
    type: "realtime",
    output_modalities: ["audio"],
    audio: { input: { format, turn_detection: null }, output: { format } },
  };
  realtime.send({ type: "session.update", session });
  await ear.until("session.updated");
  const said = pseudoSpeech(Number(args.seconds));
  for (let at = 0; at < said.length; at += CHUNK) {
    realtime.send({ type: "input_audio_buffer.append", audio: said.subarray(at, at + CHUNK).toString("base64") });
  }
  realtime.send({ type: "input_audio_buffer.commit" });
  await ear.until("input_audio_buffer.committed");
  realtime.send({ type: "response.create" });
  await ear.until("response.done");
  realtime.close();
  const close = await ear.closed;
  const heard = Buffer.concat(ear.audio);
  const digest = (data) => createHash("sha256").update(data).digest("hex");
  const ok = heard.equals(said) && close === 1000;
  return {
    ok,
    ...(ok ? {} : { error: "what came back is not what was sent, or the close was not 1000" }),
    sent_sha256: digest(said),
    received_sha256: digest(heard),
    bytes: heard.length,
    events: ear.events,
    protocol: realtime.socket.protocol,
    close,
  };
}

async function main() {
  let result;
  try {
    const args = settings();
    const late = sleep(Number(args.timeout) * 1000, null, { ref: false }).then(() => {
      throw new Error("timeout");
    });
    result = await Promise.race([run(args), late]);
  } catch (failure) {
    result = { ok: false, error: `${failure.name}: ${failure.message}`, close: null };
  }
  process.stdout.write(`${JSON.stringify({ sdk: "openai", ...result })}\n`, () => process.exit(result.ok ? 0 : 1));
}

await main();
