"""What the server does not put up with: too many connections, slow, endless, oversized and malformed requests."""

import http.client
import json
import re
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.integration.support import PATIENCE, Server, ServerFactory, until
from tests.integration.wire import Wire, converse, get

ROUTES = """\
[realtime]
{settings}
static-map = /files={directory}
route = ^/events$ sse:subscribe=news
route = ^/publish$ publish:channel=news,max_message=1000
route = ^/large$ publish:channel=news,max_message=100m
route = ^/in$ istream:publish=news,max_message=1000
"""


def start(twistd: ServerFactory, *settings: str) -> Server:
    """A server with the embedded broker and a file at ``/files/hello.txt``."""
    directory = twistd.directory / "files"
    directory.mkdir()
    (directory / "hello.txt").write_text("hello")
    (directory / "long.bin").write_bytes(b"x" * 20_000_000)
    return twistd.start(ROUTES.format(settings="\n".join(settings), directory=directory))


@pytest.fixture(scope="module")
def server(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the defaults for many tests: each of them leaves it as it was."""
    factory = ServerFactory(logs, tmp_path_factory.mktemp("limits"))
    yield start(factory)
    factory.stop()


def hello(version: str = "HTTP/1.1") -> bytes:
    return get("/files/hello.txt", version)


def post(path: str, *headers: str, method: str = "POST") -> bytes:
    """The head of a request with a body."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", "")).encode()


def status(response: bytes) -> int:
    """The status of the first response in these bytes."""
    assert response.startswith(b"HTTP/1."), response[:200]
    return int(response.split(b" ", 2)[1])


def body(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]


def untilNoConnections(server: Server) -> None:
    until(lambda: not server.connections(), "the server to close all connections")


def assertFine(server: Server) -> None:
    """It serves, nothing is left of earlier clients, and there is no traceback in its log."""
    untilNoConnections(server)
    assert server.get("/files/hello.txt").body == b"hello"
    log = server.log.read_text(errors="replace")
    assert "Traceback" not in log, log
    assert "Unhandled" not in log, log


# How many


def silent(server: Server) -> Wire:
    """A connection that says nothing. It is accepted before those that come later."""
    return Wire(server)


def idle(server: Server) -> Wire:
    """A connection that is kept open after a response."""
    wire = Wire(server, hello())
    wire.readUntil(b"hello")
    return wire


def streaming(server: Server) -> Wire:
    """A connection that was detached from its request."""
    wire = Wire(server, get("/events"))
    wire.readUntil(b": ok\n\n")
    return wire


def sending(server: Server) -> Wire:
    """A connection in the middle of its request's body."""
    wire = Wire(server, post("/in", "Transfer-Encoding: chunked", "Expect: 100-continue"))
    wire.readUntil(b"100 Continue\r\n\r\n")
    return wire


@pytest.mark.parametrize(
    ("setting", "code", "text"),
    [
        ("max-connections = 3", 503, b"the server has all the connections it may have\n"),
        ("max-connections-per-ip = 3", 429, b"your address has all the connections it may have\n"),
    ],
)
def test_connectionsOverTheLimitAreToldSoAndPlacesAreGivenBack(
    twistd: ServerFactory, setting: str, code: int, text: bytes
) -> None:
    server = start(twistd, setting)
    kinds: list[Callable[[Server], Wire]] = [silent, idle, streaming, sending]
    for kind in kinds:
        # Twice: places that are not given back would be missed the second time.
        for _ in range(2):
            untilNoConnections(server)
            with ExitStack() as stack:
                for _ in range(3):
                    stack.enter_context(kind(server))
                for request in (hello(), get("/events"), post("/publish", "Content-Length: 5") + b"hello"):
                    refused = converse(server, request)
                    assert (status(refused), body(refused)) == (code, text), kind
                    assert b"\r\nRetry-After: 5\r\n" in refused
                rtsp = converse(server, b"OPTIONS rtsp://localhost/x RTSP/1.0\r\nCSeq: 7\r\n\r\n")
                assert rtsp.startswith(b"RTSP/1.0 503 ")
                assert b"\r\nCSeq: 7\r\n" in rtsp
    assertFine(server)


def test_limitPerAddressLeavesOtherAddressesAlone(twistd: ServerFactory) -> None:
    server = start(twistd, "max-connections-per-ip = 1")

    def ask(address: str) -> int:
        client = http.client.HTTPConnection("127.0.0.1", server.port, PATIENCE, source_address=(address, 0))
        try:
            client.request("GET", "/files/hello.txt")
            return client.getresponse().status
        finally:
            client.close()

    untilNoConnections(server)
    with streaming(server):
        assert ask("127.0.0.1") == 429
        assert ask("127.0.0.2") == 200
    untilNoConnections(server)
    assert ask("127.0.0.1") == 200


