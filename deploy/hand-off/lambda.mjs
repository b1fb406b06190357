// Hands a call of Amazon Connect over to tonegate: for the block "AWS Lambda function" of a flow.
// Node 20, no packages. What it answers is a flat map of texts (response validation STRING_MAP):
// `dial` is what the transfer then sends as DTMF.
//
//   EDGE        https://edge.example.com/sessions
//   ISSUER      as [issuers.NAME] issuer of the edge has it
//   AUDIENCE    as its audience
//   KEY_SECRET  the secret in Secrets Manager with the private key, PEM: P-256 (ES256) or RSA (RS256)
//   FLOW        "pstn" (default): the edge draws a code; "sip": the ContactId is the id of the SIP call
//   TTL         "5m" (default): how long the edge waits for the call
//
// `node lambda.mjs jwks < key.pem` prints the public half, which the edge finds at its `jwks`.

import { createHash, createPrivateKey, createPublicKey, randomUUID, sign } from "node:crypto";
import { fileURLToPath } from "node:url";

// Connect waits for 8 s at the most; the key and two attempts must find room in them.
const ATTEMPTS = 2;
const ATTEMPT_MS = 2500;
// A token is made for one request.
const TOKEN_S = 60;

export async function handler(event) {
  const { ContactId: contact, CustomerEndpoint: customer } = event.Details.ContactData;
  const flow = process.env.FLOW ?? "pstn";
  const body = { flow, ttl: process.env.TTL ?? "5m" };
  if (flow === "pstn") {
    // As ACS will see the number: Connect shows the customer's own unless the transfer sets another.
    if (customer?.Type !== "TELEPHONE_NUMBER") throw new Error("the customer has no number");
    body.ani = customer.Address;
  } else {
    body.sip_id = contact;
  }
  const context = event.Details.Parameters ?? {};
  if (Object.keys(context).length > 0) body.context = context;
  const written = await put(contact, JSON.stringify(body));
  const told = { session: written.session, expires: written.expires };
  if (written.dial !== undefined) told.dial = written.dial;
  return told;
}

// The same request again is answered the same, so whatever came of the first, a second does no harm.
async function put(contact, body) {
  const key = await privateKey();
  let failure;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    let answer;
    try {
      answer = await fetch(`${process.env.EDGE}/${encodeURIComponent(contact)}`, {
        method: "PUT",
        headers: { authorization: `Bearer ${token(key)}`, "content-type": "application/json" },
        body,
        redirect: "error",
        signal: AbortSignal.timeout(ATTEMPT_MS),
      });
    } catch {
      failure = "the edge cannot be reached";
      continue;
    }
    if (answer.ok) return answer.json();
    // What the edge says of it holds no number and no code.
    const problem = await answer.json().catch(() => ({}));
    failure = `the edge answered ${answer.status}: ${problem.detail ?? ""}`;
    if (answer.status < 500) break;
  }
  throw new Error(failure);
}

// From the AWS Parameters and Secrets Lambda extension, a layer, which asks Secrets Manager and
// keeps the answer for some minutes.
async function privateKey() {
  const port = process.env.PARAMETERS_SECRETS_EXTENSION_HTTP_PORT ?? "2773";
  const url = new URL(`http://localhost:${port}/secretsmanager/get`);
  url.searchParams.set("secretId", process.env.KEY_SECRET);
  const answer = await fetch(url, {
    headers: { "x-aws-parameters-secrets-token": process.env.AWS_SESSION_TOKEN ?? "" },
    signal: AbortSignal.timeout(ATTEMPT_MS),
  });
  if (!answer.ok) throw new Error(`the key cannot be had: ${answer.status}`);
  return createPrivateKey((await answer.json()).SecretString);
}

function token(key) {
  const now = Math.floor(Date.now() / 1000);
  const ec = key.asymmetricKeyType === "ec";
  const header = { alg: ec ? "ES256" : "RS256", typ: "JWT", kid: jwk(key).kid };
  const claims = {
    iss: process.env.ISSUER,
    aud: process.env.AUDIENCE,
    sub: "amazon-connect",
    iat: now,
    exp: now + TOKEN_S,
    jti: randomUUID(),
  };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part(header)}.${part(claims)}`;
  // RFC 7518 wants the two numbers of an ECDSA signature bare, not in DER.
  const signature = sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}

// The public half, named by its thumbprint (RFC 7638), so that a new key has another name.
function jwk(key) {
  const all = createPublicKey(key).export({ format: "jwk" });
  const { crv, e, kty, n, x, y } = all;
  const needed = kty === "EC" ? { crv, kty, x, y } : { e, kty, n };
  const kid = createHash("sha256").update(JSON.stringify(needed)).digest("base64url");
  return { ...needed, kid, use: "sig", alg: kty === "EC" ? "ES256" : "RS256" };
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] === "jwks") {
  let pem = "";
  for await (const piece of process.stdin) pem += piece;
  console.log(JSON.stringify({ keys: [jwk(createPrivateKey(pem))] }));
}
