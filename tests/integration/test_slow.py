"""Readers that stop reading: their own policy meets them, the others and the memory do not notice."""

import hashlib
import select
from contextlib import ExitStack

import pytest

from realtime_tw.codec.chunked import BodyEnd, ChunkedDecoder
from tests.integration.support import Redis, Server, ServerFactory, until
from tests.integration.wire import Wire, get

#: A message's head: its number, its length, and a digest of what follows.
HEAD = 4 + 4 + 16

MIB = 1 << 20

ROUTES = """\
[realtime]
broker = {redis.url}
route = ^/close$ stream:subscribe=big,buffer=1m,slow=close
route = ^/drop$ stream:subscribe=big,buffer=1m,slow=drop
route = ^/fast$ stream:subscribe=big,buffer=64m
"""


def framed(number: int, size: int) -> bytes:
    """A message that shows when a byte of it is missing, doubled or somebody else's."""
    body = number.to_bytes(4, "big") * ((size - HEAD) // 4)
    return number.to_bytes(4, "big") + len(body).to_bytes(4, "big") + hashlib.md5(body).digest() + body


class Reader:
    """
    A client of ``stream`` that takes its messages apart and checks each.

    :ivar numbers: the numbers of the messages that have arrived whole.
    """

    def __init__(self, server: Server, path: str, version: str = "HTTP/1.1") -> None:
        # A small receive buffer of a fixed size: the kernel would grow it to several megabytes.
        self._wire = Wire(server, get(path, version), receiveBuffer=1 << 16)
        head, _, rest = self._wire.readUntil(b"\r\n\r\n").partition(b"\r\n\r\n")
        self._decoder = ChunkedDecoder() if b"chunked" in head else None
        self._buffer = bytearray()
        self.numbers: list[int] = []
        self._take(rest)

    def close(self) -> None:
        self._wire.close()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, data: bytes) -> None:
        if self._decoder is None:
            self._buffer += data
        else:
            for event in self._decoder.receive(data):
                assert not isinstance(event, BodyEnd)
                self._buffer += event.data
        while len(self._buffer) >= HEAD:
            end = HEAD + int.from_bytes(self._buffer[4:8], "big")
            if len(self._buffer) < end:
                break
            message = bytes(self._buffer[:end])
            assert hashlib.md5(message[HEAD:]).digest() == message[8:HEAD], "half a message"
            self.numbers.append(int.from_bytes(message[:4], "big"))
            del self._buffer[:end]

    def readOnce(self) -> bool:
        """Read what one read brings; False at the end of the stream."""
        try:
            data = self._wire.socket.recv(1 << 18)
        except ConnectionError:
            data = b""
        if not data:
            return False
        self._take(data)
        return True

    def readUntil(self, number: int) -> None:
        """Read until this message has arrived whole."""
        while not self.numbers or self.numbers[-1] < number:
            assert self.readOnce(), f"the stream ended after {self.numbers[-3:]}"

    def readToEnd(self) -> None:
        while self.readOnce():
            pass

    def readWhatIsThere(self) -> None:
        """Read until nothing more comes for a while."""
        while select.select([self._wire.socket], [], [], 0.1)[0]:
            assert self.readOnce(), "the stream has ended"


@pytest.fixture(params=["HTTP/1.0", "HTTP/1.1"])
def version(request: pytest.FixtureRequest) -> str:
    """Bare bytes, and chunks."""
    return str(request.param)


