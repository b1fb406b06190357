"""Who is compared: where each peer's program is, how it is configured and started, and its version.

Every peer terminates TLS (where the case has it), verifies the upstream by authority and name, keeps
its TLS sessions for resumption, has one worker, and logs nothing per connection.
"""

import json
import pathlib
import re
import shutil
import string
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TOOLS = ROOT / ".tools"
BUILD = ROOT / "target" / "release"
# Debian's servers, which are not on everybody's PATH.
SERVERS = "/usr/sbin:/usr/local/sbin:/sbin"
INSTALL = "run `make compare-tools`"

# A template's line that ends so is kept only where the client's side (in) or the upstream's (out) is so.
MARK = re.compile(r"\s*#@ (in|out)-(tls|plain)$")


class Missing(Exception):
    """A program that is not installed, with what to do about it."""


def configured(template, world):
    """The template's text for this case, with its placeholders filled in."""
    kept = []
    for line in template.read_text().splitlines():
        mark = MARK.search(line)
        if mark is None:
            kept.append(line)
        elif mark[2] == {"in": world.case.inside, "out": world.case.outside}[mark[1]]:
            kept.append(line[: mark.start()])
    return string.Template("\n".join(kept) + "\n").substitute(world.values())


def found(name, *elsewhere):
    for place in elsewhere:
        if place.exists():
            return str(place)
    path = shutil.which(name) or shutil.which(name, path=SERVERS)
    if not path:
        raise Missing(f"no {name}: {INSTALL}")
    return path


def told(*command):
    """What a program says of its version, on whichever stream."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return ran.stdout + ran.stderr


def match(pattern, text):
    hit = re.search(pattern, text)
    return hit[1] if hit else "?"


class Peer:
    """A peer has a name for the options, one for people, and the cases it can be asked for."""

    name = label = ""
    cases = ("t2t", "p2p", "t2p")
    template = None
    # For `--verify`: clients find a new ticket in each session, resumed ones included (not Node's).
    renews_tickets = True
    # A name that the upstream's certificate does not have, and where it listens then.
    wrong_name, wrong_host = "elsewhere.test", "127.0.0.1"

    def __init__(self, args):
        self.args = args

    def file(self, world):
        path = world.directory / f"{self.name}{self.template.suffix}"
        path.write_text(configured(self.template, world))
        return path


class Nginx(Peer):
    name, label, template = "nginx", "nginx", HERE / "nginx.conf"

    def command(self, world):
        return [found("nginx"), "-c", self.file(world), "-p", world.directory]

    def version(self):
        text = told(found("nginx"), "-V")
        openssl = match(r"running with OpenSSL (\S+)", text)
        if openssl == "?":  # it says so only when it differs from the one that it was built with
            openssl = match(r"built with OpenSSL (\S+)", text)
        number = match(r"nginx/(\S+)", text)
        return f"nginx {number} (OpenSSL {openssl})"


class Haproxy(Peer):
    name, label, template = "haproxy", "HAProxy", HERE / "haproxy.cfg"

    def command(self, world):
        return [found("haproxy"), "-db", "-f", self.file(world)]

    def version(self):
        text = told(found("haproxy"), "-vv")
        openssl = match(r"Running on OpenSSL version : OpenSSL (\S+)", text)
        number = match(r"version ([\d.]+)", text)
        return f"HAProxy {number} (OpenSSL {openssl})"


class Envoy(Peer):
    name, label, template = "envoy", "Envoy", HERE / "envoy.yaml"

    def program(self):
        if self.args.envoy and not self.args.envoy.exists():
            raise Missing(f"no Envoy at {self.args.envoy}")
        return str(self.args.envoy or found("envoy", TOOLS / "bin" / "envoy"))

    def command(self, world):
        quiet = ["--log-level", "off", "--disable-hot-restart", "--concurrency", "1"]
        return [self.program(), "-c", self.file(world), *quiet]

    def version(self):
        number = match(r"version: [0-9a-f]+/([^/]+)", told(self.program(), "--version"))
        return f"Envoy {number} (BoringSSL)"


class Node(Peer):
    name, label = "node", "Node ws"
    home = TOOLS / "compare-relay" / "node_modules"
    renews_tickets = False

    def program(self):
        if not (self.home / "ws").exists():
            raise Missing(f"no ws for Node: {INSTALL}")
        return found("node", TOOLS / "bin" / "node")

    def command(self, world):
        settings = {"port": world.port, "name": world.upstream_name}
        settings["upstream"] = f"{'wss' if world.case.outside == 'tls' else 'ws'}://{world.upstream}"
        if world.case.inside == "tls":
            settings |= {"certificate": str(world.directory / "leaf.pem"), "key": str(world.directory / "leaf.key")}
        if world.case.outside == "tls":
            settings["authority"] = str(world.authority)
        return [self.program(), HERE / "relay" / "relay.mjs", json.dumps(settings)]

    def version(self):
        of = lambda name: json.loads((self.home / name / "package.json").read_text())["version"]  # noqa: E731
        return f"Node {told(self.program(), '--version').strip().lstrip('v')} (ws {of('ws')}, bufferutil {of('bufferutil')})"


class Floor(Peer):
    """`tonegate-load forward`: epoll, rustls and nothing else. No HTTP, no WebSocket, no admission."""

    name, label = "floor", "epoll + rustls"
    wrong_name = None  # it is told an address and expects localhost

    def command(self, world):
        leaf = ["--certificate", world.directory / "leaf.pem", "--key", world.directory / "leaf.key"]
        clients = leaf if world.case.inside == "tls" else ["--plain-client"]
        upstream = ["--ca", world.authority] if world.case.outside == "tls" else ["--plain-upstream"]
        ends = ["--listen", f"127.0.0.1:{world.port}", "--upstream", world.upstream]
        return [self.args.load, "forward", *ends, *clients, *upstream]

    def version(self):
        return f"bare forwarder of {told(self.args.load, '--version').strip()}"


class Tonegate(Peer):
    name, label = "tonegate", "tonegate"
    dtmf, batch = "observe", "0s"
    # It resolves the name that it verifies: an address of this machine, which the certificate has not.
    wrong_name = wrong_host = "127.0.0.2"

    @property
    def template(self):
        return self.args.config

    def command(self, world):
        return [self.args.tonegate, "serve", "--config", self.file(world)]

    def file(self, world):
        world.dtmf, world.batch = self.dtmf, self.batch
        return super().file(world)

    def version(self):
        return told(self.args.tonegate, "--version").strip()


class Deaf(Tonegate):
    """The same edge with the detector off: what the tap's work costs is the difference."""

    name, label, dtmf = "tonegate-deaf", "tonegate, DTMF off", "off"


class Batching(Tonegate):
    """The same edge where a busy worker lets frames gather: CPU for latency."""

    name, label, batch = "tonegate-batch", "tonegate, batch 250us", "250us"


PEERS = {peer.name: peer for peer in (Nginx, Tonegate, Haproxy, Envoy, Node, Floor, Deaf, Batching)}
# Other settings of the same edge, asked one question each; no peers of their own in tables and pictures.
VARIANTS = (Deaf.name, Batching.name)
