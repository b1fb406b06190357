"""Holds one conversation through OpenAI's own realtime client, unmodified.

Streams PCM in 20 ms appends, asks for the reply, and compares its bytes with those sent (the model
at the far end is expected to say back what it heard). Prints one JSON line; exit 0 only when every
byte came back. The caller names the certificate authority in SSL_CERT_FILE.
"""

import argparse
import asyncio
import base64
import collections
import hashlib
import json
import sys

from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosed

from speech import CHUNK, RATE, pseudo_speech

AUDIO = ("response.output_audio.delta",)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoint", required=True, help="https://localhost:PORT")
    parser.add_argument("--key", required=True)
    parser.add_argument("--model", default="gpt-realtime")
    parser.add_argument("--seconds", type=float, default=2.0, help="how much is said")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for the whole conversation")
    return parser.parse_args()


class Conversation:
    def __init__(self, connection):
        self.connection = connection
        self.events = collections.Counter()
        self.received = bytearray()

    async def until(self, wanted):
        """Reads events up to the first of type `wanted`, keeping the audio that passes by."""
        while True:
            event = json.loads(await self.connection.recv_bytes())
            kind = event["type"]
            self.events[kind] += 1
            if kind == "error":
                raise RuntimeError(f"error event: {event['error'].get('code')}: {event['error'].get('message')}")
            if kind in AUDIO:
                self.received += base64.b64decode(event["delta"])
            if kind == wanted:
                return event

    async def say(self, pcm):
        for at in range(0, len(pcm), CHUNK):
            audio = base64.b64encode(pcm[at : at + CHUNK]).decode()
            await self.connection.input_audio_buffer.append(audio=audio)


FORMAT = {"type": "audio/pcm", "rate": RATE}
SETTINGS = {
    "type": "realtime",
    "output_modalities": ["audio"],
    "audio": {"input": {"format": FORMAT, "turn_detection": None}, "output": {"format": FORMAT}},
}


async def run(args):
    address = args.endpoint.replace("https://", "wss://", 1)
    client = AsyncOpenAI(api_key=args.key, base_url=f"{args.endpoint}/v1", websocket_base_url=f"{address}/v1")
    async with client.realtime.connect(model=args.model) as connection:
        talk = Conversation(connection)
        await talk.until("session.created")
        await connection.session.update(session=SETTINGS)
        await talk.until("session.updated")
        said = pseudo_speech(args.seconds)
        await talk.say(said)
        await connection.input_audio_buffer.commit()
        await talk.until("input_audio_buffer.committed")
        await connection.response.create()
        await talk.until("response.done")
        socket = connection._connection  # the only place that tells the peer's close code
        await connection.close()
    heard = bytes(talk.received)
    result = {
        "ok": heard == said and socket.close_code == 1000,
        "sent_sha256": hashlib.sha256(said).hexdigest(),
        "received_sha256": hashlib.sha256(heard).hexdigest(),
        "bytes": len(heard),
        "events": dict(talk.events),
        "close": socket.close_code,
    }
    if not result["ok"]:
        result["error"] = "what came back is not what was sent, or the close was not 1000"
    return result


def main():
    args = arguments()
    try:
        result = asyncio.run(asyncio.wait_for(run(args), args.timeout))
    except ConnectionClosed as ended:
        result = {"ok": False, "error": f"closed by the far end: {ended}", "close": ended.rcvd and ended.rcvd.code}
    except Exception as failure:  # whatever it was, the caller gets its line
        result = {"ok": False, "error": f"{type(failure).__name__}: {failure}", "close": None}
    print(json.dumps({"sdk": "openai", **result}))
    sys.exit(0 if result["ok"] else 1)


if __name__ == "__main__":
    main()
