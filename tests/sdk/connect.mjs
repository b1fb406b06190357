// Amazon Connect, as far as a flow's Lambda block goes: invokes deploy/hand-off/lambda.mjs with the
// event that Connect sends, and prints what a flow then finds in $.External.
//
//   connect.mjs invoke CONTACT NUMBER    with the parameters of standard input, a JSON object
//   connect.mjs key ec|rsa               a private key, PEM

import { generateKeyPairSync } from "node:crypto";

const [verb, ...more] = process.argv.slice(2);
if (verb === "key") {
  const options = more[0] === "ec" ? { namedCurve: "P-256" } : { modulusLength: 2048 };
  const { privateKey } = generateKeyPairSync(more[0], options);
  process.stdout.write(privateKey.export({ type: "pkcs8", format: "pem" }));
} else {
  let parameters = "";
  for await (const piece of process.stdin) parameters += piece;
  const [contact, number] = more;
  const endpoint = (address) => ({ Address: address, Type: "TELEPHONE_NUMBER" });
  const event = {
    Name: "ContactFlowEvent",
    Details: {
      ContactData: {
        Attributes: {},
        Channel: "VOICE",
        ContactId: contact,
        CustomerEndpoint: endpoint(number),
        InitialContactId: contact,
        InitiationMethod: "INBOUND",
        InstanceARN: "arn:aws:connect:eu-central-1:123456789012:instance/00000000-0000-4000-8000-000000000001",
        PreviousContactId: contact,
        Queue: null,
        SystemEndpoint: endpoint("+15550001111"),
      },
      Parameters: JSON.parse(parameters),
    },
  };
  const { handler } = await import("../../deploy/hand-off/lambda.mjs");
  const external = await handler(event).catch((error) => ({ error: error.message }));
  // STRING_MAP: a flat object of texts, or the block fails.
  const flat = Object.values(external).every((value) => typeof value === "string");
  console.log(JSON.stringify(flat ? external : { error: "no flat map of texts" }));
}
