#!/usr/bin/env python3
"""How the edge grows: cost, memory and p99 against calls, and against what its settings hold.

An edge with one worker on core 0, callers and echo in one thread on core 1, all on loopback and gone at
the end. Calls come in steps, until somebody has no more time; silent ones up to what descriptors allow.
Then connections are made with 1 and with many routes, keys and tenants in the settings, of which the
last one is used: whatever is looked for one by one shows. Those take turns, and of their costs the
ratios count.

    loadtest/growth.py                          everything, about five minutes, tables in Markdown
    loadtest/growth.py --picture growth.svg --results growth.json
    loadtest/growth.py --parts routes,keys      some of it
    TONEGATE=path/to/binary loadtest/growth.py  another build of tonegate
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import secrets
import statistics
import subprocess
import sys
import tempfile
import time

from programs import LOAD, TONEGATE, NotUp, descriptors, free_port, needed, start, stop

AUDIENCE = "https://ai.azure.com"
# The core is full; a queue that never empties again is not far.
FULL = 0.95
SETTINGS = ("routes", "keys", "tenants")


def counts(text):
    values = [int(part) for part in text.split(",")]
    if not values or any(not 1 <= value <= 10_000 for value in values) or values != sorted(set(values)):
        raise argparse.ArgumentTypeError("1 to 10000, rising, separated by commas")
    return values


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--parts", default="calls,idle,routes,keys,tenants", help="what is measured")
    parser.add_argument("--calls", type=counts, default="10,50,100,200,300,400,600,800", help="so many talk, step by step")
    parser.add_argument("--idle", type=counts, default="100,1000,3000,9000", help="so many are silent")
    parser.add_argument("--routes", type=counts, default="1,10,100,1000", help="so many routes in the settings")
    parser.add_argument("--keys", type=counts, default="1,100,10000", help="so many keys")
    parser.add_argument("--tenants", type=counts, default="1,100,10000", help="so many tenants of the issuer")
    parser.add_argument("--rounds", type=int, default=3, help="of what takes turns")
    parser.add_argument("--seconds", type=int, default=2, help="measured seconds of each run")
    parser.add_argument("--results", type=pathlib.Path, help="also write every run there, a JSON line each")
    parser.add_argument("--picture", type=pathlib.Path, help="also draw the curves there, as SVG")
    args = parser.parse_args()
    args.parts = args.parts.split(",")
    for unknown in set(args.parts) - {"calls", "idle", *SETTINGS}:
        parser.error(f"unknown part: {unknown}")
    if not 1 <= args.rounds <= 20 or not 1 <= args.seconds <= 60:
        parser.error("1 to 20 rounds of 1 to 60 seconds")
    return args


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def tenant(number):
    return f"00000000-0000-4000-8000-{number:012x}"


class Bench:
    """What stays the same for all runs: certificates, the echo's address, the issuer and its token."""

    def __init__(self, args, directory):
        self.args = args
        self.directory = pathlib.Path(directory)
        self.key = secrets.token_hex(16)
        self.echo = free_port()
        self.descriptors = descriptors()
        subprocess.run([LOAD, "certificates", "--directory", directory], check=True)
        self.issuer = self.issuer_port = None

    def start_issuer(self):
        if self.issuer:
            return
        self.issuer_port = free_port()
        leaf = ("--certificate", self.directory / "leaf.pem", "--key", self.directory / "leaf.key")
        command = [TONEGATE, "sim", "issuer", "--listen", f"127.0.0.1:{self.issuer_port}", *leaf]
        self.issuer = start(command, self.issuer_port, self.directory / "issuer.log")

    def token(self, number):
        command = [TONEGATE, "token", "mint", "--issuer", f"https://localhost:{self.issuer_port}", "--roots", self.directory / "ca.pem"]
        command += ["--tenant", tenant(number), "--audience", AUDIENCE]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def settings(self, port, routes=1, keys=1, tenants=0):
        """An edge with so many of each; the last one of each is used."""
        at = self.directory
        digest = lambda text: hashlib.sha256(text.encode()).hexdigest()  # noqa: E731
        lines = [
            f'[server]\nlisten = "127.0.0.1:{port}"\nadmin = "127.0.0.1:0"\nworkers = 1',
            f'tls = {{ certificate = "{at}/leaf.pem", key = "{at}/leaf.key" }}',
            f"[limits]\nconnections = {self.descriptors}\nsessions = {self.descriptors // 2}",
            f'[upstreams.voice]\nkind = "voice-live"\nurl = "wss://localhost:{self.echo}"\napi_version = "2026-07-15"',
            f'credential = {{ key = "the-echo-looks-at-none" }}\nroots = "{at}/ca.pem"',
        ]
        for number in range(1, keys + 1):
            secret = self.key if number == keys else f"another-{number}"
            lines.append(f'[[keys]]\nname = "key-{number}"\nsha256 = "{digest(secret)}"')
        if tenants:
            listed = ", ".join(f'"{tenant(number)}"' for number in range(1, tenants + 1))
            lines.append(f'[issuers.users]\nkind = "entra"\nauthority = "https://localhost:{self.issuer_port}"\nroots = "{at}/ca.pem"')
            lines.append(f'audience = ["{AUDIENCE}"]\ntenants = [{listed}]')
        for number in range(1, routes + 1):
            lines.append(f'[[routes]]\nname = "route-{number}"\npaths = ["/route/{number}"]\nkind = "voice-live"')
            admit = '["users"]' if tenants else '["key"]'
            lines.append(f'admit = {admit}\nmodels = ["sim-echo"]\nupstreams = ["voice"]')
        path = at / "tonegate.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def measure(self, part, count, words, **held):
        """One run against an edge of its own: the callers' figures and what the edge was before."""
        port = free_port()
        config = self.settings(port, **held)
        header = f"api-key: {self.key}"
        if held.get("tenants"):
            header = f"Authorization: Bearer {self.token(count)}"
        log = self.directory / "edge.log"
        began = time.monotonic()
        edge = start(["taskset", "-c", "0", TONEGATE, "serve", "--config", config], port, log)
        try:
            start_s = time.monotonic() - began
            before = resident_kib(edge.pid)
            path = f"/route/{held.get('routes', 1)}?api-version=2026-07-15&model=sim-echo"
            leaf = ("--certificate", self.directory / "leaf.pem", "--key", self.directory / "leaf.key")
            command = [
                *("taskset", "-c", "1", LOAD, *words, "--json", "--address", f"127.0.0.1:{port}", "--path", path),
                *("--ca", self.directory / "ca.pem", "--header", header, "--pid", str(edge.pid)),
                *("--echo", f"127.0.0.1:{self.echo}", *leaf),
            ]
            ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        finally:
            stop(edge)
        if not ran.stdout:
            raise SystemExit(f"{part} {count}: {ran.stderr}{log.read_text(errors='replace')[-2000:]}")
        line = json.loads(ran.stdout)
        if line["lost"] or line["changed"] or line["broken"]:
            raise SystemExit(f"{part} {count}: {', '.join(line['failed'])}")
        row = {"part": part, "count": count, "start_s": start_s, "resident_kib": before, **line}
        if self.args.results:
            with self.args.results.open("a") as file:
                file.write(json.dumps(row) + "\n")
        return row


