"""What the runs found: kept as JSON lines, read back, and made into medians and ratios."""

import json
import statistics

from modes import CASES, MODES
from peers import PEERS

# Everything is told as a ratio to it.
BASE = "nginx"


class Results:
    """All runs, by (case, mode, target) and round. A run that failed has a reason instead of an answer."""

    def __init__(self):
        self.parts = []  # the machine's description, one of each time the script was run
        self.runs = {}
        self.lost = []  # every failure there was, also where the run was made again and then sound

    @classmethod
    def read(cls, path):
        results = cls()
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                results.take(json.loads(line))
            except (ValueError, KeyError, TypeError) as wrong:
                raise SystemExit(f"{path}, line {number}: not written by this script: {wrong!r}") from None
        return results

    def take(self, row):
        if row["event"] == "machine":
            self.parts.append(row)
            return
        if row["case"] not in CASES or row["mode"] not in MODES or row["target"] not in PEERS:
            raise ValueError("an unknown case, mode or target")
        key = (row["case"], row["mode"], row["target"])
        if row["failed"] is not None:
            self.lost.append((*key, row["round"], row["failed"]))
        self.runs.setdefault(key, {})[row["round"]] = row

    def sound(self, case, mode, target, turn):
        row = self.runs.get((case, mode, target), {}).get(turn)
        return row is not None and row["failed"] is None

    def failed(self):
        """(case, mode, target, round, reason) of every run that failed, even if it was repeated."""
        yield from self.lost

    def cells(self):
        """(case, mode, [targets]) as far as anything was run, in the order of the tables."""
        for case in CASES:
            for mode in MODES:
                there = [target for target in PEERS if (case, mode, target) in self.runs]
                if there:
                    yield case, MODES[mode], there

    def values(self, case, mode, target, figure):
        """{round: value} of the runs that were sound."""
        rows = self.runs.get((case, mode, target), {})
        values = {turn: figure.of(row["result"]) for turn, row in sorted(rows.items()) if row["failed"] is None}
        return {turn: value for turn, value in values.items() if value is not None}

    def median(self, case, mode, target, figure):
        values = self.values(case, mode, target, figure)
        return statistics.median(values.values()) if values else None

    def ratios(self, case, mode, target, figure, base=BASE):
        """One for each round in which both had a figure."""
        own = self.values(case, mode, target, figure)
        other = self.values(case, mode, base, figure)
        return [own[turn] / other[turn] for turn in own if other.get(turn)]

    def spread(self, case, mode, target, figure, base=BASE):
        """(median, least, most) of the ratios, or nothing."""
        shares = self.ratios(case, mode, target, figure, base)
        return (statistics.median(shares), min(shares), max(shares)) if shares else None

    def lateness(self, case, mode, target):
        """The callers' own, in microseconds: the median of what p99 was in each round; nothing in closed loops."""
        rows = self.runs.get((case, mode, target), {}).values()
        late = [row["result"]["lateness_us"]["p99"] for row in rows if row["failed"] is None and row["result"].get("lateness_us")]
        return statistics.median(late) if late else None

    def rounds(self):
        return max((len(rows) for rows in self.runs.values()), default=0)

    def late(self):
        """The worst of the callers' own lateness in microseconds, p99 of a run."""
        rows = (row["result"] for runs in self.runs.values() for row in runs.values() if row["failed"] is None)
        return max((row["lateness_us"]["p99"] for row in rows if row.get("lateness_us")), default=None)


def number(value):
    """Three digits, and never an exponent."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 or value == 0 else f"{value:.1g}"
