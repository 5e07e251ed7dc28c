"""
How a message gets into each server, at the least cost for the core the subscribers run on: one connection,
one write per batch, answers read when there is nothing better to do.
"""

import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

_TIMEOUT = 10.0
_MOST_OUTSTANDING = 256  # answers not read yet: they are some 200 bytes each and must fit the socket's buffer


class PublishError(Exception):
    """The server refused a message, or stopped answering."""


class Publisher(ABC):
    """
    Hands messages to a server: a connection that sends batches and counts the answers still to come.

    A subclass says what a batch looks like, and where an answer ends.
    """

    def __init__(self, address: tuple[str, int] | str) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.settimeout(_TIMEOUT)
        self._socket.connect(address)
        if family == socket.AF_INET:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._outstanding = 0
        self._received = b""

    @abstractmethod
    def publish(self, payloads: Sequence[bytes]) -> None:
        """Hand over a batch in one write."""

    def settle(self) -> None:
        """Wait until the server has answered all of them, if it answers at all."""
        self._collect(0)

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()

    def _send(self, data: bytes, answers: int) -> None:
        self._collect(_MOST_OUTSTANDING)
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise PublishError(f"the server takes no more messages: {error}") from None
        self._outstanding += answers

    def _collect(self, most: int) -> None:
        """Read what answers there are, and wait until at most ``most`` are still to come."""
        while self._outstanding:
            wait = self._outstanding > most
            try:
                chunk = self._socket.recv(65536, 0 if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except TimeoutError:
                raise PublishError(f"{self._outstanding} answers missing after {_TIMEOUT:g} s") from None
            if not chunk:
                raise PublishError("the server closed the publisher's connection")
            self._received += chunk
            while self._outstanding and self._takeAnswer():
                self._outstanding -= 1

    @abstractmethod
    def _takeAnswer(self) -> bool:
        """Remove one whole answer from ``_received``; False when there is none yet."""


class LinePublisher(Publisher):
    """``floor.c``: a line per message on a unix socket; there are no answers."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))

    def publish(self, payloads: Sequence[bytes]) -> None:
        self._send(b"".join(payload + b"\n" for payload in payloads), 0)

    def _takeAnswer(self) -> bool:
        return False  # and none is waited for


class RedisPublisher(Publisher):
    """``PUBLISH`` commands, pipelined."""

    def __init__(self, port: int, channel: bytes) -> None:
        super().__init__(("127.0.0.1", port))
        self._prefix = b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n" % (len(channel), channel)

    def publish(self, payloads: Sequence[bytes]) -> None:
        commands = (b"%b$%d\r\n%b\r\n" % (self._prefix, len(payload), payload) for payload in payloads)
        self._send(b"".join(commands), len(payloads))

    def _takeAnswer(self) -> bool:
        line, end, rest = self._received.partition(b"\r\n")
        if not end:
            return False
        if not line.startswith(b":"):
            raise PublishError(f"Redis answered {line!r}")
        self._received = rest
        return True


class HttpPublisher(Publisher):
    """POST requests on one keep-alive connection, pipelined when there are several."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__(("127.0.0.1", port))
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: text/plain\r\n"
        self._prefix = head.encode()

    def publish(self, payloads: Sequence[bytes]) -> None:
        posts = (b"%bContent-Length: %d\r\n\r\n%b" % (self._prefix, len(body), body) for body in payloads)
        self._send(b"".join(posts), len(payloads))

    def _takeAnswer(self) -> bool:
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return False
        status, *fields = head.split(b"\r\n")
        code = status.split()[1]
        if not code.startswith(b"2"):
            raise PublishError(f"POST was answered {status!r}: {body[:200]!r}")
        split = (field.partition(b":") for field in fields)
        headers = {name.strip().lower(): value.strip() for name, _, value in split}
        if code == b"204":
            size: int | None = 0
        elif headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            size = _chunkedSize(body)
        else:
            size = int(headers.get(b"content-length", b"0"))
        if size is None or len(body) < size:
            return False
        if headers.get(b"connection", b"").lower() == b"close":
            raise PublishError("the server does not keep the publisher's connection alive")
        self._received = body[size:]
        return True


def _chunkedSize(body: bytes) -> int | None:
    """The length of the chunked body (without trailers) at the start of ``body``; None: not whole yet."""
    place = 0
    with contextlib.suppress(ValueError):
        while True:
            end = body.index(b"\r\n", place)
            length = int(body[place:end].partition(b";")[0], 16)
            place = end + 2 + length + 2
            if length == 0:
                return place if len(body) >= place else None
    return None
