#!/usr/bin/env python3
"""From exec to ready: how long an edge takes to begin, what of that is whose, and how large its binary is.

Starts `tonegate serve` with TLS and one route on free loopback ports, again and again on core 0, and asks
/readyz until it says 200. Beside the wall clock stands the processor time that was used until then: on a
busy machine trust that. `--binary` may be given several times; they take turns.

    loadtest/coldstart.py                          ten starts of target/release/tonegate
    loadtest/coldstart.py --binary a --binary b    two builds, beside each other
"""

import argparse
import os
import pathlib
import socket
import statistics
import string
import subprocess
import sys
import tempfile
import time

from programs import LOAD, TONEGATE, free_port, stop

SETTINGS = string.Template("""
[server]
listen  = "127.0.0.1:${port}"
admin   = "127.0.0.1:${admin}"
workers = 1
tls     = { certificate = "${directory}/leaf.pem", key = "${directory}/leaf.key" }

[upstreams.voice]
kind = "voice-live"
url  = "wss://localhost:${port}"
api_version = "2026-07-15"
credential  = { key = "nobody-looks-at-it" }
roots       = "${directory}/ca.pem"

[[routes]]
name   = "voice"
paths  = ["/voice-live/realtime"]
kind   = "voice-live"
admit  = ["anyone"]
models = ["sim-echo"]
upstreams = ["voice"]
""")
READY = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def is_ready(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as asked:
            asked.sendall(READY)
            return asked.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def start(binary, directory):
    """Milliseconds until it is ready, and of those the processor's."""
    admin, port = free_port(), free_port()
    settings = pathlib.Path(directory) / "edge.toml"
    settings.write_text(SETTINGS.substitute(directory=directory, port=port, admin=admin))
    command = ["taskset", "-c", "0", binary, "serve", "--config", settings]
    begun = time.monotonic()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    edge = subprocess.Popen(command, **quiet)
    try:
        while not is_ready(admin):
            if edge.poll() is not None or time.monotonic() - begun > 10:
                raise SystemExit(f"{binary} did not become ready")
            time.sleep(0.0005)
        wall = time.monotonic() - begun
        tasks = pathlib.Path(f"/proc/{edge.pid}/task").iterdir()
        spent = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
        return wall * 1e3, spent / 1e6
    finally:
        stop(edge)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--binary", action="append", type=pathlib.Path, help="a build of tonegate; several take turns")
    parser.add_argument("--starts", type=int, default=10, help="of each build")
    args = parser.parse_args()
    if not 1 <= args.starts <= 100:
        parser.error("1 to 100 starts")
    binaries = args.binary or [TONEGATE]
    for program in (*binaries, LOAD):
        if not program.exists():
            sys.exit(f"no {program}: cargo build --release --locked --workspace")
    taken = {binary: [] for binary in binaries}
    with tempfile.TemporaryDirectory(prefix="tonegate-coldstart-") as directory:
        subprocess.run([LOAD, "certificates", "--directory", directory], check=True)
        for _ in range(args.starts):
            for binary in binaries:
                taken[binary].append(start(binary, directory))
    print(f"median (least) of {args.starts} starts, exec to /readyz")
    for binary in binaries:
        walls, spent = zip(*taken[binary])
        size = os.stat(binary).st_size / 2**20
        print(
            f"{binary}: {statistics.median(walls):.0f} ms ({min(walls):.0f}),"
            f" CPU {statistics.median(spent):.0f} ms ({min(spent):.0f}), binary {size:.1f} MiB"
        )


if __name__ == "__main__":
    main()
