"""
WebSockets over real sockets: RFC 6455 and RFC 7692 frame by frame against ``examples/websocket_echo.py``, and the
routing action ``websocket`` between clients and Redis.
"""

import asyncio
import base64
import contextlib
import hashlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.web.resource import Resource
from twisted.web.server import Site
from websockets.asyncio.client import connect as connectSecurely
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from realtime_tw import Hub
from realtime_tw.web.websocket import WebSocketResource
from realtime_tw.web.wsconnection import WebSocketConnection
from tests.integration.certificates import Certificate
from tests.integration.support import (
    PATIENCE,
    Client,
    Redis,
    Server,
    ServerFactory,
    Subscription,
    freePort,
    python,
    until,
)

ROOT = Path(__file__).parent.parent.parent

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 0x80
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


# A client that may do wrong


def frame(
    opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0, masked: bool = True, size: int | None = None
) -> bytes:
    """
    A client's frame.

    :param size: a length to claim, instead of the payload's.
    """
    size = len(payload) if size is None else size
    bit = 0x80 if masked else 0
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 1 << 16:
        head = bytes([first, bit | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, bit | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    mask = b"\x37\xfa\x21\x3d"
    repeated = mask * (len(payload) // 4 + 1)
    number = int.from_bytes(payload) ^ int.from_bytes(repeated[: len(payload)])
    return head + mask + number.to_bytes(len(payload))


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def request(path: str = "/", *lines: str, without: str = "", method: str = "GET", version: str = "1.1") -> bytes:
    """
    An opening handshake.

    :param lines: more headers.
    :param without: a header to leave out.
    """
    headers = [
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY.decode()}",
    ]
    headers = [line for line in headers if not without or not line.startswith(f"{without}:")]
    text = "\r\n".join([f"{method} {path} HTTP/{version}", *headers, *lines, "", ""])
    return text.encode("latin-1")


class Raw(Client):
    """A connection whose handshake is done. :ivar head: the server's."""

    head = b""

    @classmethod
    def open(cls, port: int, path: str = "/", *lines: str, more: bytes = b"") -> "Raw":
        raw = cls(port, request(path, *lines) + more)
        raw.readHead()
        assert raw.head.startswith(b"HTTP/1.1 101 "), raw.head
        return raw

    def __enter__(self) -> "Raw":
        return self

    def readHead(self) -> bytes:
        self.readUntil(b"\r\n\r\n")
        self.head, _, self.received = self.received.partition(b"\r\n\r\n")
        return self.head

    def _take(self, size: int) -> bytes:
        while len(self.received) < size:
            self.readSome()
        data, self.received = self.received[:size], self.received[size:]
        return data

    def frame(self) -> tuple[int, bytes]:
        """The next frame: its first byte, and its payload."""
        first, size = self._take(2)
        assert size < 128, "a server's frames are not masked"
        if size == 126:
            (size,) = struct.unpack("!H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._take(8))
        return first, self._take(size)

    def closing(self) -> tuple[int, str]:
        """The code and the reason of the close frame, which must come next and be the last."""
        first, payload = self.frame()
        assert first == FIN | CLOSE, (first, payload[:100])
        self.end()
        return int.from_bytes(payload[:2]), payload[2:].decode()

    def end(self) -> None:
        """The server closes, and has nothing more to say."""
        assert self.received == b""
        assert self.readToEnd() == b""

    def echoed(self, *frames: bytes) -> tuple[int, bytes]:
        """Send, and see what comes."""
        self.send(b"".join(frames))
        return self.frame()


def fails(raw: Raw, code: int, *frames: bytes) -> str:
    """The server closes the connection over these frames, at once. Returns the reason it gives."""
    with raw:
        raw.send(b"".join(frames))
        found, reason = raw.closing()
        assert found == code, (found, reason)
        assert reason
        return reason


class Echo:
    """The echo example, running. :ivar port: where."""

    def __init__(self, log: Path) -> None:
        self.port = freePort()
        self.log = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [python(), str(ROOT / "examples" / "websocket_echo.py"), str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        until(lambda: "ws://" in log.read_text(), "the echo example")

    def open(self, *lines: str, more: bytes = b"") -> Raw:
        return Raw.open(self.port, "/", *lines, more=more)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def echo(logs: Path) -> Iterator[Echo]:
    started = Echo(logs / "websocket_echo.log")
    yield started
    assert started.process.poll() is None
    started.stop()


# The opening handshake


def test_theHandshakeOfTheStandard(echo: Echo) -> None:
    with echo.open() as raw:
        lines = raw.head.split(b"\r\n")
        assert b"Sec-WebSocket-Accept: " + ACCEPT in lines
        assert base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()) == ACCEPT
        headers = {line.split(b":")[0].lower() for line in lines[1:]}
        assert b"sec-websocket-extensions" not in headers
        assert b"sec-websocket-protocol" not in headers
        assert raw.echoed(frame(TEXT, b"hello")) == (FIN | TEXT, b"hello")


@pytest.mark.parametrize(
    ("data", "status", "version"),
    [
        (request(without="Sec-WebSocket-Key"), 400, b""),
        (request("/", "Sec-WebSocket-Key: " + KEY.decode()), 400, b""),
        (request("/", "Sec-WebSocket-Key: short", without="Sec-WebSocket-Key"), 400, b""),
        (request("/", "Sec-WebSocket-Key: " + "?" * 24, without="Sec-WebSocket-Key"), 400, b""),
        (request("/", "Sec-WebSocket-Key: \xff\xfe", without="Sec-WebSocket-Key"), 400, b""),
        (request(without="Sec-WebSocket-Version"), 426, b"13"),
        (request("/", "Sec-WebSocket-Version: 12", without="Sec-WebSocket-Version"), 426, b"13"),
        (request("/", "Sec-WebSocket-Version: x", without="Sec-WebSocket-Version"), 426, b"13"),
        (request(without="Upgrade"), 426, b"13"),
        (request("/", "Upgrade: h2c", without="Upgrade"), 426, b"13"),
        (request(without="Connection"), 400, b""),
        (request("/", "Connection: keep-alive", without="Connection"), 400, b""),
        (request(version="1.0"), 426, b"13"),
        (request(method="POST"), 405, b""),
        (request(method="HEAD"), 405, b""),
    ],
)
def test_handshakesThatAreRefused(echo: Echo, data: bytes, status: int, version: bytes) -> None:
    with Raw(echo.port, data) as raw:
        head = raw.readHead()
        assert head.split(b" ", 2)[1] == b"%d" % status, head
        headers: dict[bytes, bytes] = {}
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b": ")
            headers[name.lower()] = b", ".join([*filter(None, [headers.get(name.lower())]), value])
        if version:
            assert headers[b"sec-websocket-version"] == version
        if status == 426:
            # RFC 9110, section 15.5.22.
            assert headers[b"upgrade"] == b"websocket"
            assert b"upgrade" in headers[b"connection"].lower()
        elif status == 405:
            assert headers[b"allow"] == b"GET, OPTIONS"


def test_headersAreNotCaseSensitive(echo: Echo) -> None:
    data = request(without="Upgrade").replace(b"keep-alive, Upgrade", b"UPGRADE , x")
    with Raw(echo.port, data[:-2] + b"uPGRADE: x, WebSocket\r\n\r\n") as raw:
        assert raw.readHead().startswith(b"HTTP/1.1 101 ")
        assert raw.echoed(frame(TEXT, b"x")) == (FIN | TEXT, b"x")


@pytest.mark.parametrize("line", ["Sec-WebSocket-Protocol: a, a", "Sec-WebSocket-Protocol: \xe4\xff, \x80"])
def test_strangeHandshakesGetAnAnswer(echo: Echo, line: str) -> None:
    with Raw(echo.port, request("/", line)) as raw:
        assert raw.readHead().startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 101 "))


def test_framesInTheSegmentOfTheHandshake(echo: Echo) -> None:
    with echo.open(more=frame(TEXT, b"one") + frame(BINARY, b"two")) as raw:
        assert raw.frame() == (FIN | TEXT, b"one")
        assert raw.frame() == (FIN | BINARY, b"two")
        # Half a frame.
    whole = frame(TEXT, b"three")
    with echo.open(more=whole[:4]) as raw:
        assert raw.echoed(whole[4:]) == (FIN | TEXT, b"three")
    # More than Twisted's channel would buffer.
    with echo.open(more=frame(BINARY, bytes(300_000)) + frame(TEXT, b"end")) as raw:
        assert raw.frame() == (FIN | BINARY, bytes(300_000))
        assert raw.frame() == (FIN | TEXT, b"end")


def test_everythingByteByByte(echo: Echo) -> None:
    data = request() + frame(TEXT, "ä€🎉".encode()) + frame(PING, b"p") + frame(BINARY, b"x" * 200) + close(1000)
    with Raw(echo.port) as raw:
        for number in range(len(data)):
            raw.send(data[number : number + 1])
        assert raw.readHead().startswith(b"HTTP/1.1 101 ")
        assert raw.frame() == (FIN | TEXT, "ä€🎉".encode())
        assert raw.frame() == (FIN | PONG, b"p")
        assert raw.frame() == (FIN | BINARY, b"x" * 200)
        assert raw.closing() == (1000, "")


# Data frames


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 1 << 20])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_everyLength(echo: Echo, opcode: int, size: int) -> None:
    payload = b"*" * size
    with echo.open() as raw:
        assert raw.echoed(frame(opcode, payload)) == (FIN | opcode, payload)


