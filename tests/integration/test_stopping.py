"""How a server ends: everybody gets their goodbye, nobody holds it up, and the next one can start at once."""

import re
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from realtime_tw.codec.chunked import BodyEnd, ChunkedDecoder
from tests.integration.support import PATIENCE, Redis, Server, ServerFactory, until
from tests.integration.wire import Crowd, Wire, get

ROUTES = """\
[realtime]
broker = {broker}
{settings}
static-map = /files={directory}
route = ^/events$ sse:subscribe=news
route = ^/raw$ sseraw:subscribe=news
route = ^/stream$ stream:subscribe=news
route = ^/patient$ stream:subscribe=news,buffer=64m
route = ^/publish$ publish:news
route = ^/in$ istream:publish=news
"""


def start(twistd: ServerFactory, *settings: str, broker: str = "memory:") -> Server:
    directory = twistd.directory / "files"
    directory.mkdir(exist_ok=True)
    (directory / "hello.txt").write_text("hello")
    return twistd.start(ROUTES.format(broker=broker, settings="\n".join(settings), directory=directory))


def unchunked(response: bytes) -> tuple[bytes, bool]:
    """The body of a chunked response, and whether it has ended as it should."""
    events = ChunkedDecoder().receive(response.partition(b"\r\n\r\n")[2])
    body = b"".join(event.data for event in events if not isinstance(event, BodyEnd))
    return body, isinstance(events[-1], BodyEnd)


def assertEnded(server: Server, received: signal.Signals = signal.SIGTERM) -> str:
    """
    It has ended in order and without trouble, on this signal. Returns its log.

    twistd sends itself the signal again at the very end, as a program should whose parent wants to know what ended it.
    """
    assert server.process.wait(PATIENCE) == -received
    log = server.log.read_text(errors="replace")
    assert "Server Shut Down." in log, log
    assert "Traceback" not in log, log
    assert "Unhandled" not in log, log
    return log


def test_streamsEndProperlyAndEveryBrowserIsToldADelayOfItsOwn(twistd: ServerFactory) -> None:
    server = start(twistd)
    with Crowd(server, lambda _: get("/events"), 30) as crowd, Wire(server, get("/stream")) as stream:
        crowd.untilAll(lambda received: b": ok\n\n" in received, "the streams")
        stream.readUntil(b"\r\n\r\n")
        assert server.request("POST", "/publish", b"last words").status == 200
        server.process.terminate()
        until(lambda: crowd.pump(0.01) or crowd.lost == 30, "the streams' end")  # type: ignore[func-returns-value]
        delays = []
        for received in crowd.received:
            body, ended = unchunked(bytes(received))
            assert ended
            goodbye = re.fullmatch(rb": ok\n\ndata: last words\n\nretry: (\d+)\n\n", body)
            assert goodbye is not None, body
            delays.append(int(goodbye[1]))
        assert all(500 <= delay <= 5000 for delay in delays)
        assert len(set(delays)) > 20
        assert unchunked(stream.readToEnd()) == (b"last words", True)
    assertEnded(server)


def test_streamsOfHTTP10EndWithTheConnection(twistd: ServerFactory) -> None:
    server = start(twistd)
    with Wire(server, get("/events", "HTTP/1.0")) as wire:
        wire.readUntil(b": ok\n\n")
        server.process.terminate()
        assert re.search(rb"\r\n\r\n: ok\n\nretry: \d+\n\n$", wire.readToEnd())
    assertEnded(server)


def test_messagesOfOthersAreNotInterruptedByTheGoodbye(twistd: ServerFactory) -> None:
    # sseraw passes on what is published; a field of ours could end up in the middle of somebody's event.
    server = start(twistd)
    with Wire(server, get("/raw")) as wire:
        wire.readUntil(b"\r\n\r\n")
        assert server.request("POST", "/publish", b"data: begun\n").status == 200
        wire.readUntil(b"begun")
        server.process.terminate()
        assert unchunked(wire.readToEnd())[0].endswith(b"data: begun\n")
    assertEnded(server)


