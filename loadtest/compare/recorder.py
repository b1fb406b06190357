"""A TCP forwarder that keeps the TLS hellos that pass through it, so that what was agreed is seen, not believed."""

import contextlib
import dataclasses
import socket
import threading

# A hello is far smaller.
HELLO_MAX = 16 << 10
SERVER_HELLO = 2
SUPPORTED_VERSIONS, KEY_SHARE, PRE_SHARED_KEY = 43, 51, 41
NAMES = {0x0304: "TLS 1.3", 0x1301: "AES-128-GCM", 0x001D: "X25519"}


@dataclasses.dataclass
class Seen:
    """One connection: what its first bytes were, and what the server agreed to."""

    asked: bytes = b""
    answered: bytes = b""

    def plain(self):
        return self.asked.startswith(b"GET ")

    def server(self):
        """(version, cipher, group, resumed) of the ServerHello, or nothing if none came."""
        body = hello(self.answered, SERVER_HELLO)
        if body is None:
            return None
        at = 2 + 32  # legacy version, random
        at += 1 + body[at]  # the session's id
        cipher = int.from_bytes(body[at : at + 2])
        fields = extensions(body[at + 3 :])
        version = int.from_bytes(fields.get(SUPPORTED_VERSIONS, b""))
        group = int.from_bytes(fields.get(KEY_SHARE, b"")[:2])
        return version, cipher, group, PRE_SHARED_KEY in fields


def hello(stream, kind):
    """The body of the handshake message of this kind, which begins the stream. RFC 8446, sections 4 and 5.1."""
    if len(stream) < 9 or stream[0] != 22 or stream[5] != kind:
        return None
    length = int.from_bytes(stream[6:9])
    return stream[9 : 9 + length] if len(stream) >= 9 + length else None


def extensions(block):
    fields, at, end = {}, 2, 2 + int.from_bytes(block[:2])
    while at + 4 <= end:
        kind, length = (int.from_bytes(block[at + skip : at + skip + 2]) for skip in (0, 2))
        fields[kind] = block[at + 4 : at + 4 + length]
        at += 4 + length
    return fields


def named(number):
    return NAMES.get(number, f"{number:#06x}")


class Recorder:
    """Listens on a port of its own; every connection goes on to `target`."""

    def __init__(self, target, host="127.0.0.1"):
        self.target = target
        self.seen = []
        self.listener = socket.create_server((host, 0), backlog=256)
        self.address = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self.forward, args=(client,), daemon=True).start()

    def forward(self, client):
        seen = Seen()
        self.seen.append(seen)
        try:
            server = socket.create_connection(self.target, timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        back = threading.Thread(target=copy, args=(server, client, seen, "answered"), daemon=True)
        back.start()
        copy(client, server, seen, "asked")
        back.join()
        client.close()
        server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        self.listener.close()


def copy(source, sink, seen, kept):
    with contextlib.suppress(OSError):
        while data := source.recv(64 << 10):
            have = getattr(seen, kept)
            if len(have) < HELLO_MAX:
                setattr(seen, kept, have + data)
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
