"""The programs that the scripts here start: where they are, on which ports, and that they end."""

import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "target" / "release"
TOOLS = ROOT / ".tools"
# Other builds, where the environment names them.
TONEGATE = pathlib.Path(os.environ.get("TONEGATE", BUILD / "tonegate"))
LOAD = pathlib.Path(os.environ.get("TONEGATE_LOAD", BUILD / "tonegate-load"))
# Two a session; more would only make the tables of the programs longer.
DESCRIPTORS = 20_000


# Whoever ends a script ends what it has started, too: the `finally` of each runs.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class NotUp(Exception):
    """A program that did not come to listen, and the last it said."""


def needed(*tools):
    """Ends the script if a tool or a program of ours is missing."""
    for tool in tools:
        if not shutil.which(tool):
            sys.exit(f"no {tool}: run `make tools` first")
    for program in (TONEGATE, LOAD):
        if not program.exists():
            sys.exit(f"no {program}: cargo build --release --locked --workspace")


def free_port():
    """A port of this machine's loopback for somebody to listen on, soon.

    From below those that the kernel gives to whoever connects: one of these might be taken by then, by a
    connection of the very programs that are being started.
    """
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(100):
        # Where that range begins so low that there is nothing below it, the kernel's choice is as good as any.
        port = random.randrange(10_000, first) if first >= 12_000 else 0
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise SystemExit("no port is free")


def descriptors():
    """Raises the limit of open files as far as is of use, and returns it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def stop(process):
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start(command, port, log, variables=None, patience=20):
    """Starts a program that says what it says into the file `log`, and waits until it listens on `port`."""
    with open(log, "wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env={**os.environ, **(variables or {})}
        )
    try:
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return process
            except OSError:
                time.sleep(0.005)
        said = pathlib.Path(log).read_text(errors="replace").strip()
        raise NotUp(f"did not come up: {said[-2000:] or 'and said nothing'}")
    except BaseException:
        stop(process)
        raise


class Started:
    """Programs that end with the script, the last one first."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.processes = []

    def start(self, name, command, port, variables=None):
        try:
            process = start(command, port, self.directory / f"{name}.log", variables)
        except NotUp as error:
            raise SystemExit(f"{name} {error}") from None
        self.processes.append(process)
        return process

    def stop(self):
        for process in reversed(self.processes):
            stop(process)