@pytest.mark.parametrize("compress", [False, True])
def test_sixteenMebibytes(echo: Echo, compress: bool) -> None:
    payload = random.Random(7).randbytes(1 << 16) * 256
    with connect(
        f"ws://127.0.0.1:{echo.port}/",
        max_size=None,
        compression="deflate" if compress else None,
        open_timeout=PATIENCE,
    ) as client:
        client.send(payload)
        assert client.recv(PATIENCE) == payload


def test_fragments(echo: Echo) -> None:
    with echo.open() as raw:
        # A thousand, some of them empty, with control frames in between.
        pieces = [b"%d," % number if number % 3 else b"" for number in range(1000)]
        raw.send(frame(TEXT, pieces[0], fin=False))
        for number, piece in enumerate(pieces[1:]):
            if number % 100 == 0:
                raw.send(frame(PING, b"%d" % number) + frame(PONG))
            raw.send(frame(CONTINUATION, piece, fin=False))
        raw.send(frame(CONTINUATION))
        for number in range(0, 999, 100):
            assert raw.frame() == (FIN | PONG, b"%d" % number)
        assert raw.frame() == (FIN | TEXT, b"".join(pieces))
        assert raw.echoed(frame(BINARY, fin=False), frame(CONTINUATION)) == (FIN | BINARY, b"")
        # Bytes of a megabyte, one by one in a fragment each, would take a while: sixteen at a time.
        data = bytes(range(256)) * 1024
        raw.send(frame(BINARY, fin=False))
        raw.send(b"".join(frame(CONTINUATION, data[at : at + 16], fin=False) for at in range(0, len(data), 16)))
        assert raw.echoed(frame(CONTINUATION, b"!")) == (FIN | BINARY, data + b"!")


@pytest.mark.parametrize(
    "frames",
    [
        # Nothing to continue.
        [frame(CONTINUATION, b"x")],
        [frame(CONTINUATION, b"x", fin=False)],
        [frame(TEXT, b"x"), frame(CONTINUATION, b"x")],
        # A new message inside another one.
        [frame(TEXT, b"x", fin=False), frame(TEXT, b"y")],
        [frame(TEXT, b"x", fin=False), frame(PING), frame(BINARY, b"y", fin=False)],
    ],
)
def test_fragmentsOutOfOrder(echo: Echo, frames: list[bytes]) -> None:
    with echo.open() as raw:
        raw.send(b"".join(frames))
        while (received := raw.frame())[0] != FIN | CLOSE:
            assert received in ((FIN | TEXT, b"x"), (FIN | PONG, b""))
        assert received[1][:2] == struct.pack("!H", 1002)
        raw.end()


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reservedOpcodes(echo: Echo, opcode: int) -> None:
    fails(echo.open(), 1002, frame(opcode))
    fails(echo.open(), 1002, frame(opcode, b"payload"))


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
def test_reservedBits(echo: Echo, opcode: int, rsv: int) -> None:
    fails(echo.open(), 1002, frame(opcode, b"", rsv=rsv))


