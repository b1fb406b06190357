"""A private bot behind the edge, built with one of Microsoft's SDKs and unmodified but for the places
where it looks for keys. It takes nothing without the edge's word, which it verifies by itself, and
answers through the connector with a token of its own. With --checks the SDK verifies the connector's
token, too, which the edge then passes on: two checks that know nothing of each other.

A line of standard output when it listens, then one for each activity that the bot heard."""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import ssl

import aiohttp
import jwt
import requests
from aiohttp import web

flags = argparse.ArgumentParser()
flags.add_argument("--sdk", choices=("agents", "botbuilder"), required=True)
flags.add_argument("--checks", action="store_true")
for flag in ("app", "tenant", "secret", "authority", "edge", "issuer", "audience", "keys", "metadata"):
    flags.add_argument(f"--{flag}", required=True)
flags.add_argument("--port", type=int, required=True)
flags = flags.parse_args()

SCOPE = "https://api.botframework.com/.default"
TOKEN = f"{flags.authority}/{flags.tenant}/oauth2/v2.0/token"
FORM = {
    "grant_type": "client_credentials",
    "client_id": flags.app,
    "client_secret": flags.secret,
    "scope": SCOPE,
}

# What the README tells applications to do.
keys = jwt.PyJWKClient(f"{flags.edge}/.well-known/jwks.json", ssl_context=ssl.create_default_context())


def verified(token, body):
    key = keys.get_signing_key_from_jwt(token)
    claims = jwt.decode(token, key, ["ES256"], audience=flags.audience, issuer=flags.issuer)
    digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
    if not hmac.compare_digest(claims["bsh"], digest):
        raise PermissionError("it is about another body")
    return claims


def say(**what):
    print(json.dumps(what), flush=True)


@web.middleware
async def edge_only(request, handler):
    token = request.headers.get("x-tonegate-assertion", "")
    body = await request.read()
    try:
        claims = await asyncio.to_thread(verified, token, body)
    except (jwt.PyJWTError, PermissionError, KeyError) as error:
        return web.json_response({"error": type(error).__name__}, status=401)
    request["word"] = {"claims": claims, "assertion": token}
    request["word"]["token"] = "authorization" in request.headers
    return await handler(request)


def hears(request, activity, user):
    """Who speaks is whom the edge names; the body has to say the same."""
    word = request["word"]
    if user != word["claims"].get("oid"):
        raise PermissionError("two names for one person")
    say(heard=activity, user=user, **word)


def agents():
    from microsoft_agents.activity import InvokeResponse
    from microsoft_agents.hosting.aiohttp import CloudAdapter, jwt_authorization_middleware
    from microsoft_agents.hosting.core import ActivityHandler
    from microsoft_agents.hosting.core.authorization import AgentAuthConfiguration, ClaimsIdentity
    from microsoft_agents.hosting.core.authorization.jwt import jwt_token_validator

    jwt_token_validator.BOTFRAMEWORK_JWKS_URIS = {"https://api.botframework.com": flags.keys}

    class Provider:
        async def get_access_token(self, resource_url, scopes, force_refresh=False):
            async with aiohttp.ClientSession() as session, session.post(TOKEN, data=FORM) as answer:
                return (await answer.json())["access_token"]

    class Connections:
        def get_connection(self, connection_name):
            return Provider()

        def get_default_connection(self):
            return Provider()

        def get_token_provider(self, claims_identity, service_url):
            return Provider()

    class Bot(ActivityHandler):
        async def on_message_activity(self, turn_context):
            await turn_context.send_activity(f"you said: {turn_context.activity.text}")

        async def on_invoke_activity(self, turn_context):
            body = {"value": {"done": turn_context.activity.name}}
            return InvokeResponse(status=200, body=body)

    @web.middleware
    async def of_edge(request, handler):
        """The edge has verified that it is the connector."""
        request["claims_identity"] = ClaimsIdentity({"aud": flags.app}, "edge")
        return await handler(request)

    adapter = CloudAdapter(connection_manager=Connections())

    async def messages(request):
        body = await request.json()
        hears(request, body["type"], body.get("from", {}).get("aadObjectId"))
        return await adapter.process(request, Bot())

    checks = jwt_authorization_middleware if flags.checks else of_edge
    app = web.Application(middlewares=[edge_only, checks])
    app["agent_configuration"] = AgentAuthConfiguration(client_id=flags.app, tenant_id=flags.tenant)
    app.router.add_post("/api/messages", messages)
    return app


def botbuilder():
    from botbuilder.core import ActivityHandler, InvokeResponse
    from botbuilder.integration.aiohttp import (
        CloudAdapter,
        ConfigurationBotFrameworkAuthentication,
    )
    from botbuilder.schema import AdaptiveCardInvokeResponse
    from botframework.connector.auth import AppCredentials, ServiceClientCredentialsFactory

    class Configuration:
        TO_BOT_FROM_CHANNEL_OPENID_METADATA_URL = flags.metadata
        TO_BOT_FROM_CHANNEL_TOKEN_ISSUER = "https://api.botframework.com"
        TO_BOT_FROM_EMULATOR_OPENID_METADATA_URL = "https://localhost:1/"
        TO_CHANNEL_FROM_BOT_LOGIN_URL = flags.authority
        TO_CHANNEL_FROM_BOT_OAUTH_SCOPE = "https://api.botframework.com"
        OAUTH_URL = "https://localhost:1/"

    class Credentials(AppCredentials):
        def get_access_token(self, force_refresh=False):
            return requests.post(TOKEN, data=FORM, timeout=10).json()["access_token"]

    class Factory(ServiceClientCredentialsFactory):
        async def is_valid_app_id(self, app_id):
            return app_id == flags.app

        async def is_authentication_disabled(self):
            return False

        async def create_credentials(self, app_id, oauth_scope, login_endpoint, validate_authority):
            return Credentials(app_id, flags.tenant, oauth_scope)

    class Bot(ActivityHandler):
        async def on_message_activity(self, turn_context):
            await turn_context.send_activity(f"you said: {turn_context.activity.text}")

        async def on_invoke_activity(self, turn_context):
            value = {"done": turn_context.activity.name}
            body = AdaptiveCardInvokeResponse(status_code=200, type="application/json", value=value)
            return InvokeResponse(status=200, body=body)

    authentication = ConfigurationBotFrameworkAuthentication(
        Configuration(), credentials_factory=Factory()
    )
    adapter = CloudAdapter(authentication)

    async def messages(request):
        body = await request.json()
        hears(request, body["type"], body.get("from", {}).get("aadObjectId"))
        return await adapter.process(request, Bot())

    app = web.Application(middlewares=[edge_only])
    app.router.add_post("/api/messages", messages)
    return app


async def main():
    runner = web.AppRunner({"agents": agents, "botbuilder": botbuilder}[flags.sdk]())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", flags.port).start()
    say(listens=flags.port)
    await asyncio.Event().wait()


asyncio.run(main())