# How slow


def trickle(wire: Wire, data: bytes, most: float = PATIENCE) -> bytes:
    """
    Send a byte every 0.3 s, over and over, until the server has something to say.

    :return: all that the server said, up to the end of the connection.
    """
    deadline = time.monotonic() + most
    position = 0
    while not select.select([wire.socket], [], [], 0.3)[0]:
        assert time.monotonic() < deadline, "the server listens to this for ever"
        with suppress(ConnectionError):
            wire.send(data[position % len(data) :][:1])
        position += 1
    return wire.readToEnd()


@pytest.mark.parametrize(
    ("beginning", "trickled", "code"),
    [
        (b"", b"GET /files/hello.txt", None),
        (b"GET /files/hello.txt HTTP/1.1\r\n", b"X-Header: value\r\n", 408),
        (b"GET /files/hello.txt HTTP/1.1\r\nHost: x\r\nX-Header: ", b"v", 408),
        (b"", b"\r\n", None),
    ],
    ids=["first line", "headers", "one header", "blank lines"],
)
def test_aHeadThatTricklesInMeetsItsDeadline(
    twistd: ServerFactory, beginning: bytes, trickled: bytes, code: int | None
) -> None:
    server = start(twistd, "header-timeout = 1s")
    with Wire(server, beginning) as wire:
        began = time.monotonic()
        answer = trickle(wire, trickled, 10)
        assert time.monotonic() - began >= 0.9
        assert (status(answer) if answer else None) == code
    # The same for a later request on a connection.
    with idle(server) as wire:
        wire.take()
        wire.send(beginning)
        answer = trickle(wire, trickled, 10)
        # Between requests one blank line may be too many, a second one is.
        assert (status(answer) if answer else None) in (code, 400 if trickled == b"\r\n" else code)
    assertFine(server)


def test_aSilentConnectionIsClosed(twistd: ServerFactory) -> None:
    server = start(twistd, "header-timeout = 500ms")
    with Wire(server) as wire:
        assert wire.readToEnd() == b""
    assertFine(server)


def test_aKeptConnectionIsClosedWhenItStaysIdle(twistd: ServerFactory) -> None:
    server = start(twistd, "idle-timeout = 2s")
    with idle(server) as wire:
        for _ in range(3):
            wire.take()
            # Used again in time, it lives on. All these times together are longer than the timeout.
            assert not select.select([wire.socket], [], [], 0.7)[0]
            wire.send(hello())
            assert status(wire.readUntil(b"hello")) == 200
        wire.take()
        assert wire.readToEnd() == b""
    assertFine(server)


@pytest.mark.parametrize("path", ["/publish", "/in"])
def test_aBodyThatStopsIsGivenUp(twistd: ServerFactory, path: str) -> None:
    server = start(twistd, "idle-timeout = 1s")
    with Wire(server, post(path, "Content-Length: 100") + b"hello") as wire:
        assert wire.readToEnd() == b""
    assertFine(server)


def test_aBodyThatComesSlowlyAndStreamsThatAreSilentAreNotIdle(twistd: ServerFactory) -> None:
    server = start(twistd, "idle-timeout = 2s", "header-timeout = 1s")
    with streaming(server) as stream, Wire(server, post("/in", "Transfer-Encoding: chunked")) as sender:
        for number in range(8):
            assert not select.select([sender.socket], [], [], 0.3)[0]
            sender.send(b"1\r\n%d\r\n" % number)
        sender.send(b"0\r\n\r\n")
        answer = json.loads(body(sender.readUntil(b"}\n")))
        assert answer == {"channel": "news", "messages": 8, "bytes": 8}
        stream.readUntil(b"data: 7\n\n")
        # Nothing has been said on it for longer than the idle timeout now, in either direction.
        assert not select.select([stream.socket], [], [], 2.5)[0]
        assert server.request("POST", "/publish", b"still there").status == 200
        stream.readUntil(b"data: still there\n\n")
    assertFine(server)


