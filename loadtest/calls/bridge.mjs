// A bridge between ACS and Voice Live as the public samples have it: Node's `ws` on both sides, JSON
// parsed and written anew. It is the peer of a comparison and does less than the edge: it asks for no
// token, listens to no tone, and its gate opens with the keys that come as DtmfData, whatever they are.
//
//   CERTIFICATE=leaf.pem KEY=leaf.key CA=ca.pem UPSTREAM=wss://localhost:PORT PORT=… node bridge.mjs

import { readFileSync } from "node:fs";
import https from "node:https";
import { createRequire } from "node:module";

// tests/tools/install.sh puts it below .tools/, away from the sources.
const require = createRequire(new URL("../../.tools/node-relay/package.json", import.meta.url));
const WebSocket = require("ws");

const { CERTIFICATE, KEY, CA, UPSTREAM, PORT } = process.env;
const KEYS = 6;
const ca = readFileSync(CA);

function call(client) {
  let upstream = null;
  let ready = false;
  let keys = 0;
  let rate = 24000;

  const toAgent = (event) => upstream.send(JSON.stringify(event));
  const toCaller = (message) => client.readyState === WebSocket.OPEN && client.send(JSON.stringify(message));

  const hears = (event) => {
    if (event.type === "session.created") {
      toAgent({ type: "session.update", session: { input_audio_format: "pcm16", input_audio_sampling_rate: rate } });
    } else if (event.type === "session.updated") {
      ready = true;
    } else if (event.type === "response.audio.delta") {
      toCaller({ Kind: "AudioData", AudioData: { Data: event.delta }, StopAudio: null });
    } else if (event.type === "input_audio_buffer.speech_started") {
      toCaller({ Kind: "StopAudio", AudioData: null, StopAudio: {} });
    }
  };

  const dial = () => {
    upstream = new WebSocket(`${UPSTREAM}/voice-live/realtime?api-version=2026-07-15&model=gpt-realtime`, { ca });
    upstream.on("message", (data) => hears(JSON.parse(data.toString())));
    upstream.on("close", () => client.close(1000));
    upstream.on("error", (error) => console.error(error.message));
  };

  client.on("message", (data) => {
    const message = JSON.parse(data.toString());
    if (message.kind === "AudioMetadata") {
      rate = message.audioMetadata.sampleRate;
    } else if (message.kind === "DtmfData") {
      keys += 1;
      // The last key is over by the time that the agent is there, or its tone would go on.
      if (keys === KEYS) setTimeout(dial, 100);
    } else if (message.kind === "AudioData" && ready) {
      toAgent({ type: "input_audio_buffer.append", audio: message.audioData.data });
    }
  });
  client.on("close", () => upstream?.close(1000));
  client.on("error", (error) => console.error(error.message));
}

const server = https.createServer({ cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) });
new WebSocket.Server({ server, perMessageDeflate: false }).on("connection", call);
server.listen(Number(PORT), "127.0.0.1");
