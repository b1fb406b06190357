// The far end of the Autobahn cases: `ws` as a strict echo with TLS, on any path. Its own limits on
// fragments are lifted (at its defaults it fails two cases), and it negotiates no compression.
//
//   node echo.mjs CERTIFICATE KEY          prints the port it took

import { readFileSync } from "node:fs";
import https from "node:https";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../.tools/node-relay/package.json", import.meta.url));
const WebSocket = require("ws");

const [certificate, key] = process.argv.slice(2).map((path) => readFileSync(path));
const server = https.createServer({ cert: certificate, key });
const options = { server, maxPayload: 16 << 20, maxFragments: 0, maxBufferedChunks: 0, perMessageDeflate: false };
new WebSocket.Server(options).on("connection", (socket) => {
  socket.on("error", () => {}); // what the cases provoke; the close it sends is the answer
  socket.on("message", (data, binary) => socket.send(data, { binary }));
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