# How large


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 20_000),
        b"GET /%b" % (b"a" * 1_000_000),
        b"a" * 1_000_000,
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: %b\r\n\r\n" % (b"a" * 20_000),
        b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % (b"X-Header: 0123456789\r\n" * 1000),
        b"GET / HTTP/1.1\r\nHost: x\r\n%b" % (b"X-Header: 0123456789\r\n" * 50_000),
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Folded: a\r\n%b\r\n" % (b" 0123456789\r\n" * 50_000),
        b"\r\n" * 500_000,
    ],
    ids=["line", "endless line", "garbage", "header", "headers", "endless headers", "folded header", "blank lines"],
)
def test_oversizedHeadsAreRefused(server: Server, request_: bytes) -> None:
    with Wire(server) as wire:
        with suppress(ConnectionError):
            wire.send(request_)
        answer = wire.readToEnd()
        assert status(answer) in (400, 414, 431)
        assert answer.count(b"HTTP/1.1") == 1
    assertFine(server)


def test_aBodyThatIsAnnouncedTooLargeIsRefusedBeforeItComes(twistd: ServerFactory) -> None:
    server = start(twistd, "max-body = 2000")
    for path in ("/publish", "/publish?query"):
        with Wire(server, post(path, "Content-Length: 1001")) as wire:
            answer = wire.readUntil(b"bytes\n")
            assert (status(answer), body(answer)) == (413, b"the body may have 1000 bytes\n")
            assert b"\r\nConnection: close\r\n" in answer
            # The client goes on all the same, and has no reason to know better.
            wire.send(b"x" * 1001)
            assert wire.readToEnd() == answer
    assertFine(server)


