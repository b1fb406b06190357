"""The order of the runs: all targets take turns within a mode, all modes within a round."""

import json
import sys
import time

from bench import Failed
from modes import MODES, asked
from peers import PEERS


def plan(args):
    """[(round, case, mode, [targets])]. Who goes first changes: nobody always runs on the warmer machine."""
    steps = []
    for turn in range(args.rounds):
        for case in args.cases:
            for mode in args.modes[case]:
                if turn >= MODES[mode].runs(args.rounds):
                    continue
                targets = [target for target in args.targets[case] if asked(case, MODES[mode], target, args.named)]
                if targets:
                    steps.append((turn, case, mode, targets if turn % 2 == 0 else targets[::-1]))
    return steps


def seconds(args):
    """About as long as it takes."""
    one = lambda mode: (mode.seconds or args.seconds) + mode.around + 0.3  # noqa: E731
    return sum(one(MODES[mode]) * len(targets) for _, _, mode, targets in plan(args))


class Log:
    """Every run's answer, in memory and in the file as soon as it is known."""

    def __init__(self, results, path):
        self.results = results
        self.path = path

    def take(self, row):
        self.results.take(row)
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")


def run(bench, args, log):
    """Runs what is planned and not there yet."""
    peers = {name: kind(args) for name, kind in PEERS.items()}
    began = time.monotonic()
    for turn, case, mode, targets in plan(args):
        said = []
        for target in targets:
            if log.results.sound(case, mode, target, turn):
                continue
            result, failed = None, None
            try:
                result = bench.measure(peers[target], case, mode, args.seconds)
            except Failed as failure:
                failed = str(failure)
            row = {"event": "run", "round": turn, "case": case, "mode": mode, "target": target}
            log.take({**row, "failed": failed, "result": result})
            said.append(f"{target} " + ("FAILED" if failed else f"{MODES[mode].figures[0].of(result):.3g}"))
            if failed:
                print(f"FAILED {case} {mode} {target}: {failed}", file=sys.stderr, flush=True)
        if said:
            passed = int(time.monotonic() - began)
            print(f"{passed // 60:2}:{passed % 60:02} round {turn + 1} {case} {mode:9} {', '.join(said)}", flush=True)

