#!/usr/bin/env python3
"""Runs the Autobahn cases through the edge, and without it, and compares them case by case.

kosoku drives (the cases of the Autobahn suite; those of compression aside, which the edge declines).
Both ends are the caller's: echo.mjs, and an edge before it. Exit 0 only if every case has the outcome
that it has without the edge, or differs as `is_the_edges_own` allows, and none fails.
"""

import argparse
import asyncio
import collections
import json
import pathlib
import sys
import tempfile
import time

from adapter import Adapter

TOOLS = pathlib.Path(__file__).resolve().parents[2] / ".tools"

# Compression.
LEFT_OUT = ["12.*", "13.*"]
# Of each kind: framing, pings, reserved bits and opcodes, fragments, UTF-8, closing, limits, handshakes.
SAMPLE = ["1.*", "2.*", "3.*", "4.1.*", "5.*", "6.2.*", "6.12.*", "7.*", "9.1.3", "9.2.3", "9.3.3", "9.5.3", "10.*"]
# What kosoku tells of a case.
OUTCOME = ("behavior", "behaviorClose", "remoteCloseCode")
# Of the cases as a whole, so that a run of none does not pass.
WHOLE = 301


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--roots", type=pathlib.Path, required=True, help="PEM file that both certificates hang on")
    parser.add_argument("--echo", type=int, required=True, help="port of echo.mjs")
    parser.add_argument("--edge", type=int, required=True, help="port of the edge before it")
    parser.add_argument("--target", required=True, help="path and query of the edge's route")
    parser.add_argument("--key", required=True, help="what the route admits, in the header api-key")
    parser.add_argument("--sample", action="store_true", help="some cases of each kind")
    return parser.parse_args()


async def kosoku(adapter, sample, directory):
    """The outcome of each case, as {case: outcome}, and the seconds it took."""
    await adapter.start()
    command = [TOOLS / "kosoku/bin/kosoku", "-m", "fuzzingclient", "-o", directory]
    for case in SAMPLE if sample else []:
        command += ["-i", case]
    for case in LEFT_OUT:
        command += ["-x", case]
    began = time.monotonic()
    child = await asyncio.create_subprocess_exec(
        *map(str, command), f"127.0.0.1:{adapter.port}", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(300):
            told, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        raise
    took = time.monotonic() - began
    adapter.stop()
    index = pathlib.Path(directory) / "index.json"
    if not index.exists():
        raise SystemExit(f"kosoku told nothing:\n{told.decode(errors='replace')[-2000:]}")
    (cases,) = json.loads(index.read_text()).values()
    return {case: tuple(one.get(what) for what in OUTCOME) for case, one in cases.items()}, took


def is_the_edges_own(without, through):
    """Whether a case differs only in what follows from the edge itself ending a session whose client
    broke a rule, with its 1002: it does so at once, and does not wait for the echo of what came
    before (which the suite calls not strict, and lets pass); and it says 1002, not 1007, of a
    close reason that is not UTF-8.
    """
    if without is None or through is None:
        return False
    (behaviour, close, code), (behaviour_through, close_through, code_through) = without, through
    sooner = (behaviour, behaviour_through) in (("OK", "OK"), ("OK", "NON-STRICT"))
    return sooner and close == close_through and code in (1002, 1007) and code_through == 1002


async def cases(args):
    adapters = {
        "without": Adapter(args.echo, args.roots),
        "through": Adapter(args.edge, args.roots, args.target, [("api-key", args.key)]),
    }
    outcomes, took = {}, {}
    with tempfile.TemporaryDirectory(prefix="tonegate-autobahn-") as directory:
        for name, adapter in adapters.items():
            outcomes[name], took[name] = await kosoku(adapter, args.sample, f"{directory}/{name}")
    without, through = outcomes["without"], outcomes["through"]
    differ = {case: [without.get(case), through.get(case)] for case in sorted(without.keys() | through.keys())}
    differ = {case: pair for case, pair in differ.items() if pair[0] != pair[1]}
    own = [case for case, pair in differ.items() if is_the_edges_own(*pair)]
    fails = [case for one in outcomes.values() for case, outcome in one.items() if "FAILED" in outcome]
    whole = len(through) == WHOLE if not args.sample else len(through) > 50
    ok = whole and len(own) == len(differ) and not fails
    tally = collections.Counter(behaviour for behaviour, *_ in through.values())
    result = {"ok": ok, "cases": len(through), "outcomes": tally, "edges_own": own, "fails": fails}
    result["differ"] = {case: pair for case, pair in differ.items() if case not in own}
    result["seconds"] = {name: round(span, 1) for name, span in took.items()}
    result["dialled"] = {name: adapter.dialled for name, adapter in adapters.items()}
    print(json.dumps(result))
    return ok


def main():
    sys.exit(0 if asyncio.run(cases(arguments())) else 1)


if __name__ == "__main__":
    main()
