"""Is each peer configured as it is said? What was agreed is read from the hellos on both of its sides, and
an upstream that must not be trusted is put behind it."""

import pathlib
import tempfile

from bench import Bench, Failed, World
from modes import CASES
from peers import PEERS
from recorder import Recorder, named

AGREED = ("TLS 1.3", "AES-128-GCM", "X25519")
CONNECT = ("connect", "--connections", "2")
# Of connections with a session to resume; the first of each of the two callers has none.
RESUMED_MIN = 0.5


class Wrong(Exception):
    """A peer is not as it is said."""


class Setting:
    """A peer between two recorders."""

    def __init__(self, bench, peer, case):
        self.bench, self.peer = bench, peer
        self.world = World(bench, case)
        self.echo = ("127.0.0.1", self.world.upstream_port)
        self.clients, self.upstream = [], []

    def connect(self, *more, host="127.0.0.1"):
        """Makes connections for a second; what passed is in `clients` and `upstream`. The callers' answer."""
        world = self.world
        with Recorder(("127.0.0.1", world.port)) as front, Recorder(self.echo, host) as back:
            self.clients, self.upstream = front.seen, back.seen
            world.upstream_port = back.address[1]
            with self.bench.running(self.peer, world):
                address, echo = ("{}:{}".format(*end) for end in (front.address, self.echo))
                return self.bench.drive(world, (*CONNECT, *more), seconds=1, address=address, echo=echo)


def agreed(seen, side, way):
    """What was agreed on one side; the share of resumed connections."""
    if way == "plain":
        if not seen or not all(one.plain() for one in seen if one.asked):
            raise Wrong(f"{side}: not plain text")
        return "plain text"
    hellos = [one.server() for one in seen]
    hellos = [one for one in hellos if one is not None]
    if len(hellos) < 4:
        raise Wrong(f"{side}: only {len(hellos)} TLS handshakes")
    for one in hellos:
        if tuple(map(named, one[:3])) != AGREED:
            raise Wrong(f"{side}: {', '.join(map(named, one[:3]))}")
    return sum(one[3] for one in hellos) / len(hellos)


def told(share):
    return share if isinstance(share, str) else f"{', '.join(AGREED)}, {share:.0%} resumed"


def agrees(bench, peer, case):
    of, setting = CASES[case], Setting(bench, peer, case)
    result, said = setting.connect()
    if not result["ok"]:
        raise Wrong(f"connections were lost: {said}")
    clients = agreed(setting.clients, "client's side", of.inside)
    upstream = agreed(setting.upstream, "upstream", of.outside)
    yield f"client's side: {told(clients)}; upstream: {told(upstream)}"
    if isinstance(clients, float) and clients > 0:
        raise Wrong("a client that offers no session had one resumed")
    if isinstance(upstream, float) and upstream < RESUMED_MIN:
        raise Wrong(f"only {upstream:.0%} of the sessions upstream are resumed")
    if of.inside == "tls":
        result, said = setting.connect("--resume")
        share = agreed(setting.clients, "client's side", "tls")
        yield f"client's side with tickets: {share:.0%} resumed"
        if peer.renews_tickets and (not result["ok"] or share < RESUMED_MIN):
            raise Wrong(f"clients with tickets: {share:.0%} resumed, {result['failed']} {said}")


def refuses(setting, what, host="127.0.0.1"):
    """The upstream must not be trusted: it is dialled, and nobody gets through."""
    said = ""
    try:
        through = setting.connect(host=host)[0]["received"]
    except Failed as failure:
        through, said = 0, str(failure)
    if through:
        raise Wrong(f"{what}: {through} connections went through")
    if not any(one.asked[:1] == b"\x16" for one in setting.upstream):
        raise Wrong(f"{what}: it was never dialled, so nothing was checked: {said}")
    return f"{what}: refused"


def distrusts(bench, peer, case):
    with tempfile.TemporaryDirectory(dir=bench.directory) as other:
        bench.certificates(pathlib.Path(other))
        stranger = Setting(bench, peer, case)
        stranger.world.authority = pathlib.Path(other) / "ca.pem"
        yield refuses(stranger, "an upstream that another authority signed")
    if peer.wrong_name:
        elsewhere = Setting(bench, peer, case)
        elsewhere.world.upstream_name = peer.wrong_name
        yield refuses(elsewhere, "an upstream with a certificate for another name", peer.wrong_host)


def check(bench, peer, case):
    """Prints what was seen; whether it is as it should be."""
    try:
        for line in agrees(bench, peer, case):
            print(f"  {line}", flush=True)
        if CASES[case].outside == "tls":
            for line in distrusts(bench, peer, case):
                print(f"  {line}", flush=True)
    except (Wrong, Failed) as wrong:
        print(f"  WRONG {wrong}", flush=True)
        return False
    return True


def run(args):
    """The script's exit code."""
    sound = True
    with tempfile.TemporaryDirectory(prefix="tonegate-compare-") as directory:
        bench = Bench(args, directory)
        for case in args.cases:
            for name in args.targets[case]:
                peer = PEERS[name](args)
                print(f"{case} {name}: {peer.version()}", flush=True)
                sound = check(bench, peer, case) and sound
    return 0 if sound else 1
