"""What is asked of every peer: the cases (where there is TLS), the modes, the figures of each."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    inside: str  # the client's side: tls or plain
    outside: str  # the upstream's
    title: str


CASES = {
    case.name: case
    for case in (
        Case("t2t", "tls", "tls", "TLS on both sides"),
        Case("t2p", "tls", "plain", "TLS from the client, plain text upstream"),
        Case("p2p", "plain", "plain", "plain text on both sides"),
    )
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number of a run. Less is better, of all of them."""

    name: str
    label: str
    unit: str
    of: Callable[[dict], float | None]


def at(*path):
    def of(result):
        for key in path:
            result = result.get(key) if isinstance(result, dict) else None
        return result

    return of


def part_kept(result):
    """Of the memory that all pairs together took, the percentage that is there two seconds after the last closed."""
    grown, kept = result["resident_kib_per_pair"] * result["connections"], result["resident_kib_kept"]
    return 100 * max(kept, 0) / grown if grown > 0 else None


CPU_MESSAGE = Figure("cpu", "CPU", "µs/message", at("cpu_us_per_message"))
CPU_CONNECTION = Figure("cpu", "CPU", "ms/connection", at("cpu_ms_per_connection"))
MEMORY = Figure("memory", "resident", "KiB/pair", at("resident_kib_per_pair"))
KEPT = Figure("kept", "kept after close", "%", part_kept)
RESTING = Figure("cores", "CPU at rest", "cores", at("cores_at_rest"))


def times(path):
    names = (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"))
    return tuple(Figure(name, label, "µs", at(path, name)) for name, label in names)


ROUND_TRIP, SET_UP = times("round_trip_us"), times("connect_us")


@dataclasses.dataclass(frozen=True)
class Mode:
    name: str
    title: str
    drive: str  # for `tonegate-load drive`
    figures: tuple  # the first is what the mode is for
    around: float  # seconds that a run takes besides those that are measured
    seconds: int | None = None  # measured, where it is not for --seconds to say
    rounds: int | None = None  # fewer than asked for, where one round is like the next
    fifo: bool = False  # the peer before everything else on its core: latency without the machine's
    targets: tuple = ()  # nobody else is asked, unless by name
    without: tuple = ()  # cannot be asked
    default: tuple = ("t2t",)  # the cases of a run without --cases and --modes

    def runs(self, rounds):
        return min(rounds, self.rounds or rounds)


EVERYWHERE = ("t2t", "t2p", "p2p")
FIFO = ("nginx", "tonegate", "floor")
MODES = {
    mode.name: mode
    for mode in (
        Mode(
            "call", "200 calls, a 1 KB message each 20 ms each way", "call --connections 200",
            (CPU_MESSAGE, *ROUND_TRIP), 1.9, default=EVERYWHERE,
        ),
        Mode("call20", "20 calls, the same", "call --connections 20", (CPU_MESSAGE, *ROUND_TRIP), 1.4),
        Mode(
            "fifo", "200 calls, the peer under SCHED_FIFO", "call --connections 200",
            (*ROUND_TRIP, CPU_MESSAGE), 1.9, fifo=True, targets=FIFO,
        ),
        Mode(
            "fifo20", "20 calls, the peer under SCHED_FIFO", "call --connections 20",
            (*ROUND_TRIP, CPU_MESSAGE), 1.4, fifo=True, targets=FIFO,
        ),
        Mode(
            "flood1k", "1 KB messages in batches of 16, 8 calls", "flood --size 1024 --batch 16 --window 2 --connections 8",
            (CPU_MESSAGE,), 0.2, default=EVERYWHERE,
        ),
        Mode("flood64k", "64 KB messages, 8 calls", "flood --size 65536 --batch 1 --window 2 --connections 8", (CPU_MESSAGE,), 0.2),
        Mode("flood1m", "1 MB messages, 4 calls", "flood --size 1048576 --batch 1 --window 1 --connections 4", (CPU_MESSAGE,), 0.2),
        Mode("connect", "TCP, full TLS handshake, upgrade, close", "connect --connections 8", (CPU_CONNECTION, *SET_UP), 0.2),
        # Node's TLS gives out no ticket in a session that was resumed: each third handshake would be a full one.
        Mode(
            "resume", "the same with the client's TLS session resumed", "connect --resume --connections 8",
            (CPU_CONNECTION, *SET_UP), 0.2, without=("node",),
        ),
        Mode(
            "idle", "1,000 silent calls", "idle --connections 1000",
            (MEMORY, KEPT, RESTING), 6.5, seconds=1, rounds=3, default=("t2t", "p2p"),
        ),
        Mode(
            "idle-ex", "1,000 calls silent after a 16 KB echo on each", "idle --connections 1000 --burst 16384",
            (MEMORY, KEPT, RESTING), 9.5, seconds=1, rounds=3,
        ),
        # Both ends of 9,800 calls are all that 20,000 descriptors allow.
        Mode(
            "idle9800", "9,800 silent calls", "idle --connections 9800",
            (RESTING, MEMORY, KEPT), 25.0, seconds=20, rounds=1, targets=("tonegate",),
        ),
    )
}  # fmt: skip

# Who is asked where, unless --targets says it.
TARGETS = {
    "t2t": ("nginx", "tonegate", "haproxy", "envoy", "node", "floor", "tonegate-deaf", "tonegate-batch"),
    "t2p": ("nginx", "tonegate", "haproxy", "floor"),
    "p2p": ("nginx", "tonegate", "haproxy", "floor"),
}
# The edge with other settings answers one question only.
VARIED = ("t2t", "call")


def asked(case, mode, target, named):
    """Whether this target has something to say there; one that was named (`--targets`) is always asked."""
    if target in mode.without:
        return False
    if named:
        return True
    if mode.targets and target not in mode.targets:
        return False
    return not target.startswith("tonegate-") or (case, mode.name) == VARIED
