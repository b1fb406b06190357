#!/usr/bin/env python3
"""Measures tonegate beside nginx: the same echo upstream, TLS on both sides, one core per proxy.

The proxy under test has core 0 to itself; the callers and the echo share one thread on core 1.
All targets take turns within each round, each time as a fresh process, so that whatever else the
machine does falls on all of them: trust the ratios, and of those the medians. Every byte that comes
back is compared; a lost or changed one fails the run. Only loopback, bounded in count and time.

    loadtest/compare/run.py                             both, five rounds
    TONEGATE=path/to/binary loadtest/compare/run.py     another build of tonegate
    loadtest/compare/run.py --targets nginx --rounds 1  nginx alone
"""

import argparse
import hashlib
import json
import os
import pathlib
import resource
import secrets
import shutil
import socket
import statistics
import string
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "target" / "release"

# The question, how it is driven, and which figure of the answer counts.
MODES = {
    "call": (["call", "--connections", "200"], "cpu_us_per_message", "CPU us per relayed message, 200 calls"),
    "flood1k": (["flood", "--connections", "8"], "cpu_us_per_message", "CPU us per relayed message, bursts of 16"),
    "connect": (["connect", "--connections", "8"], "cpu_ms_per_connection", "CPU ms per connection"),
    "idle": (["idle", "--connections", "1000"], "resident_kib_per_pair", "RSS KiB per idle pair"),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", default="nginx,tonegate", help="comma-separated; the first is the 1.00")
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="measured seconds of each run")
    parser.add_argument("--tonegate", default=os.environ.get("TONEGATE", BUILD / "tonegate"), type=pathlib.Path)
    parser.add_argument("--load", default=BUILD / "tonegate-load", type=pathlib.Path)
    parser.add_argument("--config", default=HERE / "tonegate.toml", type=pathlib.Path, help="tonegate's settings")
    parser.add_argument("--results", type=pathlib.Path, help="also write every figure there, a JSON line each")
    args = parser.parse_args()
    args.targets = args.targets.split(",")
    args.modes = args.modes.split(",")
    if not 1 <= args.rounds <= 50 or not 1 <= args.seconds <= 60:
        parser.error("1 to 50 rounds of 1 to 60 seconds")
    for unknown in set(args.targets) - {"nginx", "tonegate"} | set(args.modes) - set(MODES):
        parser.error(f"unknown target or mode: {unknown}")
    return args


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Bench:
    """What stays the same for all runs: certificates, the key, the upstream's address."""

    def __init__(self, args, directory):
        self.args = args
        self.directory = directory
        self.key = secrets.token_hex(16)
        self.upstream = free_port()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self.descriptors = 20_000 if hard == resource.RLIM_INFINITY else min(hard, 20_000)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, hard))
        subprocess.run([args.load, "certificates", "--directory", directory], check=True)

    def configured(self, template, port):
        text = string.Template(template.read_text()).substitute(
            directory=self.directory,
            port=port,
            upstream=f"127.0.0.1:{self.upstream}",
            upstream_port=self.upstream,
            descriptors=self.descriptors,
            sessions=self.descriptors // 2,
            key_sha256=hashlib.sha256(self.key.encode()).hexdigest(),
        )
        path = pathlib.Path(self.directory) / template.name
        path.write_text(text)
        return path

    def start(self, target, port):
        if target == "nginx":
            command = ["nginx", "-c", self.configured(HERE / "nginx.conf", port), "-p", self.directory]
        else:
            command = [self.args.tonegate, "serve", "--config", self.configured(self.args.config, port)]
        log = open(pathlib.Path(self.directory) / f"{target}.log", "wb")
        with log:
            proxy = subprocess.Popen(["taskset", "-c", "0", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.wait_until_up(proxy, target, port)
        except BaseException:
            stop(proxy)
            raise
        return proxy

    def wait_until_up(self, proxy, target, port):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and proxy.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        log = (pathlib.Path(self.directory) / f"{target}.log").read_text(errors="replace")
        raise SystemExit(f"{target} did not come up:\n{log[-2000:]}")

    def measure(self, target, mode):
        port = free_port()
        proxy = self.start(target, port)
        drive, figure, _ = MODES[mode]
        certificates = pathlib.Path(self.directory)
        command = [
            *("taskset", "-c", "1", self.args.load, "drive", *drive),
            *("--address", f"127.0.0.1:{port}", "--ca", certificates / "ca.pem"),
            *("--header", f"api-key: {self.key}", "--seconds", str(self.args.seconds), "--pid", str(proxy.pid)),
            *("--echo", f"127.0.0.1:{self.upstream}"),
            *("--certificate", certificates / "leaf.pem", "--key", certificates / "leaf.key"),
        ]
        try:
            ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=self.args.seconds + 90, check=False)
        finally:
            stop(proxy)
        lines = ran.stdout.splitlines()
        if not lines:
            return {"ok": False, "value": None}
        result = json.loads(lines[-1])
        return {**result, "value": result[figure]}


def stop(process):
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def rounds(bench, args):
    """All figures, as {(target, mode): [value per round]}, and whether every byte was right."""
    figures, sound = {}, True
    for turn in range(args.rounds):
        # Who goes first changes: nobody always runs on the warmer machine.
        order = args.targets if turn % 2 == 0 else args.targets[::-1]
        for mode in args.modes:
            for target in order:
                result = bench.measure(target, mode)
                sound = sound and result["ok"]
                figures.setdefault((target, mode), []).append(result["value"])
                if args.results:
                    with args.results.open("a") as file:
                        file.write(json.dumps({"round": turn, "target": target, "name": mode, **result}) + "\n")
            print(f"round {turn + 1} {mode:8}", *(told(figures, args, target, mode, turn) for target in args.targets), flush=True)
    return figures, sound


def ratio(figures, args, target, mode, turn):
    value, base = (figures[(name, mode)][turn] for name in (target, args.targets[0]))
    return value / base if value and base else None


def told(figures, args, target, mode, turn):
    value, share = figures[(target, mode)][turn], ratio(figures, args, target, mode, turn)
    return f" {target} " + ("FAILED" if value is None else f"{value:.3g}") + ("" if share is None else f" ({share:.2f}x)")


def summary(figures, args):
    print(f"\nmedian of {args.rounds} rounds; in brackets the ratio to {args.targets[0]}, taken round by round: median, min..max\n")
    for mode in args.modes:
        print(MODES[mode][2])
        for target in args.targets:
            values = [value for value in figures[(target, mode)] if value is not None]
            shares = [ratio(figures, args, target, mode, turn) for turn in range(args.rounds)]
            shares = [share for share in shares if share is not None]
            if values and shares:
                spread = f"({statistics.median(shares):.2f}x, {min(shares):.2f}..{max(shares):.2f})"
                print(f"  {target:10} {statistics.median(values):8.3g}  {spread}")


def main():
    args = arguments()
    if "tonegate" in args.targets and not args.tonegate.exists():
        sys.exit(f"no tonegate at {args.tonegate}: build it, set TONEGATE, or ask for --targets nginx")
    if not args.load.exists():
        sys.exit(f"no load generator at {args.load}: cargo build --release --locked -p tonegate-load")
    os.environ["PATH"] += ":/usr/sbin"  # where Debian puts nginx
    for tool in ["taskset"] + ["nginx"] * ("nginx" in args.targets):
        if not shutil.which(tool):
            sys.exit(f"no {tool}: run `make tools` first")
    if (os.cpu_count() or 1) < 2:
        sys.exit("two cores are needed: one for the proxy, one for everything else")
    with tempfile.TemporaryDirectory(prefix="tonegate-compare-") as directory:
        figures, sound = rounds(Bench(args, directory), args)
    summary(figures, args)
    if not sound:
        sys.exit("some messages were lost or changed, or a run failed: no figure above counts")


if __name__ == "__main__":
    main()
