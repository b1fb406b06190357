#!/usr/bin/env python3
"""What it costs a Redis to be asked by an edge whether calls are still their sessions' own.

The script that edges send, at their pace: one command in each window, for one call and for as many as a
command has at the most, and such a window in a cluster, where each call is a command. It starts a
redis-server of its own on loopback. Prints JSON: microseconds of a core for a window, whatever is asked in it,
for each call in it, and for a call in a cluster.
"""

import json
import pathlib
import re
import secrets
import socket
import sys
import tempfile
import time

import run

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "src"
CALLS = 10_000
WINDOWS = 40
TTL = "3600000"


def constant(file, name):
    """What the edge is built with: a number, or milliseconds of it."""
    found = re.search(rf"const {name}: \w+ = (?:Duration::from_millis\()?(\d[\d_]*)", (SOURCE / file).read_text())
    return int(found[1].replace("_", ""))


WINDOW = constant("store/gather.rs", "WINDOW") / 1000
TOGETHER = constant("store/redis/glance.rs", "TOGETHER")
LOOK = constant("session/call.rs", "LOOK") / 1000


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = self.socket.makefile("rb")

    def send(self, *words):
        parts = [f"*{len(words)}\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words)]
        self.socket.sendall("".join(parts).encode())

    def answer(self):
        line = self.answers.readline()[:-2].decode()
        if line.startswith("-"):
            sys.exit(f"Redis says {line}")
        return self.answers.read(int(line[1:]) + 2)[:-2].decode() if line.startswith("$") else line[1:]

    def ask(self, *words):
        self.send(*words)
        return self.answer()


def calls(client):
    """Open calls, with what else is known of them."""
    made = []
    for _ in range(CALLS):
        call, owner = secrets.token_hex(16), secrets.token_hex(16)
        known = {"ani": "+15551234567", "sip": call, "connection": call, "correlation": call, "route": "phone"}
        known = [word for field in {**known, "owner": owner, "opened": "1"}.items() for word in field]
        client.ask("HSET", f"call:{{{call}}}", *known)
        client.ask("PEXPIRE", f"call:{{{call}}}", TTL)
        client.ask("SET", f"live:{{{call}}}", owner, "PX", TTL)
        made.append((call, owner))
    return made


def cost(client, commands, sha, made, each, together):
    """Microseconds of Redis' CPU for a window of so many calls, without what it takes when nobody asks."""
    commands.since()
    for window in range(WINDOWS):
        begun = time.monotonic()
        asked = [made[(window * each + i) % CALLS] for i in range(each)]
        some = [asked[i : i + together] for i in range(0, each, together)]
        for calls in some:
            keys = [key for call, _ in calls for key in (f"call:{{{call}}}", f"live:{{{call}}}")]
            owners = [owner for _, owner in calls]
            # One server proves each time that it may write; a node of a cluster need not.
            proves = "1" if together > 1 else "0"
            client.send("EVALSHA", sha, str(len(keys)), *keys, str(int(TTL) // 4 * 3), proves, *owners)
        told = "".join(client.answer() for _ in some)
        if told != "1" * each:
            sys.exit(f"Redis says {told} of {each} calls that are as they were")
        time.sleep(max(0, begun + WINDOW - time.monotonic()))
    seconds, _, cpu = commands.since()
    time.sleep(run.REST)
    rest, _, cpu_at_rest = commands.since()
    return (cpu - cpu_at_rest / rest * seconds) * 1e6 / WINDOWS


def measured():
    with tempfile.TemporaryDirectory(prefix="tonegate-glances-") as directory:
        started = run.Started(pathlib.Path(directory))
        try:
            port = run.free_port()
            started.start("redis", run.redis_command(port), port)
            client, commands = Client(port), run.Commands(port)
            made = calls(client)
            sha = client.ask("SCRIPT", "LOAD", (SOURCE / "store/redis/glance.lua").read_text())
            one, full = (cost(client, commands, sha, made, each, TOGETHER) for each in (1, TOGETHER))
            apart = cost(client, commands, sha, made, TOGETHER, 1)
        finally:
            started.stop()
    call = (full - one) / (TOGETHER - 1)
    return {"window_us": one - call, "call_us": call, "apart_us": apart / TOGETHER}


if __name__ == "__main__":
    run.needed("redis-server")
    print(json.dumps(measured()))
