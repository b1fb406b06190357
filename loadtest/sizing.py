#!/usr/bin/env python3
"""What so many telephone calls at once take: edges, memory, network, Redis, upstream quota.

Measured here: gated calls through `calls/run.py`, short and long ones, which tells what a call's beginning
and end cost and what each second of it, of the edge's CPU and of Redis; and through `calls/glances.py` what Redis
takes for the one question that calls go on asking, which an edge asks for all of them together. All else is
arithmetic with the assumptions that are printed, each of which is a flag.

    loadtest/sizing.py                          measures for about a minute, prints tables in Markdown
    loadtest/sizing.py --results sizing.json    keeps what was measured
    loadtest/sizing.py --from sizing.json       prints again, with other assumptions
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "calls"))

import glances  # noqa: E402

# Seconds of talking, of the two runs.
SHORT, LONG = 2, 8
FRAMES = 50  # a second, each way


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--concurrent", default="100000,1000000", help="calls at once")
    parser.add_argument("--minutes", type=float, default=3, help="of a call, on average")
    parser.add_argument("--busy", type=float, default=0.6, help="of a core that is planned with; the rest is for bursts")
    parser.add_argument("--spare", type=float, default=0.25, help="of the edges that may be gone: a zone, a roll-out")
    parser.add_argument("--cores", type=int, default=16, help="of an edge, a worker each")
    parser.add_argument("--answers", type=float, default=0.4, help="of the time that the agent speaks")
    parser.add_argument("--kib", type=float, default=60, help="memory of a call; `growth.py` measures it")
    parser.add_argument("--message", type=int, default=1450, help="bytes of 20 ms of audio with all that is around it")
    parser.add_argument("--connects", type=int, default=30, help="new connections a minute that one upstream resource takes")
    parser.add_argument("--calls", type=int, default=100, help="of each measured run")
    parser.add_argument("--rate", type=int, default=20, help="of them that begin in a second")
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--from", dest="measured", type=pathlib.Path)
    args = parser.parse_args()
    args.concurrent = [int(count) for count in args.concurrent.split(",")]
    if not 0 < args.busy <= 1 or not 0 <= args.spare < 1 or args.minutes <= 0 or min(args.concurrent) < 1:
        parser.error("--busy is above 0 and at most 1, --spare below 1, minutes and calls are above 0")
    return args


def run(args, seconds):
    """One run of gated calls. Late callers do not matter here: CPU and counts are asked for."""
    words = ["--calls", str(args.calls), "--rate", str(args.rate), "--seconds", str(seconds), "--allow-late"]
    ran = subprocess.run([HERE / "calls" / "run.py", "--", *words], stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"the calls failed: {ran.stdout}")
    return json.loads(ran.stdout)


def measured(args):
    """Milliseconds of a core, commands to Redis and its microseconds: of a call once, and in each second; and
    what Redis takes for the questions of calls that go on."""
    if args.measured:
        found = json.loads(args.measured.read_text())
        missing = {"edge_ms", "commands", "redis_us", "commands_at_rest", "glances"} - found.keys()
        if missing:
            sys.exit(f"{args.measured} is of another sizing.py: it has no {', '.join(sorted(missing))}")
        return found
    runs = [run(args, SHORT), run(args, LONG)]
    seconds = [result["frames_said"] / args.calls / FRAMES for result in runs]

    def split(values):
        """What is taken once, and what each second takes."""
        second = (values[1] - values[0]) / (seconds[1] - seconds[0])
        return values[0] - second * seconds[0], second

    # What is asked goes in scripts; what these do inside is not asked.
    commands = lambda asked: asked.get("evalsha", 0) + asked.get("eval", 0)  # noqa: E731
    return {
        "edge_ms": split([result["cpu_ms_per_call"] for result in runs]),
        # Each second of a call has fewer of them, the more calls the edge has.
        "commands": split([commands(result["redis_per_call"]) for result in runs]),
        "redis_us": split([result["redis_cpu_us_per_call"] for result in runs]),
        "commands_at_rest": commands(runs[1]["redis_per_second_at_rest"]),
        "glances": glances.measured(),
    }


def told(value):
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def redis(found, count, begin, edges):
    """Commands in a second and cores, on one server and in a cluster."""
    glance, windows = found["glances"], edges / glances.WINDOW
    asked = count / glances.LOOK
    together = windows * math.ceil(asked / windows / glances.TOGETHER)
    # A turn to connect upstream is one more.
    others = (found["commands"][0] + 1) * begin + edges * found["commands_at_rest"]
    others_us = found["redis_us"][0] * begin
    # Commands of one window come at once, and wake Redis once.
    one = others_us + windows * glance["window_us"] + asked * glance["call_us"]
    cluster = others_us + asked * glance["apart_us"]
    return (others + together, one / 1e6), (others + asked, cluster / 1e6)


def rows(args, found, count):
    """One column: what `count` calls at once take."""
    begin = count / (args.minutes * 60)
    edge_ms = found["edge_ms"][1] * count + found["edge_ms"][0] * begin
    per_core = 1000 * count / edge_ms * args.busy
    edges = math.ceil(count / (per_core * args.cores) / (1 - args.spare))
    each = count / edges
    # In and out are alike: what comes from one side goes to the other.
    bits = count * (1 + args.answers) * FRAMES * args.message * 8
    (asked, cores), (asked_apart, cores_apart) = redis(found, count, begin, edges)
    return {
        f"edges of {args.cores} cores": told(edges),
        "calls on each": told(each),
        "memory of the calls on each": f"{each * args.kib / 1024:,.0f} MiB",
        "network in, and as much out, on each": f"{bits / edges / 1e9:.1f} Gbit/s",
        "calls that begin in a second": told(begin),
        "TLS connections at the load balancer": told(count),
        "commands to one Redis in a second": told(asked),
        "cores of it for that": f"{cores:.2g}",
        # What a call's beginning takes more where its keys lie in several slots is not measured.
        "commands to a cluster in a second, at the least": told(asked_apart),
        "cores of all its shards for that, at the least": f"{cores_apart:.2g}",
        "new connections upstream in a minute": told(begin * 60),
        f"resources of {args.connects} a minute for that": told(math.ceil(begin * 60 / args.connects)),
    }


def main():
    args = arguments()
    found = measured(args)
    if args.results:
        args.results.write_text(json.dumps(found) + "\n")
    (edge_once, edge_second), glance = found["edge_ms"], found["glances"]
    second = glance["call_us"] / glances.LOOK, glance["window_us"] / glances.WINDOW
    print("| of one telephone call, gated and bridged | once | each second |\n| --- | --- | --- |")
    print(f"| CPU of the edge | {edge_once:.1f} ms | {edge_second:.2f} ms: {1000 / edge_second:,.0f} calls fill a core |")
    print(f"| questions to Redis | {found['commands'][0]:.1f} | {1 / glances.LOOK:.2f}, up to {glances.TOGETHER} in a command |")
    print(f"| CPU of Redis | {found['redis_us'][0]:.0f} us | {second[0]:.1f} us, and {second[1]:.0f} us of each edge |")
    print(f"| CPU of a Redis cluster | more, not measured | {glance['apart_us'] / glances.LOOK:.1f} us |")
    print(
        f"\nMeasured with {args.calls} calls on one edge: {found['commands'][1]:.2f} commands and "
        f"{found['redis_us'][1]:.0f} us of Redis a call and second."
        f"\nAn edge at rest asks Redis {found['commands_at_rest']:.1f} times a second."
    )
    print("\n| calls at once | " + " | ".join(f"{count:,}" for count in args.concurrent) + " |")
    print("| --- |" + " --- |" * len(args.concurrent))
    columns = [rows(args, found, count) for count in args.concurrent]
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(column[name] for column in columns) + " |")


if __name__ == "__main__":
    main()