@pytest.mark.parametrize("rsv", range(1, 8))
def test_reservedBitsBesideCompression(echo: Echo, rsv: int) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    fails(echo.open(offer), 1002, frame(PING, b"x", rsv=rsv))
    if rsv != 4:
        fails(echo.open(offer), 1002, frame(TEXT, b"\x00", rsv=rsv))
    fails(echo.open(offer), 1002, frame(TEXT, b"x", fin=False), frame(CONTINUATION, b"x", rsv=rsv))


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
def test_framesMustBeMasked(echo: Echo, opcode: int) -> None:
    fails(echo.open(), 1002, frame(opcode, b"", masked=False))
    fails(echo.open(), 1002, frame(opcode, b"\x03\xe8", masked=False))


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\xfe\x00\x05" + bytes(4) + b"Hello",
        b"\x81\xff\x00\x00\x00\x00\x00\x00\x00\x05" + bytes(4) + b"Hello",
        b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff" + bytes(4),
        b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00" + bytes(4),
    ],
)
def test_lengthsInTheWrongForm(echo: Echo, data: bytes) -> None:
    fails(echo.open(), 1002, data)


# Text


VALID_TEXTS = [
    "",
    "Hello-µ@ßöäüàá-UTF-8!!",
    "κόσμε",
    "\0\x7f",
    "\ud7ff\ue000",
    "\ufffe\uffff",
    "\U00010000\U0010ffff",
    "🎉",
]


@pytest.mark.parametrize("text", VALID_TEXTS)
def test_textSplitAnywhere(echo: Echo, text: str) -> None:
    payload = text.encode()
    with echo.open() as raw:
        for cut in range(len(payload) + 1):
            pieces = frame(TEXT, payload[:cut], fin=False), frame(CONTINUATION, payload[cut:])
            assert raw.echoed(*pieces) == (FIN | TEXT, payload)
        raw.send(frame(TEXT, fin=False))
        for byte in payload:
            raw.send(frame(CONTINUATION, bytes([byte]), fin=False))
        assert raw.echoed(frame(CONTINUATION)) == (FIN | TEXT, payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x80",
        b"\xbf",
        b"\xc0\xaf",
        b"\xc1\x80",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\xaf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xce",
        b"\xce\xba\xe1\xbd",
        b"\xf0\x9f\x8e",
        "κόσμε".encode() + b"\xed\xa0\x80edited",
    ],
)
def test_textThatIsNone(echo: Echo, payload: bytes) -> None:
    fails(echo.open(), 1007, frame(TEXT, payload))
    fails(echo.open(), 1007, frame(TEXT, payload[:1], fin=False), frame(CONTINUATION, payload[1:]))
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    fails(echo.open(offer), 1007, frame(TEXT, squeezed(payload), rsv=4))
    with echo.open() as raw:
        assert raw.echoed(frame(BINARY, payload)) == (FIN | BINARY, payload)


def test_textFailsAsSoonAsItCannotBecomeValid(echo: Echo) -> None:
    fails(echo.open(), 1007, frame(TEXT, b"\xce\xba\xf4\x90", fin=False))
    fails(echo.open(), 1007, frame(TEXT, b"x" * 1000, size=5000)[:-1] + b"\xff" * 8)


# Control frames


@pytest.mark.parametrize("payload", [b"", b"hello", b"\0\xff\xfe\xfd", b"x" * 125])
def test_pings(echo: Echo, payload: bytes) -> None:
    with echo.open() as raw:
        assert raw.echoed(frame(PING, payload)) == (FIN | PONG, payload)
        raw.send(b"".join(frame(PING, payload + b"%d" % number) for number in range(10)) if len(payload) < 100 else b"")
        if len(payload) < 100:
            assert [raw.frame() for _ in range(10)] == [(FIN | PONG, payload + b"%d" % number) for number in range(10)]
        # Pongs that nobody asked for.
        assert raw.echoed(frame(PONG, payload), frame(PING, b"!")) == (FIN | PONG, b"!")


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_controlFramesThatAreTooLongOrInPieces(echo: Echo, opcode: int) -> None:
    fails(echo.open(), 1002, frame(opcode, b"x" * 126))
    fails(echo.open(), 1002, frame(opcode, b"", size=1 << 40))
    fails(echo.open(), 1002, frame(opcode, b"", fin=False))
    fails(echo.open(), 1002, frame(opcode, b"xx", fin=False), frame(CONTINUATION, b"xx"))


def test_aClientThatDoesNotReadItsPongs(twistd: ServerFactory) -> None:
    server = twistd.start("[realtime]\nroute = . websocket:subscribe=x,buffer=64k,ping=0\n")
    with Raw.open(server.port) as raw:
        raw.send(frame(PING))
        raw.frame()
        before = server.memory()
        # It may be closed, as one that reads too slowly.
        with contextlib.suppress(OSError):
            raw.sendWhileItGoes(frame(PING, b"x" * 125) * 1000, 1 << 26)
        assert server.memory() - before < 8 << 20


# The closing handshake


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
def test_closeCodesAreEchoed(echo: Echo, code: int) -> None:
    for reason in (b"", b"because", "ä€🎉".encode(), b"x" * 123):
        with echo.open() as raw:
            raw.send(close(code, reason))
            assert raw.closing() == (code, reason.decode())


def test_aCloseWithoutACode(echo: Echo) -> None:
    with echo.open() as raw:
        assert raw.echoed(close()) == (FIN | CLOSE, b"")
        raw.end()


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535])
def test_closeCodesThatMayNotBeSent(echo: Echo, code: int) -> None:
    fails(echo.open(), 1002, close(code))
    fails(echo.open(), 1002, close(code, b"reason"))


def test_closeFramesThatAreWrong(echo: Echo) -> None:
    fails(echo.open(), 1002, frame(CLOSE, b"\x03"))
    fails(echo.open(), 1007, close(1000, b"\xed\xa0\x80"))
    fails(echo.open(), 1007, close(1000, b"cut \xe2\x82"))


def test_nothingIsAnsweredAfterTheClose(echo: Echo) -> None:
    with echo.open() as raw:
        raw.send(frame(TEXT, b"before") + close(1000) + frame(TEXT, b"after") + frame(PING, b"after") + b"\xff" * 100)
        assert raw.frame() == (FIN | TEXT, b"before")
        assert raw.closing() == (1000, "")
    # In the middle of a message.
    with echo.open() as raw:
        raw.send(frame(TEXT, b"begun", fin=False) + close(1000, b"bye") + frame(CONTINUATION, b"late"))
        assert raw.closing() == (1000, "bye")


