// Signs a ticket with nothing but what Node has: ticket.mjs AUDIENCE ROUTE, the secret in TICKET_SECRET.
import { createHmac, randomUUID } from "node:crypto";

const [audience, route] = process.argv.slice(2);
const now = Math.floor(Date.now() / 1000);
const encode = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
const header = { alg: "HS256", typ: "JWT", kid: "one" };
const claims = { aud: audience, iat: now, exp: now + 30, jti: randomUUID(), route };
const signed = `${encode(header)}.${encode(claims)}`;
const hmac = createHmac("sha256", process.env.TICKET_SECRET).update(signed);
console.log(`${signed}.${hmac.digest("base64url")}`);
