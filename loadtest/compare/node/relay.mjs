// A relay of System B's kind, written anew from what its guide says: `ws` on both sides, the mode
// and the token from the query, the key from the environment. It is the peer of a comparison, so
// what is known of the old one is here as well, good or bad: it waits for the upstream before it
// listens to the client, makes text of every message, closes without a code, and logs what it sees.
//
//   AZURE_SPEECH_KEY=… UPSTREAM=ws://127.0.0.1:PORT node relay.mjs      prints the port it took

import http from "node:http";
import { createRequire } from "node:module";

// tests/tools/install.sh puts it below .tools/, away from the sources.
const require = createRequire(new URL("../../../.tools/node-relay/package.json", import.meta.url));
const WebSocket = require("ws");

const { AZURE_SPEECH_KEY, AGENT_ID, PROJECT_NAME, UPSTREAM, API_VERSION = "2025-10-01", PORT = "0" } = process.env;
if (!UPSTREAM) {
  console.error("Error: UPSTREAM required");
  process.exit(1);
}

// Where to, with which headers; throws what the client is told.
function target(query) {
  const token = query.getAll("token").join(",");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const base = `${UPSTREAM}/voice-live/realtime?api-version=${API_VERSION}`;
  if (query.get("mode") === "agent") {
    const agent = query.get("agentId") ?? AGENT_ID;
    const project = query.get("projectName") ?? PROJECT_NAME;
    if (!agent || !project) throw new Error("Agent mode requires agentId and projectName");
    if (!token) throw new Error("Agent mode requires token parameter (MSAL)");
    return { url: `${base}&agent-id=${agent}&agent-project-name=${project}&agent-access-token=${token}`, headers };
  }
  const url = `${base}&model=${query.get("model") ?? "gpt-realtime"}`;
  if (token) return { url, headers };
  if (!AZURE_SPEECH_KEY) throw new Error("Standard mode requires either token parameter (MSAL) or AZURE_SPEECH_KEY in .env");
  return { url: `${url}&api-key=${AZURE_SPEECH_KEY}`, headers };
}

function connect({ url, headers }) {
  console.log(`connecting to ${url}`);
  return new Promise((resolve, reject) => {
    const upstream = new WebSocket(url, { headers });
    upstream.once("open", () => resolve(upstream));
    upstream.once("error", reject);
  });
}

function relay(from, to, name) {
  from.on("message", (data) => {
    const message = data.toString();
    console.log(`${name}: ${message.slice(0, 100)}`);
    if (to.readyState === WebSocket.OPEN) to.send(message);
  });
  from.on("close", () => to.close());
}

const server = http.createServer();
const sockets = new WebSocket.Server({ server, path: "/ws" });
sockets.on("connection", async (client, request) => {
  try {
    const upstream = await connect(target(new URL(request.url, "http://localhost").searchParams));
    upstream.on("error", (error) => console.error(error.message));
    relay(client, upstream, "client");
    relay(upstream, client, "upstream");
  } catch (error) {
    client.send(JSON.stringify({ type: "error", error: { message: error.message } }));
    client.close();
  }
});
server.listen(Number(PORT), "127.0.0.1", () => {
  console.log(JSON.stringify({ port: server.address().port, node: process.version, ws: require("ws/package.json").version }));
});
