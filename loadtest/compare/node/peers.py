"""Both far ends of the comparison, frame by frame: a caller, and an upstream that does as a row says.

Written by hand, so that a check decides what shares a segment, what is masked and when a socket is
torn down, and sees what really arrived.
"""

import asyncio
import base64
import collections
import contextlib
import dataclasses
import hashlib
import os
import re
import socket
import ssl
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
# What nothing here takes: it only turns a hang into an observation.
PATIENCE = 5.0
HEAD_MAX = 64 << 10

Frame = collections.namedtuple("Frame", "fin opcode payload")


def encode(opcode, payload, mask=None, fin=True):
    size = len(payload)
    marked = 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", fin << 7 | opcode, marked | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", fin << 7 | opcode, marked | 126, size)
    else:
        head = struct.pack("!BBQ", fin << 7 | opcode, marked | 127, size)
    return head + (mask + xor(payload, mask) if mask else payload)


def xor(payload, mask):
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")


def close_payload(code, reason=""):
    return struct.pack("!H", code) + reason.encode()


def told_close(payload):
    """A close frame in words: RFC 6455 calls one without a code 1005."""
    if len(payload) < 2:
        return "1005"
    reason = payload[2:].decode(errors="replace")
    return str(struct.unpack("!H", payload[:2])[0]) + (f' "{reason}"' if reason else "")


class Link:
    """One end of a WebSocket."""

    def __init__(self, reader, writer, masks):
        self.reader, self.writer, self.masks = reader, writer, masks
        self.closing = False

    def send(self, opcode, payload, mask=True, fin=True):
        self.closing = self.closing or opcode == CLOSE
        self.writer.write(encode(opcode, payload, os.urandom(4) if self.masks and mask else None, fin))

    async def frame(self, patience=PATIENCE):
        """The next frame; None when the stream has ended; TimeoutError when nothing came."""
        async with asyncio.timeout(patience):
            try:
                first, second = await self.reader.readexactly(2)
                size = second & 0x7F
                if size > 125:
                    size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
                mask = await self.reader.readexactly(4) if second & 0x80 else None
                payload = await self.reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                return None
        return Frame(first >> 7, first & 0xF, xor(payload, mask) if mask else payload)

    async def message(self, patience=PATIENCE):
        """The next frame that is no ping; pings are answered."""
        async with asyncio.timeout(patience):
            while (frame := await self.frame(patience)) and frame.opcode == PING:
                self.send(PONG, frame.payload)
        return frame

    async def ending(self, patience=PATIENCE):
        """How this end learns that it is over, in words; then the socket is closed, too."""
        try:
            while frame := await self.message(patience):
                if frame.opcode == CLOSE:
                    if not self.closing:
                        self.send(CLOSE, frame.payload)
                    return told_close(frame.payload)
            return "1006 (no close frame)"
        except TimeoutError:
            return f"open after {patience:g} s"
        finally:
            self.writer.close()

    def abort(self):
        """A reset, not an orderly end."""
        linger = struct.pack("ii", 1, 0)
        with contextlib.suppress(OSError):
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    def drop(self):
        self.writer.close()


@dataclasses.dataclass
class Answer:
    status: int
    head: str
    body: str
    link: Link | None

    def header(self, name):
        found = re.findall(rf"(?im)^{re.escape(name)}: *([^\r]*)", self.head)
        return ", ".join(found)


async def read_head(reader):
    return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")


def upgrade_request(target, headers=()):
    lines = [
        f"GET {target} HTTP/1.1",
        *("Host: localhost", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def ask(port, tls, request, patience=PATIENCE):
    """Sends a request and reads its answer; None when none came in time."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None, limit=HEAD_MAX
    )
    writer.write(request)
    try:
        async with asyncio.timeout(patience):
            head = await read_head(reader)
            status = int(head.split(" ", 2)[1])
            if status == 101:
                return Answer(status, head, "", Link(reader, writer, masks=True))
            body = (await reader.read()).decode(errors="replace")
    except TimeoutError:
        writer.transport.abort()
        return None
    except (asyncio.IncompleteReadError, ConnectionError):
        return Answer(0, "", "", None)
    writer.close()
    return Answer(status, head, body, None)


@dataclasses.dataclass
class Plan:
    """What the upstream does with the next connections."""

    status: int = 101
    before_answer: float = 0.0  # seconds; float("inf") never answers
    with_answer: bytes = b""  # frames in the same write as the head
    echo: bool = False
    then: str = ""  # "reset", or a close as CODE REASON


class Visit:
    """One connection as the upstream saw it."""

    def __init__(self, head):
        self.head = head
        self.target = head.split(" ", 2)[1]
        self.link = None
        self.frames = []
        self.open = True

    def header(self, name):
        return Answer(0, self.head, "", None).header(name)


class Upstream:
    def __init__(self, tls):
        self.tls = tls
        self.plan = Plan()
        self.visits = []
        self.news = asyncio.Event()
        self.tasks = set()

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.tls, backlog=512)
        self.port = self.server.sockets[0].getsockname()[1]

    def stop(self):
        self.server.close()
        for task in self.tasks:
            task.cancel()

    async def until(self, holds, patience=PATIENCE):
        """Whether `holds` comes true in time."""
        try:
            async with asyncio.timeout(patience):
                while not holds():
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            return False
        return True

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        visit = None
        try:
            visit = Visit(await read_head(reader))
            self.visits.append(visit)
            self.news.set()
            await self.attend(visit, reader, writer, self.plan)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            if visit:
                visit.open = False
            self.news.set()
            writer.close()

    async def attend(self, visit, reader, writer, plan):
        if plan.before_answer:
            await gone_or(reader, plan.before_answer)
        if plan.status != 101:
            writer.write(f"HTTP/1.1 {plan.status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            return
        accept = hashlib.sha1((visit.header("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode())
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        head += f"Sec-WebSocket-Accept: {base64.b64encode(accept.digest()).decode()}\r\n\r\n"
        writer.write(head.encode() + plan.with_answer)
        visit.link = link = Link(reader, writer, masks=False)
        self.news.set()
        if plan.then == "reset":
            await link.frame()  # the caller says when
            link.abort()
            return
        if plan.then:
            code, reason = plan.then.split(" ", 1)
            link.send(CLOSE, close_payload(int(code), reason))
        while frame := await link.frame(patience=60):
            visit.frames.append(frame)
            self.news.set()
            if frame.opcode == PING:
                link.send(PONG, frame.payload)
            elif frame.opcode == CLOSE:
                if not plan.then:
                    link.send(CLOSE, frame.payload)
                return
            elif plan.echo and frame.opcode != PONG:
                link.send(frame.opcode, frame.payload, fin=frame.fin)


async def gone_or(reader, seconds):
    """Waits for so long, or raises as soon as the peer has gone."""
    try:
        async with asyncio.timeout(min(seconds, 60)):
            # Nothing may come before the answer: whatever ends this read is the peer's end.
            await reader.read(1)
    except TimeoutError:
        return
    raise ConnectionError("gone before the answer")
