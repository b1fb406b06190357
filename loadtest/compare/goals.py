"""The goals of the relay's speed, each beside what was measured. The numbers are here and nowhere else."""

import dataclasses
import statistics

import modes
from results import number


@dataclasses.dataclass(frozen=True)
class Goal:
    number: str
    what: str
    case: str
    mode: str
    figure: modes.Figure
    most: float
    base: str | None = None  # the ratio to it, taken round by round; none: the value itself
    turned: bool = False  # how much more than the base, and `most` is the least
    target: str = "tonegate"

    def limit(self):
        sign = "≥" if self.turned else "≤"
        return f"{sign} {self.most:g}× {self.base}" if self.base else f"{sign} {self.most:g} {self.figure.unit}"

    def measured(self, results):
        """(median, as text), or nothing if it was not measured."""
        if not self.base:
            value = results.median(self.case, self.mode, self.target, self.figure)
            return None if value is None else (value, f"{number(value)} {self.figure.unit}")
        shares = results.ratios(self.case, self.mode, self.target, self.figure, self.base)
        if self.turned:
            shares = [1 / share for share in shares]
        if not shares:
            return None
        value = statistics.median(shares)
        # Never so few digits that what misses the limit looks as if it met it.
        digits = 3 if abs(value - self.most) < 0.01 else 2
        text = f"{value:.{digits}f}×" + (f" ({min(shares):.2f}–{max(shares):.2f})" if len(shares) > 1 else "")
        late = results.lateness(self.case, self.mode, self.target)
        if self.figure in modes.ROUND_TRIP and late is not None:
            text += f"; callers late by {number(late)} µs at p99"
        return value, text

    def met(self, value):
        return value >= self.most if self.turned else value <= self.most


CPU, CONNECTION, MEMORY = modes.CPU_MESSAGE, modes.CPU_CONNECTION, modes.MEMORY
P50, P99, _ = modes.ROUND_TRIP
# `floor` is the bare forwarder of the same run.
GOALS = (
    Goal("1", "CPU per message, 200 calls", "t2t", "call", CPU, 0.70, "nginx"),
    Goal("1", "CPU per message, 200 calls", "t2t", "call", CPU, 1.15, "floor"),
    Goal("1b", "the same with `batch = \"250us\"`", "t2t", "call", CPU, 0.70, "nginx", target="tonegate-batch"),
    Goal("2", "CPU per 1 KB message in bursts", "t2t", "flood1k", CPU, 0.36, "nginx"),
    Goal("2", "CPU per 1 KB message in bursts", "t2t", "flood1k", CPU, 1.25, "floor"),
    Goal("3", "CPU per 64 KB message", "t2t", "flood64k", CPU, 0.30, "nginx"),
    Goal("3", "CPU per 1 MB message", "t2t", "flood1m", CPU, 0.36, "nginx"),
    Goal("4", "CPU per connection, full handshake", "t2t", "connect", CONNECTION, 0.35, "nginx"),
    Goal("4", "CPU per connection, resumed", "t2t", "resume", CONNECTION, 0.33, "nginx"),
    Goal("5", "memory per idle pair", "t2t", "idle", MEMORY, 12),
    Goal("5", "memory per idle pair after 16 KB", "t2t", "idle-ex", MEMORY, 14),
    Goal("6", "memory per idle pair, plain text", "p2p", "idle", MEMORY, 4),
    Goal("7", "kept of it after all closed", "t2t", "idle", modes.KEPT, 25),
    Goal("8", "CPU of 9,800 idle pairs", "t2t", "idle9800", modes.RESTING, 0.002),
    Goal("9", "round trip p50, 20 calls, FIFO", "t2t", "fifo20", P50, 0.82, "nginx"),
    Goal("9", "round trip p99, 20 calls, FIFO", "t2t", "fifo20", P99, 0.90, "nginx"),
    Goal("9", "round trip p99, 200 calls, FIFO", "t2t", "fifo", P99, 0.95, "nginx"),
    Goal("9", "round trip p99, 200 calls, quiet", "t2t", "call", P99, 0.55, "nginx"),
    Goal("9b", "CPU per message, 20 calls", "t2t", "call20", CPU, 0.80, "nginx"),
    Goal("10", "CPU per message, 200 calls, plain", "p2p", "call", CPU, 0.80, "nginx"),
    Goal("12", "CPU with DTMF on, to off", "t2t", "call", CPU, 1.03, "tonegate-deaf"),
    Goal("13", "calls per core at 200 calls", "t2t", "call", CPU, 1.40, "nginx", turned=True),
)
LOST = "11"


def rows(results):
    """(number, what, limit, measured, met) of every goal; met is None where nothing was measured."""
    for goal in GOALS:
        yield from [lost(results)] if goal.number == "12" else []
        measured = goal.measured(results)
        if measured is None:
            yield goal.number, goal.what, goal.limit(), "not measured", None
        else:
            value, text = measured
            yield goal.number, goal.what, goal.limit(), text, goal.met(value)


def split(results):
    """The rows that were measured, and the numbers of the other goals as text."""
    every = list(rows(results))
    others = dict.fromkeys(name for name, *_, met in every if met is None)
    return [row for row in every if row[-1] is not None], ", ".join(others)


def lost(results):
    """Goal 11: a run that lost, changed or broke anything has failed, and has no figure."""
    runs = sum(len(rows) for (_, _, target), rows in results.runs.items() if target.startswith("tonegate"))
    failed = sum(target.startswith("tonegate") for _, _, target, _, _ in results.failed())
    what, limit = "runs with anything lost, changed, closed", "0"
    return (LOST, what, limit, f"{failed} of {runs}", failed == 0) if runs else (LOST, what, limit, "not measured", None)