@pytest.mark.parametrize(("count", "size"), [(100, MIB), (1600, MIB // 16)], ids=["1MB", "64KB"])
def test_aReaderThatStopsMeetsItsPolicyAndNobodyElseDoes(
    twistd: ServerFactory, redis: Redis, version: str, count: int, size: int
) -> None:
    server = twistd.start(ROUTES.format(redis=redis))
    with (
        Reader(server, "/fast", version) as fast,
        Reader(server, "/close", version) as closed,
        Reader(server, "/drop", version) as dropping,
    ):
        redis.publish("big", framed(0, size))
        for reader in (fast, closed, dropping):
            reader.readUntil(0)
        before = highest = server.memory()
        for number in range(1, count):
            redis.publish("big", framed(number, size))
            fast.readUntil(number)
            highest = max(highest, server.memory())
        # Everybody else has everything, in order.
        assert fast.numbers == list(range(count))
        # slow=close: what it got before is in order and whole, up to the place where it was cut.
        closed.readToEnd()
        assert closed.numbers == list(range(len(closed.numbers)))
        assert len(closed.numbers) < count // 2
        # slow=drop: it is still there, has missed messages, and gets new ones once it reads again.
        number = count

        def resumed() -> bool:
            nonlocal number
            dropping.readWhatIsThere()
            redis.publish("big", framed(number, size))
            fast.readUntil(number)
            number += 1
            return dropping.numbers[-1] >= count

        until(resumed, "a message after the pause")
        assert dropping.numbers == sorted(set(dropping.numbers))
        assert len(dropping.numbers) < number // 2
        print(f"RSS grew by {(highest - before) / MIB:.1f} MiB")
        assert highest - before < 48 * MIB


def test_manyStalledReadersOfTheSameMessagesShareThem(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.start(ROUTES.format(redis=redis))
    with ExitStack() as stack:
        fast = stack.enter_context(Reader(server, "/fast"))
        stalled = [stack.enter_context(Reader(server, "/drop")) for _ in range(20)]
        redis.publish("big", framed(0, MIB))
        for reader in (fast, *stalled):
            reader.readUntil(0)
        before = highest = server.memory()
        for number in range(1, 100):
            redis.publish("big", framed(number, MIB))
            fast.readUntil(number)
            highest = max(highest, server.memory())
        print(f"RSS grew by {(highest - before) / MIB:.1f} MiB")
        assert highest - before < 48 * MIB
        for reader in stalled:
            reader.readWhatIsThere()
            assert reader.numbers == list(range(len(reader.numbers)))
            assert len(reader.numbers) < 50


def test_aReaderThatIsOnlyLateMissesNothing(twistd: ServerFactory, redis: Redis) -> None:
    # More than the kernel holds, less than the route's buffer.
    server = twistd.start(ROUTES.format(redis=redis))
    with Reader(server, "/fast") as late, Reader(server, "/fast") as fast:
        for number in range(300):
            redis.publish("big", framed(number, MIB // 16))
            fast.readUntil(number)
        late.readUntil(299)
        assert late.numbers == list(range(300))


def test_oneMessageLargerThanTheBufferReachesAReaderThatKeepsUp(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.start(ROUTES.format(redis=redis))
    with Reader(server, "/close") as reader:
        for number in range(3):
            redis.publish("big", framed(number, 20 * MIB))
            reader.readUntil(number)
        assert reader.numbers == [0, 1, 2]


def test_aClientThatVanishesWhileItIsWrittenToIsForgotten(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.start(ROUTES.format(redis=redis))
    with Reader(server, "/fast") as fast:
        for number in range(10):
            gone = Reader(server, "/fast")
            redis.publish("big", framed(2 * number, 8 * MIB))
            # Closed with unread bytes: the server meets a reset.
            gone.close()
            redis.publish("big", framed(2 * number + 1, MIB))
            fast.readUntil(2 * number + 1)
        assert fast.numbers == list(range(20))
    until(lambda: redis.command("PUBSUB", "NUMSUB", "big") == [b"big", 0], "the end of the subscription")


@pytest.mark.parametrize("policy", ["close", "drop"])
def test_aClientThatNeverReadsIsGivenUpAfterSomeHeartbeats(twistd: ServerFactory, redis: Redis, policy: str) -> None:
    server = twistd.start(
        f"[realtime]\nbroker = {redis.url}\n"
        f"route = ^/events$ sse:subscribe=big,heartbeat=200ms,slow={policy},buffer=64m\n"
    )
    with Wire(server, get("/events"), receiveBuffer=1 << 16) as stalled:
        stalled.readUntil(b": ok\n\n")
        redis.publish("big", b"x" * 16 * MIB)
        until(lambda: redis.command("PUBSUB", "NUMSUB", "big") == [b"big", 0], "the server to give up")
