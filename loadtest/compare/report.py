"""The results as text for a terminal and as Markdown for a README."""

import goals
import machine
from modes import CASES
from peers import PEERS, VARIANTS
from results import BASE, number

MET = {True: "met", False: "not met"}


def cell(results, case, mode, target, figure):
    """`12.2 (0.75×, 0.74–0.79)`; the base has no ratio to itself."""
    median = results.median(case, mode.name, target, figure)
    if median is None:
        return "FAILED"
    spread = results.spread(case, mode.name, target, figure)
    if target == BASE or spread is None:
        return number(median)
    return f"{number(median)} ({told(spread)})"


def told(spread):
    """`0.75×, 0.74–0.79`; one round has no spread."""
    middle, least, most = spread
    return f"{middle:.2f}×" if least == most else f"{middle:.2f}×, {least:.2f}–{most:.2f}"


def columns(rows):
    """Rows of cells as lines, the first column to the left, the others under each other."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip()


def text(results):
    yield from machine.sentences(results.parts)
    yield f"{results.rounds()} rounds: medians; in brackets the ratio to {BASE}, round by round: median, least–most"
    for case, mode, targets in results.cells():
        yield ""
        yield f"{case} {mode.name}: {mode.title} ({CASES[case].title})"
        head = ["", *(f"{figure.label} {figure.unit}" for figure in mode.figures)]
        body = ([PEERS[target].label, *(cell(results, case, mode, target, figure) for figure in mode.figures)] for target in targets)
        yield from columns([head, *body])
    late = results.late()
    if late is not None:
        yield f"\nthe callers' own lateness: p99 {late:,} µs in the worst run"
    rows, others = goals.split(results)
    if rows:
        yield "\ngoals"
        yield from columns([(name, what, limit, measured, MET[met]) for name, what, limit, measured, met in rows])
    if others:
        yield f"\nnot measured: goals {others}"
    failed = list(results.failed())
    if failed:
        yield "\nruns that failed and have no part in the figures"
        for case, mode, target, turn, reason in failed:
            yield f"  FAILED round {turn + 1} {case} {mode} {target}: {reason}"


# The README's rows: case, mode, which figure, and what it is called there.
ROWS = (
    ("t2t", "call", "cpu", "CPU per relayed 1 KB message, 200 calls"),
    ("t2t", "call", "p50", "round trip, median"),
    ("t2t", "call", "p99", "round trip, p99"),
    ("t2t", "call", "p999", "round trip, p99.9"),
    ("t2t", "call20", "cpu", "CPU per message, 20 calls"),
    ("t2t", "flood1k", "cpu", "CPU per 1 KB message, bursts of 16"),
    ("t2t", "flood64k", "cpu", "CPU per 64 KB message"),
    ("t2t", "flood1m", "cpu", "CPU per 1 MB message"),
    ("t2t", "connect", "cpu", "CPU per connection, full handshake"),
    ("t2t", "resume", "cpu", "CPU per connection, resumed"),
    ("t2t", "idle", "memory", "resident memory per idle session"),
    ("t2t", "idle-ex", "memory", "the same after a 16 KB echo"),
    ("t2t", "idle", "kept", "of it kept after all have closed"),
    ("t2p", "call", "cpu", "CPU per message, 200 calls, TLS from the client only"),
    ("p2p", "call", "cpu", "CPU per message, 200 calls, plain text"),
    ("p2p", "flood1k", "cpu", "CPU per 1 KB message in bursts, plain text"),
    ("p2p", "idle", "memory", "resident memory per idle session, plain text"),
)


def markdown(results):
    """The table of the README and the goals, ready to be pasted."""
    shown = [target for target in PEERS if target not in VARIANTS and any(key[2] == target for key in results.runs)]
    yield from machine.sentences(results.parts)
    yield ""
    yield "| | " + " | ".join(PEERS[target].label for target in shown) + " |"
    yield "| --- |" + " --- |" * len(shown)
    there = {(case, mode.name): mode for case, mode, _ in results.cells()}
    for case, name, which, title in ROWS:
        if (case, name) not in there:
            continue
        mode = there[(case, name)]
        figure = next(figure for figure in mode.figures if figure.name == which)
        unit = figure.unit.split("/")[0]
        yield f"| {title}, {unit} | " + " | ".join(short(results, case, mode, target, figure) for target in shown) + " |"
    yield ""
    yield "| goal | | limit | measured | |"
    yield "| --- | --- | --- | --- | --- |"
    rows, others = goals.split(results)
    for name, what, limit, measured, met in rows:
        yield f"| {name} | {what} | {limit} | {measured} | {MET[met]} |"
    if others:
        yield f"\nNot measured: goals {others}."


def short(results, case, mode, target, figure):
    if (case, mode.name, target) not in results.runs:
        return "–"
    text = cell(results, case, mode, target, figure)
    # Of the peers only the ratio: seven columns are wide enough.
    spread = results.spread(case, mode.name, target, figure)
    return text if target in (BASE, "tonegate") or spread is None or text == "FAILED" else f"{spread[0]:.2f}×"
