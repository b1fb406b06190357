// Microsoft's own reader and writer of streaming messages, unmodified: the Call Automation SDK for
// Node. It has no client that streams; what it has is what the far end of ACS reads and writes with.
//
//   acs.mjs read    each line of standard input is a message as ACS sends it; for each a line with
//                   what the SDK makes of it, or with the error that it throws
//   acs.mjs write   each line is base64, or nothing; for each a line with the message that the SDK
//                   writes to have it played, or to have playing stopped
//   acs.mjs events  each line is an event as ACS posts it to a callback URL; for each a line with what
//                   the SDK makes of it, or with the error that it throws

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// tests/tools/install.sh puts the SDK below .tools/, away from the sources.
const require = createRequire(new URL("../../../.tools/acs-node/package.json", import.meta.url));
const { StreamingData, createOutboundAudioData, createOutboundStopAudioData, parseCallAutomationEvent } = require("@azure/communication-call-automation");
const { getIdentifierRawId } = require("@azure/communication-common");

// What is absent says so, and a participant is told by its raw id again.
function read(line) {
  try {
    const { participant, ...rest } = StreamingData.parse(line);
    const said = { kind: StreamingData.getStreamingKind(), ...rest };
    if (participant) said.participant = getIdentifierRawId(participant);
    return JSON.stringify(said);
  } catch (error) {
    return JSON.stringify({ error: String(error.message) });
  }
}

function write(line) {
  return line ? createOutboundAudioData(line) : createOutboundStopAudioData();
}

function events(line) {
  try {
    return JSON.stringify(parseCallAutomationEvent(line));
  } catch (error) {
    return JSON.stringify({ error: String(error.message) });
  }
}

const turn = { read, write, events }[process.argv[2]];
if (!turn) throw new Error("read, write or events");
for await (const line of createInterface({ input: process.stdin })) console.log(turn(line));
