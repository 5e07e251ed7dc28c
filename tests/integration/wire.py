"""
Plain sockets: for what an HTTP client would not send or would not show, and for crowds that it could not hold.
"""

import selectors
import socket
import time
from collections.abc import Callable
from contextlib import closing
from types import TracebackType

from tests.integration.support import PATIENCE, Server, turns, until


class Wire:
    """
    One TCP connection. A context manager that closes it.

    :param receiveBuffer: the kernel's buffer for this end; a small one makes a stalled reader be seen soon.
    """

    def __init__(self, server: Server, data: bytes = b"", receiveBuffer: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if receiveBuffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receiveBuffer)
        self.socket.connect(("127.0.0.1", server.port))
        self.received = b""
        if data:
            self.send(data)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> bytes:
        """What one read brings; empty at the end, also when the end is a reset."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            return b""
        self.received += data
        return data

    def readUntil(self, wanted: bytes) -> bytes:
        """Read until ``wanted`` is there; returns all that was received so far."""
        for _ in turns(lambda: f"without {wanted!r}: {self.received!r}"):
            if wanted in self.received:
                break
            assert self.read(), f"the connection ended without {wanted!r}: {self.received!r}"
        return self.received

    def readToEnd(self) -> bytes:
        """Read until the server closes; returns all that was received."""
        for _ in turns(lambda: f"without an end: {self.received[-1000:]!r}"):
            if not self.read():
                break
        return self.received

    def take(self) -> bytes:
        """What was received so far, which is then forgotten."""
        received, self.received = self.received, b""
        return received


def converse(server: Server, data: bytes) -> bytes:
    """Send, and read until the server closes."""
    with closing(Wire(server, data)) as wire:
        return wire.readToEnd()


class Crowd:
    """
    Many clients with one request each, served by one selector. A context manager that closes them.

    :ivar received: what each has received so far, its response head included.
    :ivar lost: how many connections the server has ended.
    """

    def __init__(self, server: Server, request: Callable[[int], bytes], size: int) -> None:
        self._selector = selectors.DefaultSelector()
        self.received = [bytearray() for _ in range(size)]
        self.lost = 0
        for number in range(size):
            client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
            client.sendall(request(number))
            client.setblocking(False)
            self._selector.register(client, selectors.EVENT_READ, number)
            if number % 40 == 39:
                # The server's backlog has room for 50 connections; a client that finds no room tries again after a
                # second.
                self._untilAnswered(number)

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for key in tuple(self._selector.get_map().values()):
            self._hangUp(key.fileobj)
        self._selector.close()

    def _hangUp(self, client: object) -> None:
        assert isinstance(client, socket.socket)
        self._selector.unregister(client)
        client.close()

    def _untilAnswered(self, number: int) -> None:
        def answered() -> bool:
            self.pump(0.01)
            return bool(self.received[number])

        until(answered, "an answer")

    def pump(self, seconds: float = 0.05) -> None:
        """Read what arrives within this time."""
        deadline = time.monotonic() + seconds
        while True:
            for key, _ in self._selector.select(max(deadline - time.monotonic(), 0)):
                client = key.fileobj
                assert isinstance(client, socket.socket)
                try:
                    data = client.recv(1 << 16)
                except OSError:
                    data = b""
                if data:
                    self.received[key.data] += data
                else:
                    self.lost += 1
                    self._hangUp(client)
            if time.monotonic() >= deadline:
                return

    def untilAll(self, condition: Callable[[bytearray], bool], what: str, patience: float = PATIENCE) -> None:
        """Read until the condition holds for what every client has received."""

        def everybody() -> bool:
            self.pump(0.01)
            return all(condition(received) for received in self.received)

        until(everybody, what, patience)


def get(path: str, version: str = "HTTP/1.1") -> bytes:
    """A GET request's bytes."""
    return f"GET {path} {version}\r\nHost: localhost\r\n\r\n".encode()
