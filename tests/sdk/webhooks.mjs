// A receiver of webhooks with the reference library of Standard Webhooks: prints its port, and then a
// line for each letter, {"verified": its body} or {"refused": why}.

import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../.tools/webhooks-node/package.json", import.meta.url));
const { Webhook } = require("standardwebhooks");
const webhook = new Webhook(process.argv[2]);

const server = createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  try {
    const verified = webhook.verify(Buffer.concat(pieces).toString(), request.headers);
    console.log(JSON.stringify({ verified }));
    response.writeHead(204).end();
  } catch (error) {
    console.log(JSON.stringify({ refused: error.message }));
    response.writeHead(401).end();
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
// Whoever started it is gone.
process.stdin.on("end", () => process.exit(0)).resume();