def test_afterAViolationTheRestIsIgnored(echo: Echo) -> None:
    with echo.open() as raw:
        raw.send(frame(3) + frame(TEXT, b"late") * 10_000 + frame(PING))
        assert raw.closing()[0] == 1002


def test_clientsThatDisappear(echo: Echo) -> None:
    """At each point of the conversation: by an end, by a reset, and half."""
    whole = (
        request() + frame(TEXT, b"x" * 10, fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"y" * 300) + close(1)
    )
    for cut in [0, 1, 30, len(request()) - 1, *range(len(request()), len(whole), 7), len(whole)]:
        for how in ("end", "reset", "half"):
            client = Client(echo.port, whole[:cut])
            if how == "half":
                client.endSending()
                client.readToEnd()
            elif how == "reset":
                client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    with echo.open() as raw:
        assert raw.echoed(frame(TEXT, b"still here")) == (FIN | TEXT, b"still here")


# Limits


def test_messagesThatAreTooLarge(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, ". websocket:subscribe=chat,publish=chat,max_message=1000,compress=1")

    def opened(*lines: str) -> Raw:
        return Raw.open(server.port, "/", *lines)

    with opened() as raw:
        assert raw.echoed(frame(BINARY, b"\xff" * 1000)) == (FIN | BINARY, b"\xff" * 1000)
        # It is the message that counts.
        raw.send(b"".join(frame(TEXT, b"x" * 600) for _ in range(3)))
        assert [raw.frame() for _ in range(3)] == [(FIN | TEXT, b"x" * 600)] * 3
    fails(opened(), 1009, frame(BINARY, b"x" * 1001))
    # The head is enough.
    fails(opened(), 1009, frame(BINARY, size=1 << 62))
    fails(opened(), 1009, frame(TEXT, b"x" * 600, fin=False), frame(CONTINUATION, b"x" * 401))
    fails(opened(), 1009, frame(TEXT, fin=False), *[frame(CONTINUATION, b"x" * 10, fin=False)] * 101)
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    with opened(offer) as raw:
        first, payload = raw.echoed(frame(TEXT, squeezed(b"x" * 1000), rsv=4))
        assert (first, inflated(payload)) == (FIN | 0x40 | TEXT, b"x" * 1000)
    noise = random.Random(1).randbytes(1001)
    with opened(offer) as raw:
        assert len(squeezed(noise[:1000])) > 1000
        assert inflated(raw.echoed(frame(BINARY, squeezed(noise[:1000]), rsv=4))[1]) == noise[:1000]
        assert inflated(raw.echoed(frame(BINARY, noise[:1000]))[1]) == noise[:1000]
    fails(opened(offer), 1009, frame(BINARY, noise))
    fails(opened(offer), 1009, frame(BINARY, squeezed(noise), rsv=4))
    fails(opened(offer), 1009, frame(BINARY, size=1 << 20))
    fails(opened(offer), 1009, frame(TEXT, squeezed(b"x" * 1001), rsv=4))
    half = squeezed(b"x" * 2000)
    fails(opened(offer), 1009, frame(TEXT, half[:3], fin=False, rsv=4), frame(CONTINUATION, half[3:]))


def test_aDeflateBomb(echo: Echo) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush(zlib.Z_SYNC_FLUSH)[:-4]
    before = resident(echo.process.pid)
    for _ in range(3):
        fails(echo.open(offer), 1009, frame(BINARY, bomb, rsv=4))
    # The limit itself may be there, for a moment once per message.
    assert resident(echo.process.pid) - before < 100 << 20


def test_compressedDataThatIsNone(echo: Echo) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    for junk in (b"\xff" * 10, b"\x07", squeezed(b"hello" * 100)[2:]):
        with echo.open(offer) as raw:
            raw.send(frame(BINARY, junk, rsv=4))
            raw.send(frame(PING))
            first, payload = raw.frame()
            # Some junk inflates to something.
            if first == FIN | CLOSE:
                assert int.from_bytes(payload[:2]) == 1007
                raw.end()


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


# Compression


def squeezed(payload: bytes, bits: int = 15) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -bits)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


def inflated(payload: bytes, bits: int = 15) -> bytes:
    return zlib.decompressobj(-bits).decompress(payload + b"\x00\x00\xff\xff")


#: Compresses well, with matches near and far.
SAMPLE = b"".join(b'{"number": %d, "name": "%x"}, ' % (number, number * number) for number in range(3000))


@pytest.mark.parametrize("serverBits", [None, *range(8, 16)])
# The websockets library cannot offer 8, see below.
@pytest.mark.parametrize("clientBits", [None, True, 9, 12, 15])
@pytest.mark.parametrize("noContext", ["", "server", "client", "server client"])
def test_everyParameterOfCompression(
    echo: Echo, serverBits: int | None, clientBits: int | bool | None, noContext: str
) -> None:
    factory = ClientPerMessageDeflateFactory(
        server_no_context_takeover="server" in noContext,
        client_no_context_takeover="client" in noContext,
        server_max_window_bits=serverBits,
        client_max_window_bits=clientBits,
    )
    with connect(
        f"ws://127.0.0.1:{echo.port}/", extensions=[factory], compression=None, max_size=None, open_timeout=PATIENCE
    ) as client:
        (extension,) = client.protocol.extensions
        assert extension.name == "permessage-deflate"
        for message in ("x", "", "ä€🎉" * 1000, SAMPLE, b"", b"\xff\xfe", os.urandom(20_000), SAMPLE.decode()):
            client.send(message)
            assert client.recv(PATIENCE) == message


@pytest.mark.parametrize("bits", range(8, 16))
def test_framesFitTheWindowThatTheClientHas(echo: Echo, bits: int) -> None:
    offer = f"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits={bits}"
    with echo.open(offer) as raw:
        assert f"server_max_window_bits={bits}".encode() in raw.head
        first, payload = raw.echoed(frame(BINARY, squeezed(SAMPLE), rsv=4))
        assert first == FIN | 0x40 | BINARY
        assert len(payload) < len(SAMPLE) / 1.5
        assert inflated(payload, bits) == SAMPLE


