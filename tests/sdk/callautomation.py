"""azure-communication-callautomation, unmodified, against the simulated service. Every line of
standard input is a step, [name, arguments...]; for each a line with what the SDK returned, or with
the error that it raised."""

import argparse
import json
import sys
import time

from azure.communication.callautomation import (
    AudioFormat,
    CallAutomationClient,
    MediaStreamingAudioChannelType,
    MediaStreamingContentType,
    MediaStreamingOptions,
    PhoneNumberIdentifier,
    StreamingTransportType,
)
from azure.core.credentials import AccessToken, AzureKeyCredential
from azure.core.exceptions import HttpResponseError

flags = argparse.ArgumentParser()
for flag in ("endpoint", "key", "token", "callback", "media"):
    flags.add_argument(f"--{flag}")
flags = flags.parse_args()


class Token:
    def get_token(self, *scopes, **_):
        assert scopes == ("https://communication.azure.com//.default",), scopes
        return AccessToken(flags.token, int(time.time()) + 3600)


credential = Token() if flags.token else AzureKeyCredential(flags.key)
# A refusal is to be seen, not tried again.
client = CallAutomationClient(flags.endpoint, credential, retry_total=0)


def media(start):
    return MediaStreamingOptions(
        transport_url=flags.media,
        transport_type=StreamingTransportType.WEBSOCKET,
        content_type=MediaStreamingContentType.AUDIO,
        audio_channel_type=MediaStreamingAudioChannelType.MIXED,
        start_media_streaming=start,
        enable_bidirectional=True,
        audio_format=AudioFormat.PCM24_K_MONO,
        enable_dtmf_tones=True,
    )


def properties(call):
    streaming = call.media_streaming_subscription
    return {
        "id": call.call_connection_id,
        "server_call": call.server_call_id,
        "correlation": call.correlation_id,
        "state": str(call.call_connection_state),
        "callback": call.callback_url,
        "targets": [target.raw_id for target in call.targets],
        "streaming": streaming and str(streaming.state),
    }


def connected(call):
    until = time.monotonic() + 10
    while (told := properties(call.get_call_properties()))["state"] != "connected":
        assert time.monotonic() < until, told
        time.sleep(0.02)
    return told


def step(name, *more):
    if name == "answer":
        context, start = more
        options = media(start)
        return properties(client.answer_call(context, flags.callback, operation_context="ours", media_streaming=options))
    if name == "create":
        target, source = map(PhoneNumberIdentifier, more)
        return properties(
            client.create_call(target, flags.callback, source_caller_id_number=source, media_streaming=media(True))
        )
    if name == "reject":
        return client.reject_call(*more)
    if name == "redirect":
        return client.redirect_call(more[0], PhoneNumberIdentifier(more[1]))
    call = client.get_call_connection(more[0])
    return {
        "get": lambda: properties(call.get_call_properties()),
        "connected": lambda: connected(call),
        "start_media": lambda: call.start_media_streaming(operation_context="again"),
        "stop_media": lambda: call.stop_media_streaming(),
        "start_dtmf": lambda: call.start_continuous_dtmf_recognition(PhoneNumberIdentifier(more[1])),
        "stop_dtmf": lambda: call.stop_continuous_dtmf_recognition(PhoneNumberIdentifier(more[1])),
        "hang_up": lambda: call.hang_up(is_for_everyone=False),
        "terminate": lambda: call.hang_up(is_for_everyone=True),
    }[name]()


for line in sys.stdin:
    try:
        told = {"ok": step(*json.loads(line))}
    except HttpResponseError as error:
        told = {"status": error.status_code, "code": error.error and error.error.code}
    print(json.dumps(told), flush=True)
