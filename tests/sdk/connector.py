"""Microsoft's own verifiers of what the Bot Connector posts, unmodified but for the places where they
look for keys and for the clock: botframework-connector, and microsoft-agents-hosting-core. Every line of standard input is
a request, {"authorization": ..., "activity": "the body"}; for each a line with what each SDK makes of it:
{"user": who speaks, as the SDK reads the body} if it is let in, else {"error": the name of what it
raised or answered}."""

import argparse
import asyncio
import json
import sys
from datetime import datetime

import jwt.api_jwt
from botbuilder.schema import Activity as BotActivity
from botframework.connector.auth import (
    AuthenticationConstants,
    ChannelValidation,
    JwtTokenValidation,
    SimpleCredentialProvider,
)
from microsoft_agents.activity import Activity as AgentActivity
from microsoft_agents.hosting.core.authorization import AgentAuthConfiguration, ClaimsIdentity
from microsoft_agents.hosting.core.authorization.jwt import _authorize_request, jwt_token_validator

flags = argparse.ArgumentParser()
for flag in ("app", "tenant", "metadata", "keys", "entra-metadata", "entra-keys"):
    flags.add_argument(f"--{flag}", required=True)
flags.add_argument("--now", required=True, type=int)
flags = flags.parse_args()


class Clock(datetime):
    """What is five seconds from being refused must not wait for this interpreter to start."""

    @classmethod
    def now(cls, tz=None):
        return datetime.fromtimestamp(flags.now, tz)


jwt.api_jwt.datetime = Clock

ChannelValidation.open_id_metadata_endpoint = flags.metadata
AuthenticationConstants.TO_BOT_FROM_EMULATOR_OPENID_METADATA_URL = flags.entra_metadata


class Places(dict):
    """Where keys are by issuer; those of all others are Entra's, as the SDK itself has it."""

    def get(self, issuer, default=None):
        return super().get(issuer, flags.entra_keys)


jwt_token_validator.BOTFRAMEWORK_JWKS_URIS = Places({"https://api.botframework.com": flags.keys})

credentials = SimpleCredentialProvider(flags.app, "")
configuration = AgentAuthConfiguration(client_id=flags.app, tenant_id=flags.tenant)


async def botframework(header, body):
    activity = BotActivity().deserialize(body)
    await JwtTokenValidation.authenticate_request(activity, header, credentials)
    return activity.from_property and activity.from_property.aad_object_id


async def agents(header, body):
    judged = await _authorize_request(header, configuration)
    if not isinstance(judged, ClaimsIdentity):
        raise PermissionError(judged.status_code)
    activity = AgentActivity.model_validate(body)
    return activity.from_property and activity.from_property.aad_object_id


async def judge(sdk, request):
    try:
        return {"user": await sdk(request["authorization"], json.loads(request["activity"]))}
    except Exception as error:
        return {"error": type(error).__name__}


async def main():
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps([await judge(sdk, request) for sdk in (botframework, agents)]))


asyncio.run(main())