ACCEPTED = [
    ("permessage-deflate", {"permessage-deflate", "client_no_context_takeover"}),
    (
        "permessage-deflate; server_no_context_takeover",
        {"permessage-deflate", "client_no_context_takeover", "server_no_context_takeover"},
    ),
    ("permessage-deflate; client_max_window_bits", {"permessage-deflate", "client_no_context_takeover"}),
    ("permessage-deflate; client_max_window_bits=8", {"permessage-deflate", "client_no_context_takeover"}),
    (
        'permessage-deflate; server_max_window_bits="10"',
        {"permessage-deflate", "client_no_context_takeover", "server_max_window_bits=10"},
    ),
    (
        "permessage-deflate; server_max_window_bits=7, unknown; x=y, permessage-deflate; server_max_window_bits=9",
        {"permessage-deflate", "client_no_context_takeover", "server_max_window_bits=9"},
    ),
    ("permessage-bzip2, permessage-deflate", {"permessage-deflate", "client_no_context_takeover"}),
]


@pytest.mark.parametrize(("offer", "expected"), ACCEPTED)
def test_offersThatAreAccepted(echo: Echo, offer: str, expected: set[str]) -> None:
    with echo.open(f"Sec-WebSocket-Extensions: {offer}") as raw:
        (line,) = [line for line in raw.head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-extensions:")]
        assert {part.strip() for part in line.split(b":", 1)[1].decode().split(";")} == expected
        first, payload = raw.echoed(frame(TEXT, squeezed(b"hello"), rsv=4))
        assert (first, inflated(payload)) == (FIN | 0x40 | TEXT, b"hello")
        # A message need not be compressed.
        assert inflated(raw.echoed(frame(TEXT, b"plain"))[1]) == b"plain"


def test_offersInSeveralHeaders(echo: Echo) -> None:
    with echo.open(
        "Sec-WebSocket-Extensions: permessage-deflate; what",
        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=11",
    ) as raw:
        assert b"server_max_window_bits=11" in raw.head


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; server_max_window_bits=x",
        "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-bzip2",
        "permessage-brotli",
        "x-webkit-deflate-frame",
        ",;=,;",
        "",
    ],
)
def test_offersThatAreDeclined(echo: Echo, offer: str) -> None:
    with echo.open(f"Sec-WebSocket-Extensions: {offer}") as raw:
        assert b"sec-websocket-extensions" not in raw.head.lower()
        assert raw.echoed(frame(TEXT, b"hello")) == (FIN | TEXT, b"hello")


# Anything


_FRAMES = st.builds(
    frame,
    st.integers(0, 15) | st.sampled_from([TEXT, BINARY, CONTINUATION, PING, CLOSE]),
    st.binary(max_size=200) | st.text(max_size=50).map(str.encode),
    st.booleans() | st.just(True),
    st.sampled_from([0, 0, 0, 0, 4, 4, 1, 7]),
    st.sampled_from([True] * 9 + [False]),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        _FRAMES | st.binary(max_size=20) | st.binary(max_size=50).map(lambda data: frame(TEXT, squeezed(data), rsv=4))
    ),
    st.booleans(),
    st.integers(0, 1000),
)
def test_noFramesMakeATraceback(echo: Echo, frames: list[bytes], compress: bool, cut: int) -> None:
    data = b"".join(frames)
    with echo.open(*(["Sec-WebSocket-Extensions: permessage-deflate"] if compress else []), more=data[:cut]) as raw:
        try:
            raw.send(data[cut:])
            raw.endSending()
            raw.readToEnd()
        except OSError:
            # The server closed first.
            pass
    assert "Traceback" not in echo.log.read_text()


_HEADERS = st.sampled_from(
    ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Sec-WebSocket-Version", "Origin", "Upgrade", "Connection"]
)
_VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f\x85"), max_size=60)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_HEADERS, _VALUES), max_size=4))
def test_noHandshakeMakesATraceback(echo: Echo, headers: list[tuple[str, str]]) -> None:
    with Raw(echo.port, request("/", *(f"{name}: {value}" for name, value in headers))) as raw:
        assert raw.readHead().split(b" ")[1] in (b"101", b"400", b"403", b"426")
    assert "Traceback" not in echo.log.read_text()


# The action


def address(server: Server, path: str = "/", scheme: str = "ws") -> str:
    return f"{scheme}://127.0.0.1:{server.port}{path}"


def client(server: Server, path: str = "/", **options: Any) -> ClientConnection:
    options.setdefault("compression", None)
    made: ClientConnection = connect(address(server, path), open_timeout=PATIENCE, close_timeout=PATIENCE, **options)
    return made


def handshake(server: Server, path: str, *lines: str) -> int:
    """The status of the answer."""
    with Raw(server.port, request(path, *lines)) as raw:
        return int(raw.readHead().split(b" ")[1])


def closed(connection: ClientConnection) -> tuple[int | None, str | None]:
    """The server closes the connection next: with this code and reason, which are None when it just cuts it."""
    with pytest.raises(ConnectionClosed) as caught:
        connection.recv(PATIENCE)
    received = caught.value.rcvd
    return (None, None) if received is None else (received.code, received.reason)


def subscribers(redis: Redis, channel: str) -> int:
    reply = redis.command("PUBSUB", "NUMSUB", channel)
    assert isinstance(reply, list)
    return int(reply[1])


