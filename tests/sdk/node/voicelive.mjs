// Holds one conversation through Microsoft's own Voice Live client for Node, unmodified, or with
// --browser through its build for browsers, which puts its credential into the query and needs the
// native WebSocket (Node below 22 has it behind --experimental-websocket).
//
// Streams PCM in 20 ms appends, asks for the reply, and compares its bytes with those sent (the
// model at the far end is expected to say back what it heard). Prints one JSON line; exit 0 only
// when every byte came back. The caller names the certificate authority in NODE_EXTRA_CA_CERTS.

import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { CHUNK, RATE, pseudoSpeech } from "./speech.mjs";

// tests/tools/install.sh puts the SDK below .tools/, away from the sources.
const require = createRequire(new URL("../../../.tools/voicelive-node/package.json", import.meta.url));

// The SDK would tunnel through them, and our far end is always this machine.
for (const name of ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"]) {
  delete process.env[name];
  delete process.env[name.toLowerCase()];
}
const { AzureKeyCredential } = require("@azure/core-auth");

function settings() {
  const { values } = parseArgs({
    options: {
      endpoint: { type: "string" }, // https://localhost:PORT
      key: { type: "string" },
      token: { type: "string" }, // instead of a key: what an Entra credential would get
      browser: { type: "boolean", default: false },
      model: { type: "string", default: "gpt-realtime" },
      seconds: { type: "string", default: "2" }, // how much is said
      "turn-detection": { type: "string", default: "none" }, // or server_vad
      "pace-ms": { type: "string", default: "0" }, // wait between appends; 20 is real time
      timeout: { type: "string", default: "60" }, // seconds for the whole conversation
    },
  });
  if (!values.endpoint || !values.key === !values.token) throw new Error("--endpoint and either --key or --token are needed");
  if (!["none", "server_vad"].includes(values["turn-detection"])) throw new Error("--turn-detection: none or server_vad");
  return values;
}

// Counts the events, keeps the audio, and lets the conversation wait for an event by its type.
class Ear {
  events = {};
  audio = [];
  #waiting = [];
  #failure = null;

  handlers() {
    return {
      onServerEvent: async (event) => this.#heard(event),
      onError: async (args) => this.#fail(args.error),
    };
  }

  #heard(event) {
    this.events[event.type] = (this.events[event.type] ?? 0) + 1;
    if (event.type === "error") this.#fail(new Error(`error event: ${event.error?.code}: ${event.error?.message}`));
    if (event.type === "response.audio.delta") this.audio.push(Buffer.from(event.delta));
    this.#waiting = this.#waiting.filter((one) => one.type !== event.type || one.resolve(event));
  }

  #fail(error) {
    this.#failure ??= error;
    for (const one of this.#waiting.splice(0)) one.reject(error);
  }

  // Each type is waited for once, so one that came before anybody asked counts too.
  until(type) {
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.events[type]) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.push({ type, resolve, reject }));
  }
}

async function say(session, pcm, pace) {
  for (let at = 0; at < pcm.length; at += CHUNK) {
    await session.sendAudio(new Uint8Array(pcm.subarray(at, at + CHUNK)));
    if (pace > 0) await sleep(pace);
  }
}

async function converse(session, ear, args) {
  const vad = args["turn-detection"] === "server_vad";
  await ear.until("session.created");
  await session.updateSession({
    modalities: ["text", "audio"],
    inputAudioFormat: "pcm16",
    inputAudioSamplingRate: RATE,
    outputAudioFormat: "pcm16",
    turnDetection: vad ? { type: "server_vad", threshold: 0.5, prefixPaddingInMs: 200, silenceDurationInMs: 300 } : null,
  });
  await ear.until("session.updated");
  const speech = pseudoSpeech(Number(args.seconds));
  // One second of silence ends the turn where a voice detector decides.
  const said = vad ? Buffer.concat([speech, Buffer.alloc(RATE * 2)]) : speech;
  const speaking = say(session, said, Number(args["pace-ms"]));
  if (!vad) {
    await speaking;
    await session.sendEvent({ type: "input_audio_buffer.commit" });
    await ear.until("input_audio_buffer.committed");
    await session.sendEvent({ type: "response.create" });
  }
  await ear.until("response.done");
  await speaking;
  return { said, speech, vad };
}

// What was sent and should have come back. A voice detector cuts its turn out of the stream: then
// the reply must be one unbroken piece of it that holds nearly all of the speech.
function verdict(ear, { said, speech, vad }) {
  const heard = Buffer.concat(ear.audio);
  let expected = said;
  if (vad) {
    const at = said.indexOf(heard);
    const whole = at >= 0 && at % 2 === 0 && heard.length >= 0.8 * speech.length;
    if (whole) expected = said.subarray(at, at + heard.length);
  }
  const digest = (data) => createHash("sha256").update(data).digest("hex");
  return {
    ok: heard.equals(expected),
    sent_sha256: digest(expected),
    received_sha256: digest(heard),
    bytes: heard.length,
    events: ear.events,
  };
}

// Packages are told apart by conditions of the resolver, and Node's own never says `browser`.
async function sdk(browser) {
  if (!browser) return require("@azure/ai-voicelive");
  const main = new URL("../../../.tools/voicelive-node/node_modules/@azure/ai-voicelive/dist/browser/index.js", import.meta.url);
  return import(main);
}

// What azure-identity would hand over, without asking anybody.
function credential(args) {
  if (args.key) return new AzureKeyCredential(args.key);
  return { getToken: async () => ({ token: args.token, expiresOnTimestamp: Date.now() + 600_000 }) };
}

// The SDK keeps the peer's close code to itself; its socket knows it.
function closeCode(session) {
  const socket = session._connectionManager._websocket._ws;
  return new Promise((resolve) => {
    if (socket.once) socket.once("close", (code) => resolve(code));
    else socket.addEventListener("close", (event) => resolve(event.code));
  });
}

async function run(args) {
  const ear = new Ear();
  const { VoiceLiveClient } = await sdk(args.browser);
  const client = new VoiceLiveClient(args.endpoint, credential(args));
  const session = await client.startSession(args.model, { sessionHandlers: ear.handlers() });
  const spoken = await converse(session, ear, args);
  const closed = closeCode(session);
  await session.disconnect();
  const result = { ...verdict(ear, spoken), close: await closed };
  if (result.close !== 1000) result.ok = false;
  if (!result.ok) result.error = "what came back is not what was sent, or the close was not 1000";
  return result;
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
  process.stdout.write(`${JSON.stringify({ sdk: "@azure/ai-voicelive", ...result })}\n`, () => process.exit(result.ok ? 0 : 1));
}

await main();
