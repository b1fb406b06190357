"""One run: a fresh peer on core 0, the callers and the echo on core 1, the answer of the callers."""

import contextlib
import hashlib
import json
import os
import pathlib
import secrets
import subprocess
import sys

from modes import CASES, MODES

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import programs  # noqa: E402

# What the callers wait for at the most, beyond the seconds they measure (their own bounds are below it).
PATIENCE = 90
# Below the kernel's own threads, above everything else.
PRIORITY = "10"


class Failed(Exception):
    """A run without a figure, and why."""


class World:
    """What a peer is configured with: filled into its template, or given on its command line."""

    def __init__(self, bench, case):
        self.bench = bench
        self.case = CASES[case]
        self.directory = bench.directory
        self.authority = bench.directory / "ca.pem"
        # New ones each time: no run meets the addresses that the one before it left in TIME-WAIT.
        self.port, self.upstream_port = programs.free_port(), programs.free_port()
        self.upstream_name = "localhost"
        self.dtmf, self.batch = "observe", "0s"

    @property
    def upstream(self):
        return f"127.0.0.1:{self.upstream_port}"

    def values(self):
        return {
            "directory": self.directory,
            "authority": self.authority,
            "port": self.port,
            "upstream": self.upstream,
            "upstream_port": self.upstream_port,
            "upstream_name": self.upstream_name,
            "descriptors": self.bench.descriptors,
            "sessions": self.bench.descriptors // 2,
            # Once 15 of 16 are in use nginx closes those that have said nothing yet.
            "connections": self.bench.descriptors * 5 // 4,
            # HAProxy counts its own descriptors as well, and starts only if all of them may be opened.
            "maxconn": self.bench.descriptors // 2 - 50,
            "key_sha256": hashlib.sha256(self.bench.key.encode()).hexdigest(),
            "dtmf": self.dtmf,
            "batch": self.batch,
        }


class Bench:
    """What stays the same for all runs: certificates and the key."""

    def __init__(self, args, directory):
        self.args = args
        self.directory = pathlib.Path(directory)
        self.key = secrets.token_hex(16)
        self.descriptors = programs.descriptors()
        self.certificates(self.directory)

    def certificates(self, directory):
        subprocess.run([self.args.load, "certificates", "--directory", directory], check=True)
        # HAProxy wants chain and key in one file.
        both = (directory / "leaf.pem").read_text() + (directory / "leaf.key").read_text()
        (directory / "both.pem").write_text(both)

    def log(self, peer):
        return self.directory / f"{peer.name}.log"

    def start(self, peer, world, fifo=False):
        command = ["taskset", "-c", "0", *peer.command(world)]
        if fifo:
            command = ["chrt", "-f", PRIORITY, *command]
        try:
            return programs.start(command, world.port, self.log(peer))
        except programs.NotUp as error:
            raise Failed(str(error)) from None

    @contextlib.contextmanager
    def running(self, peer, world, fifo=False):
        process = self.start(peer, world, fifo)
        try:
            yield process
        finally:
            programs.stop(process)

    def drive(self, world, words, *, seconds, pid=None, address=None, echo=None):
        """Runs the callers with the echo; their answer, whatever it says, and what they complained of."""
        leaf = ["--certificate", self.directory / "leaf.pem", "--key", self.directory / "leaf.key"]
        clients = ["--ca", self.directory / "ca.pem"] if world.case.inside == "tls" else ["--plain"]
        upstream = leaf if world.case.outside == "tls" else ["--echo-plain"]
        command = [
            *("taskset", "-c", "1", self.args.load, "drive", *words),
            *("--address", address or f"127.0.0.1:{world.port}", *clients),
            *("--header", f"api-key: {self.key}", "--seconds", str(seconds)),
            *(("--pid", str(pid)) if pid else ()),
            *("--echo", echo or world.upstream, *upstream),
        ]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"the callers did not end within {seconds + PATIENCE} s") from None
        lines = ran.stdout.splitlines()
        said = " ".join(ran.stderr.split()).removeprefix("tonegate-load: ")
        if not lines:
            raise Failed(said[-300:] or f"the callers ended with exit code {ran.returncode}")
        return json.loads(lines[-1]), said

    def measure(self, peer, case, mode, seconds):
        """The callers' answer. `Failed` if there is none, or anything was lost, changed or broken."""
        mode, world = MODES[mode], World(self, case)
        with self.running(peer, world, mode.fifo) as process:
            result, said = self.drive(world, mode.drive.split(), seconds=mode.seconds or seconds, pid=process.pid)
            if process.poll() is not None:
                raise Failed(f"ended with exit code {process.returncode}")
        if not result["ok"]:
            counts = [f"{result[name]} {name}" for name in ("lost", "changed", "broken") if result.get(name)]
            raise Failed(", ".join([*counts, *result.get("failed", []), *filter(None, [said])]))
        missing = [figure.name for figure in mode.figures if figure.of(result) is None]
        if missing:
            raise Failed(f"no {', '.join(missing)} in the callers' answer")
        return result


def can_fifo():
    return subprocess.run(["chrt", "-f", PRIORITY, "true"], capture_output=True, check=False).returncode == 0


def wanting(args):
    """What a run of this kind cannot do without, as a sentence, or nothing."""
    if not args.load.exists():
        return f"no load generator at {args.load}: cargo build --release --locked --workspace --bins"
    if not args.tonegate.exists() and any(name.startswith("tonegate") for names in args.targets.values() for name in names):
        return f"no tonegate at {args.tonegate}: build it, set TONEGATE, or ask for --targets nginx"
    if (os.cpu_count() or 1) < 2:
        return "two cores are needed: one for the peer, one for everything else"
    return None
