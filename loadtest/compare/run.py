#!/usr/bin/env python3
"""Measures tonegate beside its peers: the same echo upstream, the same TLS, one core for each in turn.

The peer under test has core 0 to itself; the callers and the echo share one thread on core 1. All
targets take turns within each mode and round, each time as a fresh process, so that whatever else the
machine does falls on all of them: trust the ratios, and of those the medians. Every byte that comes
back is compared; a run that lost or changed one has failed and has no figure. Only loopback, bounded
in count and time.

    loadtest/compare/run.py                                      all of it, about 24 minutes
    loadtest/compare/run.py --modes call,connect --rounds 1      two questions, about a minute
    TONEGATE=path/to/binary loadtest/compare/run.py --targets nginx,tonegate
    loadtest/compare/run.py --results all.jsonl --continue       goes on where it was interrupted
    loadtest/compare/run.py --report all.jsonl --markdown        tables of figures that are there
    loadtest/compare/run.py --verify                             is each peer configured as it is said?

Exit code 1 if any run of tonegate failed, or a peer never had a figure where it was asked for one;
what else a peer loses is told.
"""

import argparse
import os
import pathlib
import signal
import sys
import tempfile

import bench
import machine
import picture
import report
import rounds
import verify
from modes import CASES, MODES, TARGETS
from peers import BUILD, HERE, PEERS, Missing
from results import Results


def parser():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--targets", help=f"comma-separated, of {', '.join(PEERS)}; the ratios are to nginx")
    words.add_argument("--modes", help=f"of {', '.join(MODES)}")
    words.add_argument("--cases", help=f"of {', '.join(CASES)}: client's side to upstream's, t is TLS and p plain text")
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--seconds", type=int, default=2, help="measured seconds of each run; memory has its own")
    words.add_argument("--tonegate", default=os.environ.get("TONEGATE", BUILD / "tonegate"), type=pathlib.Path)
    words.add_argument("--load", default=os.environ.get("TONEGATE_LOAD", BUILD / "tonegate-load"), type=pathlib.Path)
    words.add_argument("--envoy", default=os.environ.get("ENVOY"), type=pathlib.Path, help="another Envoy than the installed")
    words.add_argument("--config", default=HERE / "tonegate.toml", type=pathlib.Path, help="tonegate's settings")
    words.add_argument("--results", type=pathlib.Path, help="write every run there, a JSON line each")
    words.add_argument("--continue", dest="more", action="store_true", help="add to --results what is not there yet")
    words.add_argument("--report", type=pathlib.Path, metavar="FILE", help="run nothing: tell what FILE has")
    words.add_argument("--markdown", action="store_true", help="the tables for the README instead of those for a terminal")
    words.add_argument("--picture", type=pathlib.Path, metavar="FILE", help="write the SVG there")
    words.add_argument("--verify", action="store_true", help="check each peer's ciphers, key exchange, resumption and trust")
    return words


def listed(words, text, known, what):
    names = text.split(",")
    for name in names:
        if name not in known:
            words.error(f"unknown {what}: {name}; there are {', '.join(known)}")
    return names


def arguments():
    words = parser()
    args = words.parse_args()
    if not 1 <= args.rounds <= 50 or not 1 <= args.seconds <= 60:
        words.error("1 to 50 rounds of 1 to 60 seconds")
    if args.more and not args.results:
        words.error("--continue goes with --results")
    if args.results and args.results.exists() and not args.more:
        words.error(f"{args.results} is there already: --continue adds to it")
    chosen = listed(words, args.modes, MODES, "mode") if args.modes else None
    cases = listed(words, args.cases, CASES, "case") if args.cases else None
    # Without a word about modes a case has its own; with modes named and no case it is the one that counts.
    args.modes = {case: chosen or [name for name, mode in MODES.items() if case in mode.default] for case in CASES}
    args.cases = cases or (["t2t"] if chosen else list(CASES))
    targets = listed(words, args.targets, PEERS, "target") if args.targets else None
    args.named = targets is not None
    args.targets = {case: targets or list(TARGETS[case]) for case in CASES}
    return args


def collect(args):
    """Runs what is missing, and returns all there is."""
    results = Results.read(args.results) if args.more and args.results.exists() else Results()
    now = machine.describe(args)
    for part in results.parts:
        for difference in machine.differences(part, now):
            sys.exit(f"{args.results} is of another kind, begin anew: {difference}")
    if any(MODES[mode].fifo for case in args.cases for mode in args.modes[case]) and not bench.can_fifo():
        print("SCHED_FIFO is not permitted here: the modes that want it are left out", file=sys.stderr)
        args.modes = {case: [mode for mode in names if not MODES[mode].fifo] for case, names in args.modes.items()}
    print(f"about {rounds.seconds(args) / 60:.0f} minutes", flush=True)
    log = rounds.Log(results, args.results)
    log.take(now)
    with tempfile.TemporaryDirectory(prefix="tonegate-compare-") as directory:
        rounds.run(bench.Bench(args, directory), args, log)
    return results


def faults(results):
    """What makes the whole fail."""
    for case, mode, target, turn, reason in results.failed():
        if target.startswith("tonegate"):
            yield f"round {turn + 1} {case} {mode} {target}: {reason}"
    for case, mode, targets in results.cells():
        for target in targets:
            if all(row["failed"] is not None for row in results.runs[case, mode.name, target].values()):
                yield f"{case} {mode.name} {target}: not one run was sound"


def main():
    args = arguments()
    # Whoever ends this ends what it started, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if args.report:
        results = Results.read(args.report)
        if not results.parts or not results.runs:
            sys.exit(f"nothing was measured in {args.report}")
    else:
        wanting = bench.wanting(args)
        if wanting:
            sys.exit(wanting)
        try:
            if args.verify:
                sys.exit(verify.run(args))
            results = collect(args)
        except Missing as missing:
            sys.exit(str(missing))
        except KeyboardInterrupt:
            sys.exit("interrupted" + f": --continue goes on with {args.results}" * bool(args.results))
    print("\n" + "\n".join(report.markdown(results) if args.markdown else report.text(results)))
    if args.picture:
        args.picture.write_text(picture.draw(results))
    failed = list(faults(results))
    for fault in failed:
        print(f"FAILED {fault}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