def told(value, digits=3):
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.{digits}g}"


def heading(*names):
    print("\n| " + " | ".join(names) + " |\n|" + " --- |" * len(names), flush=True)


def line(*values):
    print("| " + " | ".join(value if isinstance(value, str) else told(value) for value in values) + " |", flush=True)


def median(rows, of):
    return statistics.median(of(row) for row in rows)


def cores(row):
    return row["cpu_us_per_message"] * row["messages_per_second"] / 1e6


def calls(bench):
    """Talking calls, each a 1 KB message there and back each 20 ms, until somebody has no more time."""
    heading("calls", "messages a second", "cores", "CPU us/message", "memory KiB/call", "round trip p50 us", "p99 us", "full")
    points = []
    for count in bench.args.calls:
        words = ("call", "--connections", str(count), "--seconds", str(bench.args.seconds))
        rows = [bench.measure("calls", count, (*words, "--allow-late")) for _ in range(bench.args.rounds)]
        busy = median(rows, cores)
        late = median(rows, lambda row: row["messages_late"] * 1000 / (row["messages_per_second"] * bench.args.seconds / 2))
        full = "the edge" if busy >= FULL else "the callers" if late > 10 else ""
        figures = [median(rows, lambda row, name=name: row["round_trip_us"][name]) for name in ("p50", "p99")]
        costs = [median(rows, lambda row, name=name: row[name]) for name in ("cpu_us_per_message", "resident_kib_per_pair")]
        line(count, median(rows, lambda row: row["messages_per_second"]), busy, *costs, *figures, full)
        points.append((count, figures[1], busy, full))
        if full:
            break
    return points


def idle(bench):
    heading("idle calls", "memory KiB/call", "kept after all closed KiB/call", "cores at rest")
    most = bench.descriptors // 2 - 200
    for count in bench.args.idle:
        if count > most:
            print(f"| {count:,} | more than {most:,}, which the descriptors of this machine allow | | |")
            continue
        row = bench.measure("idle", count, ("idle", "--connections", str(count), "--seconds", "1"))
        line(count, row["resident_kib_per_pair"], row["resident_kib_kept_per_pair"], row["cores_at_rest"])