def test_idleConnectionsAreClosedAtOnce(twistd: ServerFactory) -> None:
    server = start(twistd)
    with Wire(server, get("/files/hello.txt")) as kept, Wire(server) as silent, Wire(server, b"GET /fi") as begun:
        kept.readUntil(b"hello")
        kept.take()
        assert server.get("/files/hello.txt").status == 200
        began = time.monotonic()
        server.process.terminate()
        for wire in (kept, silent, begun):
            assert wire.readToEnd() == b""
        assertEnded(server)
        # Not by the deadline of ten seconds.
        assert time.monotonic() - began < 8


def test_aStreamThatComesInIsAnswered503(twistd: ServerFactory) -> None:
    server = start(twistd)
    with (
        Wire(server, get("/stream", "HTTP/1.0")) as listener,
        Wire(server, b"POST /in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n") as sender,
    ):
        listener.readUntil(b"hello")
        server.process.terminate()
        answer = sender.readUntil(b"stopping\n")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 2\r\n" in answer
        assert b"\r\nConnection: close\r\n" in answer
        sender.close()
        listener.readToEnd()
    assertEnded(server)


def test_aSenderThatGoesOnDoesNotHoldTheServer(twistd: ServerFactory) -> None:
    server = start(twistd, "stop-timeout = 2s")
    with (
        Wire(server, get("/stream", "HTTP/1.0")) as listener,
        Wire(server, b"POST /in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n") as sender,
    ):
        began = time.monotonic()
        sender.send(b"5\r\nhello\r\n")
        listener.readUntil(b"hello")
        server.process.terminate()
        with suppress(ConnectionError):
            while time.monotonic() < began + PATIENCE:
                sender.send(b"5\r\nhello\r\n")
        assert sender.readToEnd().startswith(b"HTTP/1.1 503 ")
    assertEnded(server)


def test_aClientThatNeverReadsDoesNotHoldTheServer(twistd: ServerFactory) -> None:
    server = start(twistd, "stop-timeout = 2s")
    with Wire(server, get("/patient"), receiveBuffer=1 << 14) as stalled, Wire(server, get("/stream")) as reader:
        stalled.readUntil(b"\r\n\r\n")
        reader.readUntil(b"\r\n\r\n")
        for _ in range(12):
            assert server.request("POST", "/publish", b"x" * 900_000 + b"end").status == 200
            reader.take()
            reader.readUntil(b"end\r\n")
        began = time.monotonic()
        server.process.terminate()
        log = assertEnded(server)
        lasted = time.monotonic() - began
        print(f"stopped within {lasted:.1f} s")
        assert lasted < 8
        assert "cut 1 connections" in log


