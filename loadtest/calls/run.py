#!/usr/bin/env python3
"""Telephone calls that dial a code, through an edge that this script starts with all that it needs.

A redis-server, an issuer of ACS' tokens (`tonegate sim issuer`), an edge on core 0, and on core 1 the
callers with the strict Voice Live that repeats what it hears. All of it on loopback, on free ports, in
a directory of its own, and gone at the end. What is behind `--` goes to `tonegate-load gate`, whose
JSON line is printed, with what Redis was asked, and whose exit code is this script's.

    loadtest/calls/run.py                                  100 calls, 20 of them begin in a second
    loadtest/calls/run.py -- --calls 500 --rate 50 --seconds 10 --by both
    TONEGATE=path/to/binary loadtest/calls/run.py          another build of tonegate
    loadtest/calls/run.py --verbatim                       the agent speaks ACS: nothing is translated
    loadtest/calls/run.py --quick                          Redis is not asked what it had to do: 4 s less
    loadtest/calls/run.py --node -- --by messages          a bridge of Node's instead of the edge
"""

import json
import pathlib
import re
import secrets
import socket
import string
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from programs import LOAD, TONEGATE, TOOLS, Started, free_port, needed  # noqa: E402

# Longest run that the callers' own bounds allow, and some more.
RUN_MAX = 900
FLAGS = {"--node", "--verbatim", "--quick"}


def redis_command(port):
    """A server that keeps nothing."""
    return ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]


class Commands:
    """What Redis was asked, by command, and what it took, as itself counts both (INFO)."""

    # Ours, and what a client says before it asks anything.
    OURS = {"info", "client", "hello", "select", "auth", "ping"}

    def __init__(self, port):
        self.port = port
        self.at, self.counts, self.cpu = self.look()

    def info(self, section):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as redis, redis.makefile("rb") as answer:
            redis.sendall(f"INFO {section}\r\n".encode())
            text = answer.read(int(answer.readline()[1:])).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def look(self):
        counts = {}
        for name, figures in self.info("commandstats").items():
            name = name.removeprefix("cmdstat_")
            if name.split("|")[0] not in self.OURS:
                counts[name] = int(figures.split(",")[0].removeprefix("calls="))
        cpu = self.info("cpu")
        return time.monotonic(), counts, float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])

    def since(self):
        """Seconds since the last look, what was asked in them, and seconds of CPU."""
        before, asked, cpu = self.at, self.counts, self.cpu
        self.at, self.counts, self.cpu = self.look()
        counts = {name: count - asked.get(name, 0) for name, count in self.counts.items()}
        return self.at - before, counts, self.cpu - cpu


# Long enough for whatever the edge asks of itself, twice a second or less often.
REST = 4


def asked_of_redis(commands, calls):
    """By call, without what the edge asks when nobody calls; and that, by second."""
    seconds, during, cpu = commands.since()
    # Each call's code, which the callers put there themselves.
    during["set"] = during.get("set", 0) - calls
    time.sleep(REST)
    rest, resting, cpu_resting = commands.since()
    steady = {name: count / rest for name, count in resting.items() if count}
    by_call = {name: (count - steady.get(name, 0) * seconds) / calls for name, count in during.items()}
    return {
        "redis_per_call": {name: round(count, 2) for name, count in by_call.items() if round(count, 2) > 0},
        "redis_cpu_us_per_call": (cpu - cpu_resting / rest * seconds) * 1e6 / calls,
        "redis_per_second_at_rest": {name: round(count, 2) for name, count in steady.items()},
    }


def edge_command(directory, ports, node):
    """What stands in the middle, and the variables that it wants."""
    if not node:
        return [TONEGATE, "serve", "--config", directory / "tonegate.toml"], {}
    variables = {
        "CERTIFICATE": directory / "leaf.pem",
        "KEY": directory / "leaf.key",
        "CA": directory / "ca.pem",
        "UPSTREAM": f"wss://localhost:{ports['voice']}",
        "PORT": ports["port"],
    }
    return [TOOLS / "bin" / "node", HERE / "bridge.mjs"], {name: str(value) for name, value in variables.items()}


def settings(agent, ports, directory, secret):
    """The edge's, with the lines of this agent."""
    lines = (HERE / "tonegate.toml").read_text().splitlines()
    marked = [(line, re.search(r"\s*#@ ([a-z-]+)$", line)) for line in lines]
    kept = [line[: mark.start()] if mark else line for line, mark in marked if not mark or mark[1] == agent]
    template = string.Template("\n".join(kept) + "\n")
    return template.substitute(ports, directory=directory, secret=secret)


def run(directory, more, flags):
    node = "--node" in flags
    agent = "orchestrator" if "--verbatim" in flags else "voice-live"
    ports = {name: free_port() for name in ("port", "redis", "issuer", "voice")}
    secret = secrets.token_hex(32)
    subprocess.run([LOAD, "certificates", "--directory", directory], check=True)
    leaf = ("--certificate", directory / "leaf.pem", "--key", directory / "leaf.key")
    (directory / "tonegate.toml").write_text(settings(agent, ports, directory, secret))
    started = Started(directory)
    try:
        at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        started.start("redis", redis_command(ports["redis"]), ports["redis"])
        started.start("issuer", [TONEGATE, "sim", "issuer", "--listen", at["issuer"], *leaf], ports["issuer"])
        middle, variables = edge_command(directory, ports, node)
        edge = started.start("edge", ["taskset", "-c", "0", *middle], ports["port"], variables)
        command = [
            *("taskset", "-c", "1", LOAD, "gate", "--json", "--address", at["port"], "--ca", directory / "ca.pem"),
            *("--secret", secret, "--issuer", at["issuer"], "--redis", at["redis"], "--pid", str(edge.pid)),
            *("--voice", at["voice"], "--agent", agent, *leaf, *more),
        ]
        commands = Commands(ports["redis"])
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=RUN_MAX, check=False)
        if not ran.stdout:
            print((directory / "edge.log").read_text(errors="replace")[-2000:], file=sys.stderr)
            return ran.returncode
        result = json.loads(ran.stdout)
        asked = {} if "--quick" in flags else asked_of_redis(commands, result["calls"])
        print(json.dumps({**result, **asked}))
        return ran.returncode
    finally:
        started.stop()


def main():
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    flags, more = set(words[:at]), words[at + 1 :]
    if flags - FLAGS or {"--node", "--verbatim"} <= flags:
        sys.exit(__doc__)
    needed("redis-server", "taskset")
    with tempfile.TemporaryDirectory(prefix="tonegate-calls-") as directory:
        sys.exit(run(pathlib.Path(directory), more, flags))


if __name__ == "__main__":
    main()
