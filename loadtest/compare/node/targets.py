"""The two proxies as processes: how each is started, found, watched and ended."""

import asyncio
import copy
import hashlib
import json
import os
import pathlib
import ssl
import string

import peers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
KEY = "the-callers-key-7Qx"


class Process:
    """A child whose whole output is kept."""

    def __init__(self, child):
        self.child = child
        self.output = []
        self.reading = [asyncio.create_task(self.read(pipe)) for pipe in (child.stdout, child.stderr)]

    @classmethod
    async def start(cls, command, env, core=None):
        pin = None if core is None else lambda: os.sched_setaffinity(0, {core})
        child = await asyncio.create_subprocess_exec(
            *map(str, command),
            env=os.environ | env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=pin,
        )
        return cls(child)

    async def read(self, pipe):
        while line := await pipe.readline():
            self.output.append(line.decode(errors="replace"))

    async def line(self, fits):
        """The first line of output, parsed, that fits."""
        deadline = asyncio.get_running_loop().time() + 10
        while asyncio.get_running_loop().time() < deadline:
            for line in self.output:
                if line.startswith("{") and fits(parsed := json.loads(line)):
                    return parsed
            if self.child.returncode is not None:
                break
            await asyncio.sleep(0.01)
        raise SystemExit("a proxy did not start:\n" + "".join(self.output))

    async def ended(self, patience):
        """The exit code if it ends in time, else None."""
        try:
            async with asyncio.timeout(patience):
                return await self.child.wait()
        except TimeoutError:
            return None

    async def stop(self):
        if self.child.returncode is None:
            self.child.kill()
        await self.child.wait()
        await asyncio.gather(*self.reading)

    def cpu_nanoseconds(self):
        """On a core, summed over the threads (schedstat, first field)."""
        tasks = pathlib.Path(f"/proc/{self.child.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)

    def resident_kib(self):
        status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


class Target:
    """A proxy before its upstream. Rows ask through it and look at what the upstream saw."""

    tls = None
    admin = None

    def __init__(self, upstream):
        self.upstream = upstream

    async def dial(self, query="", headers=(), path="/ws", first=b"", patience=peers.PATIENCE):
        """Asks for an upgrade, with `first` in the same write."""
        before = len(self.upstream.visits)
        target = path + (f"?{query}" if query else "")
        request = peers.upgrade_request(target, [("api-key", KEY), *headers]) + first
        answer = await peers.ask(self.port, self.tls, request, patience)
        if answer and answer.link:
            # The relay answers before it has dialled: what it dials is not to be taken for the next.
            await self.upstream.until(lambda: len(self.upstream.visits) > before, 1.0)
        return answer

    async def call(self, **wishes):
        """A call that must come about, and the upstream's side of it."""
        before = len(self.upstream.visits)
        answer = await self.dial(**wishes)
        if not answer or not answer.link:
            raise RuntimeError(f"{self.name}: no call: {answer and (answer.status, answer.body)}")
        upstream = self.upstream
        here = lambda: len(upstream.visits) > before and upstream.visits[-1].link  # noqa: E731
        if not await upstream.until(here):
            raise RuntimeError(f"{self.name}: the upstream was not dialled")
        # The relay answers its client before it has read the upstream's answer: what it does before
        # it is open is the matter of rows of their own.
        await asyncio.sleep(0.05)
        return answer.link, upstream.visits[-1]

    async def get(self, path, port=None, patience=1.5):
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        tls = self.tls if port is None else None
        return await peers.ask(port or self.port, tls, request.encode(), patience)

    async def fresh(self, **wishes):
        """Another process of the same kind, before the same upstream."""
        other = copy.copy(self)
        await other.start(**wishes)
        return other


class Node(Target):
    name = "node"

    async def start(self, core=None, **_wishes):
        env = {"UPSTREAM": f"ws://127.0.0.1:{self.upstream.port}", "AZURE_SPEECH_KEY": "the-upstream-looks-at-none"}
        self.process = await Process.start([ROOT / ".tools/bin/node", HERE / "relay.mjs"], env, core)
        said = await self.process.line(lambda line: "port" in line)
        self.port = said["port"]
        self.versions = f"Node {said['node']}, ws {said['ws']}"


class Tonegate(Target):
    """Settings and certificates lie in `folder`; `secure` is TLS on both sides."""

    def __init__(self, upstream, binary, folder, secure):
        super().__init__(upstream)
        self.binary, self.folder, self.secure = binary, folder, secure
        self.name = "tonegate, TLS" if secure else "tonegate"
        self.tls = client_context(folder) if secure else None

    async def start(self, core=None, ping="20s", log="info"):
        certificate = f'tls = {{ certificate = "{self.folder}/edge.pem", key = "{self.folder}/edge.key" }}'
        text = string.Template((HERE / "tonegate.toml").read_text()).substitute(
            tls=certificate if self.secure else "",
            scheme="wss" if self.secure else "ws",
            ca=f"{self.folder}/ca.pem",
            upstream_port=self.upstream.port,
            key_sha256=hashlib.sha256(KEY.encode()).hexdigest(),
            ping=ping,
        )
        config = self.folder / f"beside-{self.upstream.port}-{ping}-{log}.toml"
        config.write_text(text)
        self.process = await Process.start([self.binary, "serve", "--config", config], {"TONEGATE_LOG": log}, core)
        for role in ("public", "admin"):
            said = await self.process.line(lambda line, role=role: line.get("role") == role)
            setattr(self, {"public": "port", "admin": "admin"}[role], int(said["address"].rsplit(":", 1)[1]))


def client_context(folder):
    return ssl.create_default_context(cafile=folder / "ca.pem")


def server_context(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "edge.pem", folder / "edge.key")
    return context
