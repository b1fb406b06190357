#!/usr/bin/env python3
"""What an upgrade costs the edge, by kind of credential, with full and with resumed TLS handshakes.

Starts an issuer (`tonegate sim issuer`), an echo behind TLS and an edge with one worker on core 0, on free
loopback ports in a directory of its own, and lets callers on core 1 connect, speak once, and go. Each
figure is processor time of the whole edge (all its threads, from the scheduler's own count) per session:
TLS on both sides, admission, dial, 101, one message there and back, close. A second of it is a second of
one core, so `upgrades/s/core` is its inverse. Kinds take turns in each round: trust medians and ratios.

    loadtest/upgrades.py                              five rounds of 200 sessions of each kind
    loadtest/upgrades.py --rounds 3 --sessions 100
    TONEGATE=path/to/binary loadtest/upgrades.py      another build of tonegate
"""

import argparse
import base64
import concurrent.futures
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import secrets
import socket
import ssl
import statistics
import string
import subprocess
import tempfile
import threading
import time
import uuid

from programs import LOAD, TONEGATE, Started, free_port, needed

TENANT = "11111111-2222-3333-4444-555555555555"
TICKETS_FOR = "wss://localhost"
SPOKEN = b"an upgrade is worth something when a message has come back through it"
CALLERS = 4
KINDS = ("key", "ticket", "RS256 seen before", "RS256 first seen", "ES256 first seen")

