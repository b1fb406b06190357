"""azure-eventgrid's publisher, unmodified: takes events as Event Grid delivers them, makes its own of
each, and publishes them to a URL, by a token where one is given. The last line is what it was
answered."""

import argparse
import json
import time

from azure.core.credentials import AccessToken, AzureKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent, EventGridPublisherClient

flags = argparse.ArgumentParser()
flags.add_argument("--url", required=True)
flags.add_argument("--events", required=True, help="a JSON array")
flags.add_argument("--schema", choices=["event-grid", "cloud-events"], required=True)
flags.add_argument("--token", help="instead of a key")
flags.add_argument("--header", action="append", default=[], help="NAME: VALUE, as a delivery property")
flags = flags.parse_args()


class Token:
    def get_token(self, *scopes, **_):
        assert scopes == ("https://eventgrid.azure.net/.default",), scopes
        return AccessToken(flags.token, int(time.time()) + 3600)


told = {}


def answered(response):
    told["status"] = response.http_response.status_code
    told["answer"] = response.http_response.text()


kind = {"event-grid": EventGridEvent, "cloud-events": CloudEvent}[flags.schema]
events = [kind.from_dict(event) for event in json.loads(flags.events)]
credential = Token() if flags.token else AzureKeyCredential("key")
headers = dict(header.split(": ", 1) for header in flags.header)
# A refusal is to be seen, not tried again.
client = EventGridPublisherClient(flags.url, credential, retry_total=0)
try:
    client.send(events, headers=headers, raw_response_hook=answered)
    told["sent"] = len(events)
except HttpResponseError as error:
    told["error"] = type(error).__name__
told["types"] = [getattr(event, "event_type", None) or event.type for event in events]
print(json.dumps(told))