def test_whatOneSendsAllGet(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/chat$ websocket:subscribe=chat,publish=chat")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client(server, "/chat")) for _ in range(5)]
        for number, sender in enumerate(clients):
            sender.send(f"from {number}: ä€🎉")
            assert {one.recv(PATIENCE) for one in clients} == {f"from {number}: ä€🎉"}
        assert redis.publish("chat", "from Redis") == 1
        redis.commands([("PUBLISH", "chat", f"{number}") for number in range(100)])
        for one in clients:
            assert [one.recv(PATIENCE) for _ in range(101)] == ["from Redis", *map(str, range(100))]
    until(lambda: not subscribers(redis, "chat"), "the subscription to end")


def test_theBareForm(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/news$ websocket:news")
    with client(server, "/news") as one:
        until(lambda: redis.publish("news", "hello"), "the subscription")
        assert one.recv(PATIENCE) == "hello"
        one.send("hello, server")
        code, reason = closed(one)
        assert (code, bool(reason)) == (1003, True)


def test_affixesAreForWhatIsPublished(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(
        redis, "^/chat$ websocket:subscribe=down,publish=up,prefix=${qs[name]}:,suffix=!", "^/x$ websocket:publish=up"
    )
    with Subscription(redis, "up") as up, client(server, "/chat?name=%C3%84nn,publish=x") as one:
        # ${qs[...]} is as the client wrote it.
        one.send("hello")
        assert up.payload() == b"%C3%84nn,publish=x:hello!"
        one.send(b"\xff\0")
        assert up.payload() == b"%C3%84nn,publish=x:\xff\0!"
        one.send("")
        assert up.payload() == b"%C3%84nn,publish=x:!"
        redis.publish("down", "bare")
        assert one.recv(PATIENCE) == "bare"
        with client(server, "/x") as other:
            other.send(["in ", "pieces"])
            assert up.payload() == b"in pieces"


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ("auto", ["text ä", b"\xff\xfe", ""]),
        ("text", ["text ä", "\ufffd\ufffd", ""]),
        ("binary", ["text ä".encode(), b"\xff\xfe", b""]),
    ],
)
def test_kindsOfFrames(twistd: ServerFactory, redis: Redis, frames: str, expected: list[str | bytes]) -> None:
    server = twistd.withRedis(redis, f". websocket:subscribe=a;b,publish=b,frames={frames}")
    with client(server) as one:
        until(lambda: subscribers(redis, "a") and subscribers(redis, "b"), "the subscription")
        redis.commands([("PUBLISH", "a", "text ä"), ("PUBLISH", "b", b"\xff\xfe"), ("PUBLISH", "a", "")])
        assert [one.recv(PATIENCE) for _ in range(3)] == expected
        # From other clients, too: the kind of the sender's frame says nothing.
        one.send(b"text")
        one.send("text")
        assert {one.recv(PATIENCE) for _ in range(2)} == {"text" if frames != "binary" else b"text"}


def test_retainedValuesComeFirst(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/all$ websocket:a;b", "^/new$ websocket:subscribe=a,retained=0")
    redis.command("SET", "a:retained", "kept")
    with client(server, "/all") as one, client(server, "/new") as other:
        assert one.recv(PATIENCE) == "kept"
        until(lambda: redis.publish("a", "new"), "the subscription")
        assert one.recv(PATIENCE) == "new"
        assert other.recv(PATIENCE) == "new"


def test_compressedFramesAreShared(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, ". websocket:subscribe=chat,publish=chat,compress=1,max_message=1m")
    text = "all work and no play " * 1000
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client(server, compression="deflate")) for _ in range(3)]
        clients.append(stack.enter_context(client(server)))
        for bits in (8, 9, 15):
            factory = ClientPerMessageDeflateFactory(server_max_window_bits=bits)
            clients.append(stack.enter_context(client(server, extensions=[factory])))
        raws = [Raw.open(server.port, "/", "Sec-WebSocket-Extensions: permessage-deflate") for _ in range(2)]
        for raw in raws:
            stack.enter_context(raw)
        until(lambda: subscribers(redis, "chat"), "the subscription")
        for sender in clients:
            sender.send(text)
            assert {one.recv(PATIENCE) for one in clients} == {text}
        for message in ("", "x", b"\xff" * 70000, text):
            redis.publish("chat", message)
            assert {one.recv(PATIENCE) for one in clients} == {message}
        received = [[raw.frame() for _ in range(len(clients) + 4)] for raw in raws]
        assert received[0] == received[1]
        assert max(len(payload) for _, payload in received[0]) < 500
        assert {first for first, _ in received[0]} == {FIN | 0x40 | TEXT, FIN | 0x40 | BINARY}


def test_withoutCompressItIsDeclined(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, ". websocket:subscribe=chat,publish=chat")
    with client(server, compression="deflate") as one:
        assert not one.protocol.extensions
        one.send("plain")
        assert one.recv(PATIENCE) == "plain"


def test_protocols(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, ". websocket:subscribe=x,protocols=v2.chat;v1.chat")
    for offered, chosen in (
        (["v1.chat", "v2.chat"], "v2.chat"),
        (["v0.chat", "v1.chat"], "v1.chat"),
        (["other"], None),
        ([], None),
    ):
        with client(server, subprotocols=[Subprotocol(name) for name in offered]) as one:
            assert one.subprotocol == chosen
    with Raw.open(server.port, "/", "Sec-WebSocket-Protocol: x", "Sec-WebSocket-Protocol: v1.chat") as raw:
        assert b"Sec-WebSocket-Protocol: v1.chat" in raw.head