def test_requestsInProgressAreFinished(twistd: ServerFactory, redis: Redis) -> None:
    server = start(twistd, "stop-timeout = 15s", broker=redis.url)
    server.logged("(publisher)")
    with Wire(server, get("/files/hello.txt")) as kept:
        kept.readUntil(b"hello")
        redis.suspend()
        kept.send(b"POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        assert server.get("/files/hello.txt").status == 200
        server.process.terminate()
        server.logged("Received SIGTERM")
        redis.resume()
        assert b'{"channel": "news", "receivers": 0}\n' in kept.readToEnd()
    assertEnded(server)


@pytest.mark.parametrize("state", ["never there", "killed", "suspended"])
def test_aRedisThatIsAwayDoesNotHoldTheServer(twistd: ServerFactory, tmp_path: Path, state: str) -> None:
    redis = Redis(tmp_path / "redis")
    try:
        if state != "never there":
            redis.start()
        server = start(twistd, "stop-timeout = 3s", broker=redis.url)
        with Wire(server, get("/events")) as stream:
            stream.readUntil(b": ok\n\n")
            if state == "killed":
                redis.kill()
                server.logged("is away")
            elif state == "suspended":
                redis.suspend()
            began = time.monotonic()
            server.process.terminate()
            assert unchunked(stream.readToEnd())[1]
            assertEnded(server)
            lasted = time.monotonic() - began
            print(f"stopped within {lasted:.1f} s")
            assert lasted < 10
    finally:
        redis.kill()


def test_aSubscriptionThatWaitsForRedisGetsItsGoodbyeToo(twistd: ServerFactory, tmp_path: Path) -> None:
    # Stopped in the second in which the response's head is held back for the broker's word.
    server = start(twistd, broker=Redis(tmp_path / "redis").url)
    with Wire(server, get("/events")) as wire:
        assert server.get("/files/hello.txt").status == 200
        began = time.monotonic()
        server.process.terminate()
        assert unchunked(wire.readToEnd())[1]
        assertEnded(server)
        assert time.monotonic() - began < 8


def test_noNewClientsOnceItStops(twistd: ServerFactory) -> None:
    server = start(twistd, "stop-timeout = 3s")
    with Wire(server, get("/patient"), receiveBuffer=1 << 14) as stalled, Wire(server, get("/stream")) as reader:
        stalled.readUntil(b"\r\n\r\n")
        reader.readUntil(b"\r\n\r\n")
        for _ in range(12):
            assert server.request("POST", "/publish", b"x" * 900_000 + b"end").status == 200
            reader.take()
            reader.readUntil(b"end\r\n")
        server.process.terminate()
        reader.readToEnd()
        with pytest.raises(ConnectionRefusedError):
            Wire(server)
        assert server.process.poll() is None
    assertEnded(server)


def test_aSecondSignalDoesNotHurt(twistd: ServerFactory) -> None:
    server = start(twistd, "stop-timeout = 2s")
    with Wire(server, get("/events")) as wire:
        wire.readUntil(b": ok\n\n")
        server.process.terminate()
        server.process.terminate()
        wire.readToEnd()
    assertEnded(server)


def test_anInterruptIsAsGood(twistd: ServerFactory) -> None:
    server = start(twistd)
    with Wire(server, get("/events")) as wire:
        wire.readUntil(b": ok\n\n")
        server.process.send_signal(signal.SIGINT)
        assert unchunked(wire.readToEnd())[1]
    assertEnded(server, signal.SIGINT)


def test_theNextServerTakesTheSamePortAtOnce(twistd: ServerFactory) -> None:
    # With clients connected, and killed: the kernel keeps what is left of their connections for a minute.
    first = start(twistd)
    with Crowd(first, lambda _: get("/events"), 20) as crowd:
        crowd.untilAll(lambda received: b": ok\n\n" in received, "the streams")
        first.process.kill()
        first.process.wait()
        listen = f"tcp:{first.port}:interface=127.0.0.1"
        second = twistd.start("[realtime]\nroute = ^/events$ sse:subscribe=news\n", "--listen", listen)
        with Wire(first, get("/events")) as wire:
            wire.readUntil(b": ok\n\n")
        # The clients of the first have noticed.
        until(lambda: crowd.pump(0.01) or crowd.lost == 20, "the streams' end")  # type: ignore[func-returns-value]
    second.process.terminate()
    assertEnded(second)


def test_filesThatAreBeingSentAreSentToTheirEnd(twistd: ServerFactory) -> None:
    server = start(twistd)
    (twistd.directory / "files" / "long.bin").write_bytes(bytes(range(256)) * 40_000)
    with Wire(server, get("/files/long.bin"), receiveBuffer=1 << 14) as wire:
        wire.readUntil(b"\r\n\r\n")
        server.process.terminate()
        server.logged("Received SIGTERM")
        # Slowly, but within the time there is.
        assert not select.select([], [], [], 0.2)[0]
        assert wire.readToEnd().partition(b"\r\n\r\n")[2] == bytes(range(256)) * 40_000
    assertEnded(server)
