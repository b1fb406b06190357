"""azure-eventgrid's publisher, unmodified: takes events as Event Grid delivers them, makes its own of
each, and publishes them to a URL."""

import argparse
import json

from azure.core.credentials import AzureKeyCredential
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent, EventGridPublisherClient

flags = argparse.ArgumentParser()
flags.add_argument("--url", required=True)
flags.add_argument("--events", required=True, help="a JSON array")
flags.add_argument("--schema", choices=["event-grid", "cloud-events"], required=True)
flags = flags.parse_args()

kind = {"event-grid": EventGridEvent, "cloud-events": CloudEvent}[flags.schema]
events = [kind.from_dict(event) for event in json.loads(flags.events)]
client = EventGridPublisherClient(flags.url, AzureKeyCredential("key"), retry_total=0)
client.send(events)
print(json.dumps({"sent": len(events), "types": [getattr(e, "event_type", None) or e.type for e in events]}))