@pytest.mark.parametrize(
    ("path", "framing"),
    # Without chunks a stream has no messages that could be too large.
    [("/publish", "length"), ("/publish", "chunks"), ("/publish", "one chunk"), ("/in", "one chunk")],
)
def test_aClientThatSendsTooMuchCanReadTheAnswer(server: Server, path: str, framing: str) -> None:
    size = 700_000
    if framing == "length":
        request = post(path, f"Content-Length: {size}") + b"x" * size
    elif framing == "chunks":
        request = post(path, "Transfer-Encoding: chunked") + b"64\r\n%b\r\n" % (b"x" * 100) * (size // 100)
    else:
        request = post(path, "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n" % (size, b"x" * size)
    if "chunk" in framing:
        request += b"0\r\n\r\n"
    # It reads only after it has sent everything.
    with Wire(server, request) as wire:
        answer = wire.readToEnd()
        assert status(answer) == 413
        assert body(answer).endswith(b"1000 bytes\n")
        assert answer.count(b"HTTP/1.1") == 1
    assertFine(server)


def test_aClientThatNeverStopsSendingIsCut(server: Server) -> None:
    with Wire(server, post("/publish", "Content-Length: 100000000")) as wire:
        with pytest.raises(ConnectionError):
            wire.send(b"x" * 100_000_000)
        assert status(wire.readToEnd()) == 413
    assertFine(server)


def test_largeBodiesThatAreAllowedArrive(server: Server) -> None:
    with Wire(server, get("/events", "HTTP/1.0")) as stream:
        stream.readUntil(b": ok\n\n")
        assert server.request("POST", "/large", b"x" * 5_000_000 + b".").status == 200
        stream.readUntil(b"x.\n\n")
        assert len(body(stream.received)) == len(b": ok\n\ndata: \n\n") + 5_000_001
    assertFine(server)


# What is malformed


BAD_HEADS = {
    "nul in a value": b"GET /files/hello.txt HTTP/1.1\r\nHost: x\r\nX-A: b\0c\r\n\r\n",
    "nul in a name": b"GET /files/hello.txt HTTP/1.1\r\nHost: x\r\nX\0A: b\r\n\r\n",
    "nul in the first line": b"GET /files/\0hello.txt HTTP/1.1\r\nHost: x\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    "blank before colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "folded first header": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "one word": b"GET\r\n\r\n",
    "two words": b"GET /\r\n\r\n",
    "four words": b"GET / HTTP/1.1 x\r\n\r\n",
    "unknown version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "no version at all": b"GET / XYZ\r\nHost: x\r\n\r\n",
    "bad method": b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "client hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "not ascii": "GÉT / HTTP/1.1\r\n\r\n".encode(),
    "other bytes": bytes(range(128, 256)) + b"\r\n\r\n",
}

BAD_BODIES = {
    "length and chunks": post("/publish", "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunks and length": post("/publish", "Transfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n",
    "two lengths": post("/publish", "Content-Length: 5", "Content-Length: 6") + b"hello!",
    "negative length": post("/publish", "Content-Length: -5") + b"hello",
    "signed length": post("/publish", "Content-Length: +5") + b"hello",
    "hexadecimal length": post("/publish", "Content-Length: 0x5") + b"hello",
    "underscore in length": post("/publish", "Content-Length: 1_0") + b"hellohello",
    "unknown coding": post("/publish", "Transfer-Encoding: gzip") + b"hello",
    "chunked twice": post("/publish", "Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "size is no number": post("/publish", "Transfer-Encoding: chunked") + b"zz\r\nhello\r\n0\r\n\r\n",
    "size is empty": post("/publish", "Transfer-Encoding: chunked") + b"\r\nhello\r\n0\r\n\r\n",
    "size is negative": post("/publish", "Transfer-Encoding: chunked") + b"-5\r\nhello\r\n0\r\n\r\n",
    "chunk too long": post("/publish", "Transfer-Encoding: chunked") + b"5\r\nhello world\r\n0\r\n\r\n",
    "chunk line endless": post("/publish", "Transfer-Encoding: chunked") + b"5;" + b"x" * 100_000,
    "size is huge": post("/publish", "Transfer-Encoding: chunked") + b"f" * 17 + b"\r\n" + b"x" * 1_500_000,
    "trailer endless": post("/publish", "Transfer-Encoding: chunked") + b"0\r\n" + b"X: y\r\n" * 100_000,
}


@pytest.mark.parametrize("name", BAD_HEADS)
def test_malformedHeadsAreRefused(server: Server, name: str) -> None:
    with Wire(server) as wire:
        with suppress(ConnectionError):
            wire.send(BAD_HEADS[name])
        answer = wire.readToEnd()
        assert status(answer) in (400, 404, 405, 501, 505)
        assert answer.count(b"HTTP/1.1") == 1
    assertFine(server)


@pytest.mark.parametrize("path", [b"/publish", b"/in"])
@pytest.mark.parametrize("name", BAD_BODIES)
def test_malformedBodiesAreRefusedAndNotPublished(server: Server, name: str, path: bytes) -> None:
    with streaming(server) as stream:
        with Wire(server) as wire:
            with suppress(ConnectionError):
                wire.send(BAD_BODIES[name].replace(b"/publish", path))
            answer = wire.readToEnd()
            assert status(answer) in (400, 413, 501)
            assert answer.count(b"HTTP/1.1") == 1
        assert server.request("POST", "/publish", b"next").status == 200
        received = body(stream.readUntil(b"data: next\n\n"))
        if path == b"/publish":
            assert received.count(b"data:") == 1
    assertFine(server)


# Clients that go away


REQUESTS = {
    "publish": post("/publish", "Content-Length: 11") + b"hello world",
    "chunked publish": post("/publish", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    "istream": post("/in", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    "source": post("/in", method="SOURCE") + b"hello world",
    "refused": post("/publish", "Content-Length: 1011") + b"x" * 11,
    "sse": get("/events"),
    "file": hello(),
}


@pytest.mark.parametrize("way", ["end", "reset"])
@pytest.mark.parametrize("name", REQUESTS)
def test_clientsMayGoAtAnyPoint(server: Server, name: str, way: str) -> None:
    request = REQUESTS[name]
    with streaming(server) as witness:
        for cut in range(len(request) + 1):
            with Wire(server, request[:cut]) as wire:
                if way == "reset":
                    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if cut % 2:
                    # Not before the server has seen it: it answers others in between.
                    assert server.get("/files/hello.txt").status == 200
        until(lambda: server.connections() == 1, "the server to close all but one connection")
        # Those who stay are served as ever.
        assert server.request("POST", "/publish", b"the end").status == 200
        received = witness.readUntil(b"data: the end\n\n")
        if name == "publish":
            # Only a complete body is a message.
            assert received.count(b"data: hello world\n\n") == 1
            assert received.count(b"data: ") == 2
    assertFine(server)


def test_aClientThatGoesDuringALongAnswer(server: Server) -> None:
    for way in ("end", "reset"):
        with Wire(server, get("/files/long.bin")) as wire:
            wire.readUntil(b"xxx")
            if way == "reset":
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assertFine(server)


# One port


def test_rtspIsAnsweredInItsOwnProtocol(server: Server) -> None:
    for method in ("OPTIONS", "DESCRIBE", "ANNOUNCE"):
        answer = converse(server, f"{method} rtsp://localhost/camera RTSP/1.0\r\nCSeq: 42\r\n\r\n".encode())
        assert answer.startswith(b"RTSP/1.0 505 ")
        assert b"\r\nCSeq: 42\r\n" in answer
    assertFine(server)


def test_iceIsServedAsHTTP(server: Server) -> None:
    head = b"SOURCE /in ICE/1.0\r\ncontent-type: audio/mpeg\r\n\r\n"
    with streaming(server) as stream, Wire(server, head) as source:
        assert status(source.readUntil(b"\r\n\r\n")) == 200
        source.send(b"first")
        stream.readUntil(b"data: first\n\n")
        source.send(b"second")
        stream.readUntil(b"data: second\n\n")
    assertFine(server)


def test_optionsOfTheWholeServer(server: Server) -> None:
    with Wire(server, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n") as wire:
        answer = wire.readUntil(b"\r\n\r\n")
        assert status(answer) in (200, 204)
        # And the connection is of use afterwards.
        wire.take()
        wire.send(hello())
        assert status(wire.readUntil(b"hello")) == 200
    assertFine(server)


def test_aFirstLineMayComeInPiecesAndAfterABlankLine(server: Server) -> None:
    with Wire(server) as wire:
        for byte in b"\r\n" + hello():
            wire.send(bytes([byte]))
        assert status(wire.readUntil(b"hello")) == 200
    assertFine(server)


# Requests that share a connection


def test_pipelinedRequestsAreAnsweredInOrder(server: Server) -> None:
    requests = [
        hello(),
        post("/publish", "Content-Length: 5") + b"first",
        get("/nothing"),
        post("/in", "Transfer-Encoding: chunked") + b"6\r\nsecond\r\n0\r\n\r\n",
        post("/publish", "Transfer-Encoding: chunked") + b"5\r\nthird\r\n0\r\n\r\n",
        hello(),
        get("/events"),
    ]
    with streaming(server) as witness, Wire(server, b"".join(requests)) as wire:
        received = wire.readUntil(b": ok\n\n")
        assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"200", b"404", b"200", b"200", b"200", b"200"]
        witness.readUntil(b"data: third\n\n")
        order = [witness.received.index(word) for word in (b"first", b"second", b"third")]
        assert order == sorted(order)
        # The last one has become a stream.
        assert server.request("POST", "/publish", b"fourth").status == 200
        wire.readUntil(b"data: fourth\n\n")
    assertFine(server)


def test_requestsBehindAStreamAreIgnored(server: Server) -> None:
    with Wire(server, get("/events") + post("/publish", "Content-Length: 5") + b"never" + hello()) as wire:
        wire.readUntil(b": ok\n\n")
        wire.send(post("/publish", "Content-Length: 5") + b"never")
        assert server.request("POST", "/publish", b"other").status == 200
        assert b"never" not in wire.readUntil(b"data: other\n\n")
        assert wire.received.count(b"HTTP/1.1") == 1
    assertFine(server)


def test_requestsBehindARefusedBodyAreNotServed(server: Server) -> None:
    # What follows may be the body's rest in disguise.
    with streaming(server) as witness:
        refused = post("/publish", "Content-Length: 2000") + b"x" * 2000
        answer = converse(server, refused + post("/publish", "Content-Length: 5") + b"never")
        assert status(answer) == 413
        assert answer.count(b"HTTP/1.1") == 1
        assert server.request("POST", "/publish", b"other").status == 200
        assert b"never" not in witness.readUntil(b"data: other\n\n")
    assertFine(server)


EXPECT = "Expect: 100-continue"


@pytest.mark.parametrize("path", ["/publish", "/in"])
@pytest.mark.parametrize("chunked", [False, True])
def test_aBodyThatIsWantedIsAskedFor(server: Server, path: str, chunked: bool) -> None:
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 5"
    with Wire(server, post(path, framing, EXPECT)) as wire:
        assert wire.readUntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.take()
        wire.send(b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello")
        assert status(wire.readUntil(b"}\n")) == 200
    assertFine(server)


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (post("/publish", "Content-Length: 5000", EXPECT), 413),
        (post("/nothing", "Content-Length: 5", EXPECT), 404),
        (post("/events", "Content-Length: 5", EXPECT), 405),
        (post("/files/hello.txt", "Content-Length: 5", EXPECT), 405),
        (post("/publish", "Content-Length: 5", "Origin: https://elsewhere.example", EXPECT), 403),
        (post("/in", "Transfer-Encoding: chunked", "Origin: https://elsewhere.example", EXPECT), 403),
    ],
    ids=["413", "404", "405", "405 file", "403", "403 stream"],
)
def test_aBodyThatIsNotWantedIsNotAskedFor(server: Server, head: bytes, code: int) -> None:
    with Wire(server, head) as wire:
        answer = wire.readUntil(b"\r\n\r\n")
        assert status(answer) == code
        length = re.search(rb"\r\nContent-Length: (\d+)\r\n", answer)
        assert length is not None
        while len(body(wire.received)) < int(length[1]):
            assert wire.read()
        # A client that has its answer need not send the body; it may not use the connection for more.
        assert b"\r\nConnection: close\r\n" in answer
    assertFine(server)
