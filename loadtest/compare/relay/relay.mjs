// A WebSocket relay as one would write it with Node's `ws`: messages go on as they are, text as text
// and binary as binary, TLS on both sides, the upstream verified, its sessions resumed, nothing
// compressed, nothing logged.
//
//   node relay.mjs '{"port": 8443, "upstream": "wss://127.0.0.1:9443", "name": "localhost",
//                    "certificate": "leaf.pem", "key": "leaf.key", "authority": "ca.pem"}'

import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import net from "node:net";
import tls from "node:tls";

// tests/tools/install.sh puts it below .tools/, away from the sources.
const require = createRequire(new URL("../../../.tools/compare-relay/package.json", import.meta.url));
const WebSocket = require("ws");

const { port, upstream, name, certificate, key, authority } = JSON.parse(process.argv[2]);
const SUITE = { minVersion: "TLSv1.3", ciphers: "TLS_AES_128_GCM_SHA256", ecdhCurve: "X25519" };
// As many bytes may wait for a slow reader before the other side is no longer read.
const WAITING_MAX = 1 << 20;

const server = certificate
  ? https.createServer({ ...SUITE, cert: fs.readFileSync(certificate), key: fs.readFileSync(key) })
  : http.createServer();
const ca = authority && fs.readFileSync(authority);

// The ticket of an earlier connection makes the next one cheaper.
let session;
function dial(options) {
  if (!authority) return net.connect({ ...options, path: undefined });
  const socket = tls.connect({ ...SUITE, host: options.host, port: options.port, ca, servername: name, session });
  socket.on("session", (ticket) => (session = ticket));
  return socket;
}

// What one read brought goes on in one write: without the cork each message is a record of its own.
function gather(socket) {
  if (socket.writableCorked) return;
  socket.cork();
  process.nextTick(() => socket.uncork());
}

function relay(from, to) {
  from.on("message", (data, binary) => {
    if (to.readyState !== WebSocket.OPEN) return;
    gather(to._socket);
    to.send(data, { binary });
    if (to.bufferedAmount < WAITING_MAX) return;
    from.pause();
    to._socket.once("drain", () => from.resume());
  });
  from.on("close", (code, reason) => (code === 1005 || code === 1006 ? to.close() : to.close(code, reason)));
  from.on("error", () => to.close());
}

// The client is let in when the upstream is there; until then it waits for its 101.
const sockets = new WebSocket.Server({ noServer: true, perMessageDeflate: false });
server.on("upgrade", (request, socket, head) => {
  const up = new WebSocket(new URL(request.url, upstream), { createConnection: dial, perMessageDeflate: false });
  const refuse = () => socket.end("HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  const gone = () => up.terminate();
  up.once("error", refuse);
  socket.once("close", gone).on("error", gone);
  up.once("open", () => {
    up.off("error", refuse);
    socket.off("close", gone);
    sockets.handleUpgrade(request, socket, head, (client) => {
      relay(client, up);
      relay(up, client);
    });
  });
});
server.listen(port, "127.0.0.1", 4096);