def held(bench, part):
    """Connections made with so many in the settings, in turns; the ratio to the fewest, round by round."""
    steps = getattr(bench.args, part)
    if part == "tenants":
        bench.start_issuer()
    words = ("connect", "--connections", "4", "--seconds", str(bench.args.seconds))
    rows = {count: [] for count in steps}
    for turn in range(bench.args.rounds):
        for count in steps if turn % 2 == 0 else steps[::-1]:
            rows[count].append(bench.measure(part, count, words, **{part: count}))
    heading(part, "CPU ms/connection", "of that with the fewest", "to the 101, p99 us", "edge before, KiB", "seconds to ready")
    points = []
    for count in steps:
        cost = lambda row: row["cpu_ms_per_connection"]  # noqa: E731
        shares = [cost(row) / cost(base) for row, base in zip(rows[count], rows[steps[0]], strict=True)]
        share = statistics.median(shares)
        spread = f"{share:.2f} ({min(shares):.2f} to {max(shares):.2f})"
        p99 = median(rows[count], lambda row: row["connect_us"]["p99"])
        more = [median(rows[count], lambda row, name=name: row[name]) for name in ("resident_kib", "start_s")]
        line(count, median(rows[count], cost), spread, p99, *more)
        points.append((count, share))
    return points


# Two small panels: what calls do to time and core, what settings do to a connection.
WIDTH, HEIGHT, MARGIN = 360, 220, 46
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37")


class Panel:
    def __init__(self, left, title, xs, top):
        self.left, self.title = left, title
        # Counts go by their logarithm.
        self.low, self.high = math.log10(min(xs)), math.log10(max(xs))
        self.top = top
        self.parts = [f'<text x="{left + MARGIN}" y="16" font-weight="bold">{title}</text>']
        written = -math.inf
        for x in sorted(set(xs)):
            if self.x(x) - written < 28:  # one would lie on the other
                continue
            written = self.x(x)
            self.parts.append(f'<text x="{self.x(x):.1f}" y="{HEIGHT - MARGIN + 16}" text-anchor="middle">{x:,}</text>')
        for share in (0, 0.5, 1):
            y = self.y(share * top)
            self.parts.append(f'<line x1="{left + MARGIN}" x2="{left + WIDTH - 12}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d0d7de"/>')
            self.parts.append(f'<text x="{left + MARGIN - 4}" y="{y + 4:.1f}" text-anchor="end">{told(share * top)}</text>')

    def x(self, value):
        share = (math.log10(value) - self.low) / ((self.high - self.low) or 1)
        return self.left + MARGIN + 8 + share * (WIDTH - MARGIN - 48)

    def y(self, value):
        return HEIGHT - MARGIN - min(value / self.top, 1) * (HEIGHT - MARGIN - 28)

    def curve(self, number, name, points):
        colour = COLOURS[number]
        places = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>')
        self.parts.append(f'<text x="{self.left + MARGIN + number * 104}" y="{HEIGHT - 8}" fill="{colour}">{name}</text>')


def picture(path, talking, by_setting):
    panels = []
    if talking:
        worst = max(p99 for _, p99, _, _ in talking) / 1000
        panel = Panel(0, "calls that talk", [count for count, *_ in talking], worst)
        panel.curve(0, "p99, ms", [(count, p99 / 1000) for count, p99, _, _ in talking])
        panel.curve(1, "core in use, height = 1", [(count, busy * worst) for count, _, busy, _ in talking])
        panels.append(panel)
    if by_setting:
        xs = [count for points in by_setting.values() for count, _ in points]
        top = max(2.0, *(share for points in by_setting.values() for _, share in points))
        panel = Panel(WIDTH, "CPU of a connection, 1 = fewest", xs, top)
        for number, (part, points) in enumerate(by_setting.items()):
            panel.curve(number, part, points)
        panels.append(panel)
    body = "\n".join(part for panel in panels for part in panel.parts)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def main():
    args = arguments()
    needed("taskset")
    if (os.cpu_count() or 1) < 2:
        sys.exit("two cores are needed: one for the edge, one for everything else")
    with tempfile.TemporaryDirectory(prefix="tonegate-growth-") as directory:
        bench = Bench(args, directory)
        try:
            talking = calls(bench) if "calls" in args.parts else []
            if "idle" in args.parts:
                idle(bench)
            by_setting = {part: held(bench, part) for part in SETTINGS if part in args.parts}
        except NotUp as error:
            sys.exit(str(error))
        finally:
            if bench.issuer:
                stop(bench.issuer)
    if args.picture:
        picture(args.picture, talking, by_setting)


if __name__ == "__main__":
    main()
