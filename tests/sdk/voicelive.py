"""Holds one conversation through Microsoft's own Voice Live client, unmodified.

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
import time

from azure.ai.voicelive.aio import ConnectionClosed, connect
from azure.ai.voicelive.models import ServerVad
from azure.core.credentials import AccessToken, AzureKeyCredential

from speech import CHUNK, RATE, pseudo_speech


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoint", required=True, help="https://localhost:PORT, a path prefix is kept")
    shown = parser.add_mutually_exclusive_group(required=True)
    shown.add_argument("--key")
    shown.add_argument("--token", help="what an Entra credential would get")
    parser.add_argument("--model", default="gpt-realtime")
    parser.add_argument("--seconds", type=float, default=2.0, help="how much is said")
    parser.add_argument("--turn-detection", choices=["none", "server_vad"], default="none")
    parser.add_argument("--pace-ms", type=float, default=0.0, help="wait between appends; 20 is real time")
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
            event = await self.connection.recv()
            kind = str(getattr(event.type, "value", event.type))
            self.events[kind] += 1
            if kind == "error":
                raise RuntimeError(f"error event: {event.error.code}: {event.error.message}")
            if kind == "response.audio.delta":
                delta = event.delta
                self.received += delta if isinstance(delta, bytes) else base64.b64decode(delta)
            if kind == wanted:
                return event

    async def say(self, pcm, pace):
        for at in range(0, len(pcm), CHUNK):
            audio = base64.b64encode(pcm[at : at + CHUNK]).decode()
            await self.connection.input_audio_buffer.append(audio=audio)
            await asyncio.sleep(pace)


def session_settings(turn_detection):
    vad = ServerVad(threshold=0.5, prefix_padding_ms=200, silence_duration_ms=300)
    # A mapping, not a RequestSession: that type leaves out None, and here null has a meaning.
    return {
        "modalities": ["text", "audio"],
        "input_audio_format": "pcm16",
        "input_audio_sampling_rate": RATE,
        "output_audio_format": "pcm16",
        "turn_detection": vad if turn_detection == "server_vad" else None,
    }


async def converse(connection, args):
    talk = Conversation(connection)
    await talk.until("session.created")
    await connection.session.update(session=session_settings(args.turn_detection))
    await talk.until("session.updated")
    speech = pseudo_speech(args.seconds)
    if args.turn_detection == "server_vad":
        said = speech + bytes(RATE * 2)  # one second of silence ends the turn
        speaking = asyncio.create_task(talk.say(said, args.pace_ms / 1000))
        await talk.until("response.done")
        await speaking
    else:
        said = speech
        await talk.say(said, args.pace_ms / 1000)
        await connection.input_audio_buffer.commit()
        await talk.until("input_audio_buffer.committed")
        await connection.response.create()
        await talk.until("response.done")
    return talk, said, speech


def verdict(talk, said, speech, turn_detection):
    """What was sent and should have come back. A voice detector cuts its turn out of the stream:
    then the reply must be one unbroken piece of it that holds nearly all of the speech."""
    heard = bytes(talk.received)
    expected = said
    if turn_detection == "server_vad":
        at = said.find(heard)
        whole = at >= 0 and at % 2 == 0 and len(heard) >= 0.8 * len(speech)
        expected = said[at : at + len(heard)] if whole else said
    return {
        "ok": heard == expected,
        "sent_sha256": hashlib.sha256(expected).hexdigest(),
        "received_sha256": hashlib.sha256(heard).hexdigest(),
        "bytes": len(heard),
        "events": dict(talk.events),
    }


class Issued:
    """What azure-identity would hand over, without asking anybody."""

    def __init__(self, token):
        self.token = token

    async def get_token(self, *_scopes, **_wishes):
        return AccessToken(self.token, int(time.time()) + 600)

    async def close(self):
        """Nothing is held."""

    # The SDK tells credentials that are to be awaited by these two.
    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()


async def run(args):
    credential = AzureKeyCredential(args.key) if args.key else Issued(args.token)
    manager = connect(endpoint=args.endpoint, credential=credential, model=args.model)
    async with manager as connection:
        talk, said, speech = await converse(connection, args)
        socket = connection._connection  # the only place that tells the peer's close code
        await connection.close()
        result = verdict(talk, said, speech, args.turn_detection)
        result["close"] = socket.close_code
        if socket.close_code != 1000:
            result["ok"] = False
        if not result["ok"]:
            result["error"] = "what came back is not what was sent, or the close was not 1000"
        return result


def main():
    args = arguments()
    try:
        result = asyncio.run(asyncio.wait_for(run(args), args.timeout))
    except ConnectionClosed as ended:
        result = {"ok": False, "error": f"closed by the far end: {ended.code} {ended.reason}", "close": ended.code}
    except Exception as failure:  # whatever it was, the caller gets its line
        result = {"ok": False, "error": f"{type(failure).__name__}: {failure}", "close": None}
    print(json.dumps({"sdk": "azure-ai-voicelive", **result}))
    sys.exit(0 if result["ok"] else 1)


if __name__ == "__main__":
    main()