def test_origins(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(
        redis,
        "^/own websocket:x",
        "^/friends websocket:subscribe=x,origins=https://www.example.com https://example.org",
        "^/any websocket:subscribe=x,origins=*",
    )
    own, friend, other = "http://127.0.0.1", "https://www.example.com", "https://evil.example"
    for path, allowed in (("/own", {own}), ("/friends", {own, friend}), ("/any", {own, friend, other, "null"})):
        for origin in (own, friend, other, "null"):
            if origin in allowed:
                assert handshake(server, path, f"Origin: {origin}") == 101
            else:
                assert handshake(server, path, f"Origin: {origin}") == 403
        # Programs send none.
        assert handshake(server, path) == 101
    compatible = twistd.start("[uwsgi]\nplugin = realtime\nroute = . websocket:x\n", "--broker", "memory:")
    assert handshake(compatible, "/", f"Origin: {other}") == 101


def test_tooManyMessages(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, ". websocket:subscribe=x,publish=x,rate=10")
    with Subscription(redis, "x") as subscription, Raw.open(server.port) as one:
        # Two seconds of the rate may come at once.
        one.send(b"".join(frame(TEXT, b"%d" % number) for number in range(100)))
        while (received := one.frame())[0] == FIN | TEXT:
            pass
        assert received[0] == FIN | CLOSE
        assert received[1].startswith(struct.pack("!H", 1008))
        assert len(received[1]) > 2
        assert [subscription.payload() for _ in range(20)] == [b"%d" % number for number in range(20)]
        # It is each client's own.
        with client(server) as other:
            other.send("the next")
            assert other.recv(PATIENCE) == "the next"


def lazy(server: Server, path: str = "/") -> Raw:
    """A client with small buffers that does not read for now."""
    raw = Raw.__new__(Raw)
    raw._socket = socket.socket()
    raw._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw._socket.settimeout(PATIENCE)
    raw._socket.connect(("127.0.0.1", server.port))
    raw.received = b""
    raw.send(request(path))
    assert raw.readHead().startswith(b"HTTP/1.1 101 ")
    return raw


def numbered(redis: Redis, count: int, size: int = 50_000) -> None:
    """Publish many large messages that begin with their number."""
    for number in range(count):
        redis.publish("x", b"%06d" % number + b"." * size)


def test_aSlowReaderIsClosed(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, ". websocket:subscribe=x,buffer=200k,slow=close")
    with lazy(server) as slow, client(server, max_size=None) as quick:
        before = server.memory()
        until(lambda: subscribers(redis, "x"), "the subscription")
        for number in range(300):
            redis.publish("x", b"%06d" % number + b"." * 50_000)
            assert int(quick.recv(PATIENCE)[:6]) == number
        assert server.memory() - before < 8 << 20
        numbers = []
        while (received := slow.frame())[0] == FIN | TEXT:
            assert len(received[1]) == 50_006
            numbers.append(int(received[1][:6]))
        assert numbers == [*range(len(numbers))]
        assert 0 < len(numbers) < 300
        assert received[0] == FIN | CLOSE
        assert received[1].startswith(struct.pack("!H", 1008))
        assert len(received[1]) > 2


def test_aSlowReaderThatNeverReadsIsCut(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, ". websocket:subscribe=x,buffer=100k")
    with lazy(server):
        until(lambda: subscribers(redis, "x"), "the subscription")
        numbered(redis, 300)
        until(lambda: not established(server), "the connection to be cut")


def established(server: Server) -> int:
    """The server's open connections from clients, from the kernel's table."""
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if local.endswith(f":{server.port:04X}") and state not in ("0A", "06"):
            count += 1
    return count


def test_aSlowReaderMissesMessages(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, ". websocket:subscribe=x,buffer=200k,slow=drop")
    with lazy(server) as slow:
        before = server.memory()
        until(lambda: subscribers(redis, "x"), "the subscription")
        numbered(redis, 300)
        assert server.memory() - before < 8 << 20
        numbers = [int(slow.frame()[1][:6])]
        while numbers[-1] != 999_999:
            redis.publish("x", "999999end")
            first, payload = slow.frame()
            assert first == FIN | TEXT
            assert len(payload) in (9, 50_006)
            numbers.append(int(payload[:6]))
        assert numbers == sorted(numbers)
        assert len(numbers) < 300
        assert slow.echoed(frame(PING, b"?"))[0] in (FIN | PONG, FIN | TEXT)


def test_pingsAndTheClientThatNeverAnswers(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, ". websocket:subscribe=x,ping=1,pong_timeout=1")
    with Raw.open(server.port) as good, Raw.open(server.port) as bad, Raw.open(server.port) as talks:
        for _ in range(4):
            assert good.frame() == (FIN | PING, b"")
            good.send(frame(PONG))
            # Anything that is heard of a client is a sign of life.
            assert talks.frame() == (FIN | PING, b"")
            talks.send(frame(PING, b"x"))
            assert talks.frame() == (FIN | PONG, b"x")
        assert bad.frame() == (FIN | PING, b"")
        with pytest.raises((ConnectionResetError, AssertionError)):
            bad.frame()


def test_aPongTimeoutLongerThanTheInterval(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, ". websocket:subscribe=x,ping=1,pong_timeout=3")
    with Raw.open(server.port) as good, Raw.open(server.port) as bad:
        for _ in range(5):
            assert good.frame() == (FIN | PING, b"")
            good.send(frame(PONG))
        assert bad.frame() == (FIN | PING, b"")
        with pytest.raises((ConnectionResetError, AssertionError)):
            bad.frame()


def test_stoppingSaysGoodbye(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, ". websocket:subscribe=x,publish=x,compress=1")
    with client(server) as one, client(server, compression="deflate") as two, Raw.open(server.port) as rude:
        until(lambda: subscribers(redis, "x"), "the subscription")
        server.process.send_signal(signal.SIGTERM)
        for each in (one, two):
            code, reason = closed(each)
            assert (code, bool(reason)) == (1001, True)
        # This one does not answer, and has its time to do so.
        first, payload = rude.frame()
        assert (first, payload[:2]) == (FIN | CLOSE, struct.pack("!H", 1001))
    assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)