SETTINGS = """
[server]
listen  = "127.0.0.1:${port}"
admin   = "127.0.0.1:${admin}"
workers = 1
tls     = { certificate = "${directory}/leaf.pem", key = "${directory}/leaf.key" }

[[keys]]
name   = "load"
sha256 = "${key_sha256}"
models = ["sim-echo"]

[tickets]
audience = "${tickets_for}"

[[tickets.keys]]
id          = "load"
issuer      = "load"
algorithm   = "HS256"
secret_file = "${directory}/ticket.secret"

[issuers.users]
kind       = "entra"
authority  = "https://localhost:${issuer}"
tenants    = ["${tenant}"]
audience   = ["api://edge"]
algorithms = ["RS256", "ES256"]
roots      = "${directory}/ca.pem"

[upstreams.voice]
kind = "voice-live"
url  = "wss://localhost:${voice}"
api_version = "2026-07-15"
credential  = { key = "the-echo-looks-at-none" }
roots       = "${directory}/ca.pem"

[[routes]]
name   = "voice"
paths  = ["/voice-live/realtime"]
kind   = "voice-live"
admit  = ["key", "users", "ticket"]
accept = ["header", "query"]
models = ["sim-echo"]
upstreams = ["voice"]
# Nothing here is to be turned away: what is asked is what letting in costs.
limits = { sessions = 1000, sessions_per_address = 1000, sessions_per_identity = 1000, upgrades = "1000000/s" }
"""


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class Bench:
    def __init__(self, directory, started, ports):
        self.directory, self.ports = directory, ports
        self.key = secrets.token_hex(16)
        self.ticket_secret = secrets.token_urlsafe(32)
        (directory / "ticket.secret").write_text(self.ticket_secret)
        subprocess.run([LOAD, "certificates", "--directory", directory], check=True)
        leaf = ("--certificate", directory / "leaf.pem", "--key", directory / "leaf.key")
        (directory / "edge.toml").write_text(
            string.Template(SETTINGS).substitute(
                ports,
                directory=directory,
                tenant=TENANT,
                tickets_for=TICKETS_FOR,
                key_sha256=hashlib.sha256(self.key.encode()).hexdigest(),
            )
        )
        at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        aside = ("taskset", "-c", "1")
        started.start("issuer", [*aside, TONEGATE, "sim", "issuer", "--listen", at["issuer"], *leaf], ports["issuer"])
        started.start("echo", [*aside, LOAD, "echo", "--echo-listen", at["voice"], *leaf], ports["voice"])
        edge = ["taskset", "-c", "0", TONEGATE, "serve", "--config", directory / "edge.toml"]
        self.edge = started.start("edge", edge, ports["port"])
        self.until_ready()
        self.seen = self.mint("RS256", 1)[0]
        self.here = threading.local()

    def until_ready(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            asked = http.client.HTTPConnection("127.0.0.1", self.ports["admin"], timeout=1)
            asked.request("GET", "/readyz")
            if asked.getresponse().status == 200:
                return
            time.sleep(0.05)
        raise SystemExit("the edge is not ready")

    def tls(self):
        return ssl.create_default_context(cafile=self.directory / "ca.pem")

    def mint(self, algorithm, count):
        """Tokens of the issuer, each another one."""
        base = f"https://localhost:{self.ports['issuer']}"

        def one(_):
            claims = {
                "iss": f"{base}/{TENANT}/v2.0", "aud": "api://edge", "ver": "2.0", "tid": TENANT,
                "oid": "22222222-3333-4444-5555-666666666666", "sub": "a caller", "jti": str(uuid.uuid4()),
                "azp": "33333333-4444-5555-6666-777777777777", "azpacr": "0", "scp": "user_impersonation",
            }  # fmt: skip
            order = json.dumps({"claims": claims, "algorithm": algorithm, "expires_in": 3600})
            asked = http.client.HTTPSConnection("localhost", self.ports["issuer"], context=self.tls(), timeout=10)
            asked.request("POST", "/mint", order, {"Content-Type": "application/json"})
            return json.loads(asked.getresponse().read())["token"]

        with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
            return list(pool.map(one, range(count)))

    def tickets(self, count):
        def one():
            now = int(time.time())
            claims = {"aud": TICKETS_FOR, "iat": now, "exp": now + 50, "jti": str(uuid.uuid4()), "model": "sim-echo"}
            signed = b".".join(b64(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "load"}, claims))
            tag = hmac.new(self.ticket_secret.encode(), signed, hashlib.sha256).digest()
            return (signed + b"." + b64(tag)).decode()

        return [one() for _ in range(count)]

    def shown(self, kind, count):
        """What each of so many sessions shows: a header, and what stands in the query."""
        if kind == "key":
            return [(f"api-key: {self.key}\r\n", "")] * count
        if kind == "ticket":
            return [("", f"&ticket={ticket}") for ticket in self.tickets(count)]
        tokens = [self.seen] * count if kind == "RS256 seen before" else self.mint(kind.split()[0], count)
        return [(f"Authorization: Bearer {token}\r\n", "") for token in tokens]

    def session(self, shown, resume):
        """One session; whether its handshake was resumed."""
        if not hasattr(self.here, "tls"):
            self.here.tls, self.here.ticket = self.tls(), None
        header, query = shown
        raw = socket.create_connection(("127.0.0.1", self.ports["port"]), timeout=10)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ticket = self.here.ticket if resume else None
        with self.here.tls.wrap_socket(raw, server_hostname="localhost", session=ticket) as io:
            nonce = base64.b64encode(os.urandom(16)).decode()
            io.sendall(
                f"GET /voice-live/realtime?model=sim-echo{query} HTTP/1.1\r\nHost: localhost\r\n{header}"
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {nonce}\r\n\r\n".encode()
            )
            head = b""
            while b"\r\n\r\n" not in head:
                more = io.recv(4096)
                if not more:
                    raise SystemExit(f"no whole answer: {head!r}")
                head += more
            if not head.startswith(b"HTTP/1.1 101 "):
                raise SystemExit(f"refused: {head[:500]!r}")
            # Masked with zeros: what goes out is what comes back.
            io.sendall(bytes([0x81, 0x80 | len(SPOKEN), 0, 0, 0, 0]) + SPOKEN)
            expected = bytes([0x81, len(SPOKEN)]) + SPOKEN
            heard = head.partition(b"\r\n\r\n")[2]
            while len(heard) < len(expected):
                more = io.recv(4096)
                if not more:
                    raise SystemExit("the edge ended the session")
                heard += more
            if heard != expected:
                raise SystemExit("what came back is not what was said")
            resumed = io.session_reused
            self.here.ticket = io.session
            io.sendall(bytes([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]))
            while io.recv(4096):
                pass
        return resumed

    def spent(self):
        """Processor time of all of the edge's threads, in nanoseconds."""
        tasks = pathlib.Path(f"/proc/{self.edge.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)

    def measure(self, kind, resume, count):
        """Milliseconds of the edge's time per session."""
        shown = self.shown(kind, count)
        with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
            # Each caller has a ticket of a TLS session before its figure begins.
            warm = [(f"api-key: {self.key}\r\n", "")] * (4 * CALLERS)
            list(pool.map(lambda one: self.session(one, resume), warm))
            before = self.spent()
            resumed = sum(pool.map(lambda one: self.session(one, resume), shown))
            # What is left to do after the last goodbye is part of it.
            time.sleep(0.05)
            spent = self.spent() - before
        if resumed != (count if resume else 0):
            raise SystemExit(f"{kind}: {resumed} of {count} handshakes were resumed")
        return spent / count / 1e6


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="in which all kinds take turns")
    parser.add_argument("--sessions", type=int, default=200, help="of each kind in each round")
    args = parser.parse_args()
    if not (1 <= args.rounds <= 50 and 20 <= args.sessions <= 2000):
        parser.error("1 to 50 rounds of 20 to 2000 sessions")
    return args


def main():
    args = arguments()
    needed("taskset")
    cases = [(kind, resume) for resume in (False, True) for kind in KINDS]
    figures = {case: [] for case in cases}
    with tempfile.TemporaryDirectory(prefix="tonegate-upgrades-") as directory:
        started = Started(pathlib.Path(directory))
        try:
            ports = {name: free_port() for name in ("port", "admin", "issuer", "voice")}
            bench = Bench(pathlib.Path(directory), started, ports)
            os.sched_setaffinity(0, {1})
            for turn in range(args.rounds):
                for case in cases if turn % 2 == 0 else cases[::-1]:
                    figures[case].append(bench.measure(*case, args.sessions))
        finally:
            started.stop()
    base = figures[cases[0]]
    print(f"median of {args.rounds} rounds of {args.sessions} sessions; ratio to `key, full` round by round\n")
    print(f"{'credential':20} {'handshake':10} {'CPU ms':>8} {'upgrades/s/core':>16} {'ratio':>7}")
    for kind, resume in cases:
        values = figures[(kind, resume)]
        cost = statistics.median(values)
        ratio = statistics.median(value / first for value, first in zip(values, base))
        print(f"{kind:20} {'resumed' if resume else 'full':10} {cost:8.3f} {1000 / cost:16.0f} {ratio:6.2f}x")


if __name__ == "__main__":
    main()
