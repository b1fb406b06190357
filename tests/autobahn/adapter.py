"""What kosoku lacks: TLS, a path and headers. It speaks plain WebSocket to here; from here the request
goes on with another head, and all that follows as the bytes that came."""

import asyncio
import contextlib
import re
import ssl

HEAD_MAX = 64 << 10
READ = 64 << 10


class Adapter:
    """Towards one TLS server, with one path and more headers."""

    def __init__(self, port, roots, target="/", headers=()):
        self.to = port
        self.tls = ssl.create_default_context(cafile=roots)
        self.target, self.headers = target, headers
        self.tasks = set()
        self.dialled = 0

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=HEAD_MAX)
        self.port = self.server.sockets[0].getsockname()[1]

    def stop(self):
        self.server.close()
        for task in self.tasks:
            task.cancel()

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            await self.carry(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def carry(self, reader, writer):
        head = self.rewritten(await reader.readuntil(b"\r\n\r\n"))
        far_reader, far_writer = await asyncio.open_connection(
            "127.0.0.1", self.to, ssl=self.tls, server_hostname="localhost"
        )
        self.dialled += 1
        far_writer.write(head)
        ways = [asyncio.create_task(pump(reader, far_writer)), asyncio.create_task(pump(far_reader, writer))]
        try:
            # A TLS end is the end of both ways.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            far_writer.close()

    def rewritten(self, head):
        lines = head.split(b"\r\n")
        lines[0] = re.sub(rb"^GET \S+", b"GET " + self.target.encode(), lines[0])
        lines[1:1] = [f"{name}: {value}".encode() for name, value in self.headers]
        return b"\r\n".join(lines)


async def pump(reader, writer):
    with contextlib.suppress(OSError):
        while piece := await reader.read(READ):
            writer.write(piece)
            await writer.drain()
