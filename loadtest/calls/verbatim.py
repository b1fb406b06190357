#!/usr/bin/env python3
"""What the bridge costs: calls translated for Voice Live beside the same calls passed on verbatim.

Both go through `run.py`, in turns: the same callers, the same gate, an agent that says again what it
hears. One speaks Voice Live, so that every message is taken apart and put together anew, with its base64 copied; the
other speaks ACS, so that frames are only found, counted and relayed. Each round makes short and long calls of
both, and what is told is the edge's CPU of one more frame there and back: what a call costs to begin
and to end drops out. Every byte that comes back is compared; a lost or changed one fails the run.

    loadtest/calls/verbatim.py                     five rounds, about five minutes
    loadtest/calls/verbatim.py --max-ratio 1.05    fails if the bridge's median ratio is above that
    TONEGATE=path/to/binary loadtest/calls/verbatim.py
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
WAYS = {"verbatim": ["--verbatim"], "bridged": []}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=100, help="at once")
    parser.add_argument("--rate", type=int, default=50, help="of them that begin in a second")
    parser.add_argument("--short", type=int, default=2, help="seconds of talking in the short calls")
    parser.add_argument("--long", type=int, default=12, help="and in the long ones")
    parser.add_argument("--max-ratio", type=float, help="the run fails if the median ratio is above it")
    args = parser.parse_args()
    if not (1 <= args.rounds <= 50 and 1 <= args.calls <= 1000 and 1 <= args.short < args.long <= 60):
        parser.error("1 to 50 rounds, 1 to 1000 calls, short calls of 1 s at least and shorter than the long ones of 60 s at most")
    return args


def run(args, way, seconds):
    words = ["--calls", str(args.calls), "--rate", str(args.rate), "--seconds", str(seconds), "--allow-late"]
    command = [HERE / "run.py", "--quick", *WAYS[way], "--", *words]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"the calls failed ({way}): {ran.stdout}")
    result = json.loads(ran.stdout)
    return result["cpu_ms_per_call"] * 1000 * result["calls"], result["frames_said"]


def of_a_frame(args, way):
    """Microseconds of the edge's CPU, of one more frame there and back."""
    (short_us, short_frames), (long_us, long_frames) = run(args, way, args.short), run(args, way, args.long)
    return (long_us - short_us) / (long_frames - short_frames)


def main():
    args = arguments()
    found = {way: [] for way in WAYS}
    for number in range(args.rounds):
        # Each goes first in turn.
        for way in sorted(WAYS, reverse=number % 2 == 1):
            found[way].append(of_a_frame(args, way))
        print(json.dumps({way: round(values[-1], 2) for way, values in found.items()}), file=sys.stderr, flush=True)
    ratios = [bridged / verbatim for bridged, verbatim in zip(found["bridged"], found["verbatim"])]
    ratio = statistics.median(ratios)
    print("| a frame of 20 ms there and back | verbatim | bridged | ratio |\n| --- | --- | --- | --- |")
    medians = [statistics.median(found[way]) for way in WAYS]
    spread = f"{ratio:.3f} ({min(ratios):.2f}–{max(ratios):.2f})"
    print(f"| CPU of the edge, µs | {medians[0]:.1f} | {medians[1]:.1f} | {spread} |")
    if args.max_ratio is not None and ratio > args.max_ratio:
        sys.exit(f"the bridge costs {ratio:.3f} times as much, more than --max-ratio {args.max_ratio}")


if __name__ == "__main__":
    main()