def test_theBrokerIsAway(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(
        redis,
        "^/close websocket:subscribe=x,publish=x",
        "^/drop websocket:subscribe=x,publish=x,publish_failure=drop",
        "^/read websocket:subscribe=x",
    )
    with client(server, "/close") as close_, client(server, "/drop") as drop, client(server, "/read") as read:
        drop.send("before")
        assert [one.recv(PATIENCE) for one in (close_, drop, read)] == ["before"] * 3
        redis.kill()
        server.logged("is away")
        close_.send("lost")
        code, reason = closed(close_)
        assert (code, bool(reason)) == (1013, True)
        for _ in range(10):
            drop.send("lost, too")
        drop.ping().wait(PATIENCE)
        redis.start()

        def back() -> bool:
            drop.send("after")
            try:
                return drop.recv(0.2) == "after"
            except TimeoutError:
                return False

        until(back, "a message through the new broker")
        assert read.recv(PATIENCE) == "after"


def test_aFloodWhileRedisIsSuspended(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, ". websocket:publish=x,ping=1,pong_timeout=1")
    one = frame(BINARY, b"x" * 50)
    with Subscription(redis, "x") as subscription, Raw.open(server.port) as raw:
        raw.send(one)
        assert len(subscription.payload()) == 50
        before = server.memory()
        redis.suspend()
        try:
            sent = raw.sendWhileItGoes(one * 100, 64 << 20, 2.5)
        finally:
            redis.resume()
        assert sent < 64 << 20, "the client was never held up"
        assert server.memory() - before < 24 << 20
        # Nothing was lost, and it goes on, although it could not answer a ping.
        if sent % len(one):
            raw.send(one[sent % len(one) :])
        raw.send(frame(TEXT, b"end"))
        for _ in range(-(-sent // len(one))):
            assert len(subscription.payload()) == 50
        assert subscription.payload() == b"end"


def test_aCompressedFloodWhileRedisIsSuspended(twistd: ServerFactory, redis: Redis) -> None:
    """A quarter of a megabyte out of each 300 bytes: one read of the socket would be fifty megabytes."""
    server = twistd.withRedis(redis, ". websocket:publish=x,compress=1,max_message=1m")
    one = frame(BINARY, squeezed(bytes(1 << 18)), rsv=4)
    with (
        Subscription(redis, "x") as subscription,
        Raw.open(server.port, "/", "Sec-WebSocket-Extensions: permessage-deflate") as raw,
    ):
        raw.send(one)
        assert len(subscription.payload()) == 1 << 18
        before = server.memory()
        redis.suspend()
        try:
            assert raw.sendWhileItGoes(one * 100, 64 << 20) < 64 << 20, "the client was never held up"
            assert server.memory() - before < 24 << 20
        finally:
            redis.kill()
        # The rest of what it has sent is read, but not for ever.
        first, payload = raw.frame()
        assert (first, payload[:2]) == (FIN | CLOSE, struct.pack("!H", 1013))


@pytest.mark.parametrize("limit", ["max-connections", "max-connections-per-ip"])
def test_placesAreGivenBack(twistd: ServerFactory, limit: str) -> None:
    server = twistd.start(f"[realtime]\n{limit} = 3\nroute = ^/ws websocket:subscribe=x,publish=x\n")
    for ending in ("close", "vanish", "violate"):
        until(lambda: not established(server), "the server to close all connections")
        held = [Raw.open(server.port, "/ws") for _ in range(3)]
        with Raw(server.port, request("/ws")) as refused:
            assert refused.readHead().split(b" ")[1] in (b"503", b"429")
        for raw in held:
            with raw:
                if ending != "vanish":
                    raw.send(close(1000) if ending == "close" else frame(3))
                    raw.closing()
    until(lambda: not established(server), "the server to close all connections")
    Raw.open(server.port, "/ws").close()


def test_overTLS(twistd: ServerFactory, redis: Redis, tmp_path: Path) -> None:
    certificate = Certificate(tmp_path)
    port = freePort()
    server = twistd.withRedis(
        redis,
        ". websocket:subscribe=x,publish=x,compress=1,max_message=1m",
        arguments=["--listen", certificate.endpoint(port)],
    )

    def opened(**options: Any) -> Any:
        return connectSecurely(
            f"wss://127.0.0.1:{port}/", ssl=certificate.context(), open_timeout=PATIENCE, max_size=None, **options
        )

    async def closing(connection: Any) -> int:
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
        assert caught.value.rcvd is not None
        return caught.value.rcvd.code

    async def talk() -> None:
        async with opened() as one, opened(compression=None) as two, opened() as three:
            for message in ("hello", b"\xff" * 300_000, "ä" * 200_000, ""):
                await two.send(message)
                assert [await each.recv() for each in (one, two, three)] == [message] * 3
            await one.send(os.urandom((1 << 20) + 1))
            assert await closing(one) == 1009
            two.transport.write(frame(PING, b"x", fin=False))
            assert await closing(two) == 1002
            await three.send("still here")
            assert await three.recv() == "still here"
        async with opened() as four:
            await four.send("x")
            assert await four.recv() == "x"
            server.process.terminate()
            assert await closing(four) == 1001

    # The library's other client uses one SSL object in two threads, and hangs now and then.
    asyncio.run(asyncio.wait_for(talk(), PATIENCE))
    assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)


def test_overHTTP2ThereIsNone(twistd: ServerFactory, redis: Redis, tmp_path: Path) -> None:
    certificate = Certificate(tmp_path)
    port = freePort()
    twistd.withRedis(redis, ". websocket:x", arguments=["--listen", certificate.endpoint(port)])
    with httpx.Client(http2=True, verify=certificate.context("h2"), timeout=PATIENCE) as http:
        answer = http.get(f"https://127.0.0.1:{port}/")
        assert (answer.http_version, answer.status_code) == ("HTTP/2", 426)
        assert answer.headers["Sec-WebSocket-Version"] == "13"


# In other sites


def embedded(reactor: Any, url: str, port: str) -> Deferred[None]:
    """A stock Twisted site, a program of its own."""
    hub = Hub.fromURL(url)

    def shout(connection: WebSocketConnection, payload: bytes, isBinary: bool) -> None:
        if payload == b"fail":
            raise RuntimeError("as handlers do")
        connection.send(payload.upper(), isBinary)
        hub.publish("heard", payload)

    root = Resource()
    root.putChild(b"chat", WebSocketResource(hub, "chat", "chat"))
    root.putChild(b"shout", WebSocketResource(hub, on_message=shout))
    serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1").listen(Site(root))
    print("listening", flush=True)
    return Deferred()


def test_inAStockSite(redis: Redis, tmp_path: Path) -> None:
    port = freePort()
    # Not among the servers' logs: a traceback belongs into this one.
    log = tmp_path / "embedded.log"
    with (
        open(log, "ab") as output,
        subprocess.Popen(
            [sys.executable, "-m", __name__, redis.url, str(port)], stdout=output, stderr=output, cwd=ROOT
        ) as process,
    ):
        try:
            until(lambda: b"listening" in log.read_bytes(), "the site")
            url = f"ws://127.0.0.1:{port}"
            with connect(f"{url}/chat") as one, connect(f"{url}/chat") as two, connect(f"{url}/shout") as three:
                until(lambda: subscribers(redis, "chat"), "the subscription")
                one.send("hello")
                assert [one.recv(PATIENCE), two.recv(PATIENCE)] == ["hello", "hello"]
                with Subscription(redis, "heard") as heard:
                    three.send("hey")
                    assert three.recv(PATIENCE) == "HEY"
                    assert heard.payload() == b"hey"
                assert b"Traceback" not in log.read_bytes()
                three.send("fail")
                assert closed(three)[0] == 1011
            assert httpx.get(f"http://127.0.0.1:{port}/chat").status_code == 426
            with connect(f"{url}/shout") as four:
                four.send(b"still here")
                assert four.recv(PATIENCE) == b"STILL HERE"
        finally:
            process.terminate()


if __name__ == "__main__":
    react(embedded, sys.argv[1:])
