#!/usr/bin/env python3
"""Puts tonegate beside a Node relay of the kind it replaces, and prints what each of them did.

The same requests and the same upstream for both: the relay in plain text, tonegate in plain text
and with TLS on both sides. Exit 0 only if tonegate did in every row what an edge must, and every
row is one that the relay fails, so that no check passes by itself. Only loopback, bounded in count
and time.

    loadtest/compare/node/beside.py              the table of the README, about three minutes
    loadtest/compare/node/beside.py --reduced    the same with less to measure, as the tests do
"""

import argparse
import asyncio
import datetime
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import cost
import rows
from peers import Plan, Upstream
from targets import ROOT, Node, Tonegate, server_context

BUILD = ROOT / "target" / "release"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tonegate", default=os.environ.get("TONEGATE", BUILD / "tonegate"), type=pathlib.Path)
    parser.add_argument("--certificates", type=pathlib.Path, help="folder with ca.pem, edge.pem, edge.key")
    parser.add_argument("--reduced", action="store_true", help="measure less: for a test, not for a table")
    return parser.parse_args()


def make_certificates(folder):
    """With the load generator's; tests bring their own."""
    subprocess.run([BUILD / "tonegate-load", "certificates", "--directory", folder], check=True)
    for kind in ("pem", "key"):
        (folder / f"leaf.{kind}").rename(folder / f"edge.{kind}")


async def observe(target):
    """Every row's words and verdict."""
    seen = {}
    for name, row in rows.ROWS.items():
        target.upstream.plan = Plan()
        try:
            async with asyncio.timeout(30):
                seen[name] = await row(target)
        except Exception as failure:  # a row that breaks is a row that is not fulfilled
            seen[name] = (f"broke: {type(failure).__name__}: {failure}", False)
    return seen


async def costs(targets, reduced):
    """One proxy after the other, so that none disturbs another, in turns; the medians."""
    core, rest = (None, None) if reduced else cost.cores()
    if rest is not None:
        os.sched_setaffinity(0, {rest})
    rounds, sessions, seconds, crowd = (1, 10, 1.0, 50) if reduced else (3, 20, 5.0, 200)
    figures = [[] for _ in targets]
    for _ in range(rounds):
        for target, own in zip(targets, figures):
            own.append(await cost.measure(target, core, sessions, seconds, crowd))
    middle = lambda own: {what: statistics.median(one[what] for one in own) for what in own[0]}  # noqa: E731
    return [middle(own) for own in figures], crowd


def both(plain, secure):
    """One cell for tonegate's two ways, where they did the same."""
    return plain if plain == secure else f"{plain} (plain text); {secure} (TLS)"


def table(seen, figures, crowd):
    node, plain, secure = seen
    yield "| | Node relay | tonegate |"
    yield "| --- | --- | --- |"
    for name in rows.ROWS:
        yield f"| {name} | {node[name][0]} | {both(plain[name][0], secure[name][0])} |"
    node, plain, secure = figures
    cell = lambda value, unit: f"{value:.3g} {unit}"  # noqa: E731
    pair = lambda what, unit, by=1: f"{cell(plain[what] / by, unit)}; with TLS {cell(secure[what] / by, unit)}"  # noqa: E731
    yield f"| CPU per relayed text frame of 1.36 kB | {cell(node['cpu'], 'µs')} | {pair('cpu', 'µs')} |"
    yield f"| the same frames, 16 at a time | {cell(node['burst'], 'µs')} | {pair('burst', 'µs')} |"
    yield f"| resident memory, idle | {cell(node['idle'] / 1024, 'MiB')} | {pair('idle', 'MiB', 1024)} |"
    yield f"| resident memory at {crowd} sessions | {cell(node['full'] / 1024, 'MiB')} | {pair('full', 'MiB', 1024)} |"
    yield f"| that is per session | {cell(node['session'], 'KiB')} | {pair('session', 'KiB')} |"


def faults(seen, figures):
    """What makes the run fail."""
    node, plain, secure = seen
    for name in rows.ROWS:
        for way, column in (("plain text", plain), ("TLS", secure)):
            if not column[name][1]:
                yield f"{name}: tonegate ({way}): {column[name][0]}"
        if node[name][1]:
            yield f"{name}: the Node relay passes, so this check may never fail: {node[name][0]}"
    # The relay has no TLS: what it costs is told in the table, and compared without it.
    node, plain, _ = figures
    for what in ("cpu", "burst", "full"):
        if plain[what] >= node[what]:
            yield f"{what}: tonegate {plain[what]:.1f}, the Node relay {node[what]:.1f}"


async def run(args, folder):
    if not args.certificates:
        make_certificates(folder)
    secured = server_context(folder)
    upstreams = [Upstream(None), Upstream(None), Upstream(secured)]
    for upstream in upstreams:
        await upstream.start()
    targets = [Node(upstreams[0])]
    targets += [Tonegate(upstreams[1 + way], args.tonegate, folder, bool(way)) for way in (0, 1)]
    try:
        for target in targets:
            await target.start()
        # Side by side: they share nothing but the machine, and most rows wait for something.
        seen = await asyncio.gather(*(observe(target) for target in targets))
        figures, crowd = await costs(targets, args.reduced)
    finally:
        for target in targets:
            if hasattr(target, "process"):
                await target.process.stop()
        for upstream in upstreams:
            upstream.stop()
    print(f"{datetime.date.today()}, {targets[0].versions}\n")
    print("\n".join(table(seen, figures, crowd)))
    return list(faults(seen, figures))


def main():
    args = arguments()
    for needed, how in ((args.tonegate, "cargo build --release --locked"), (ROOT / ".tools/node-relay", "make tools")):
        if not needed.exists():
            sys.exit(f"no {needed}: run `{how}` first")
    with tempfile.TemporaryDirectory(prefix="tonegate-beside-") as directory:
        failed = asyncio.run(run(args, args.certificates or pathlib.Path(directory)))
    for fault in failed:
        print(f"FAILED {fault}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
