"""WebSocket connections without a network: timers, policies, failures of the broker, what the handshake agrees on."""

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface.verify import verifyObject

from realtime_tw.brokers.memory import MemoryBroker
from realtime_tw.codec.websocket import Opcode, closeFrame, textFrame
from realtime_tw.codec.websocket import frame as built
from realtime_tw.errors import BrokerUnavailable
from realtime_tw.hub import Hub
from realtime_tw.interfaces import IEncoding, ISubscriber
from realtime_tw.model import Message
from realtime_tw.subscriber import SlowPolicy
from realtime_tw.web.backlog import MESSAGE_COST, PAUSE_AT
from realtime_tw.web.connections import Connections
from realtime_tw.web.deflate import agreement
from realtime_tw.web.websocket import WebSocketEncoding, WebSocketResource
from realtime_tw.web.wsconnection import CLOSE_TIMEOUT, Limits, WebSocketConnection
from tests.doubles import FakeSink, PausableTransport, WebClient, tree

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """A client's frame: masked by zeroes."""
    assert len(payload) < 126
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


class SocketTransport(PausableTransport):
    """A TCP transport's half-close, and a memory of being paused."""

    paused = False
    halfClosed = False

    def unregisterProducer(self) -> None:
        """TCP does not mind when there is none."""

    def loseWriteConnection(self) -> None:
        self.halfClosed = True

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False


class SlowBroker(MemoryBroker):
    """A broker that answers when told, or fails."""

    failing: Exception | None = None

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(clock)
        self.waiting: list[Deferred[int]] = []

    def publish(self, channel: bytes, payload: bytes, retain: bool = False) -> Deferred[int]:
        if self.failing is not None:
            return fail(self.failing)
        answer: Deferred[int] = Deferred()
        self.waiting.append(answer)
        return answer


class Later(Resource):
    """Hands its request on when told."""

    isLeaf = True

    def __init__(self, wrapped: WebSocketResource) -> None:
        super().__init__()
        self._wrapped = wrapped

    def render(self, request: Any) -> int:
        self._request = request
        return NOT_DONE_YET

    def go(self) -> None:
        self._wrapped.render(self._request)


class Setup(SynchronousTestCase):
    """A resource at ``/ws``, and clients of it."""

    broker: Any

    def setUp(self) -> None:
        # Only exact TCP transports are driven directly; a test's stand-in is made one.
        for module in ("realtime_tw.web.upgrade", "realtime_tw.web.wsconnection"):
            self.patch(__import__(module, fromlist=["isDirect"]), "isDirect", lambda transport: True)
        self.patch(__import__("realtime_tw.web.wsconnection", fromlist=["x"]), "DirectSink", self._sink)
        self.sinks: list[FakeSink] = []
        self.connections = Connections()

    def _sink(self, transport: Any) -> FakeSink:
        sink = FakeSink()
        transport.sink = sink
        sink.abort = transport.abortConnection  # type: ignore[method-assign]
        self.sinks.append(sink)
        return sink

    def serve(self, make: type[MemoryBroker] = MemoryBroker, **options: Any) -> None:
        self.web = WebClient(tree(), self.connections)
        self.broker = make(self.web.clock)
        self.hub = Hub(self.broker, clock=self.web.clock)
        self.resource = WebSocketResource(self.hub, **options)
        self.web.site.resource.putChild(b"ws", self.resource)

    def open(self) -> Any:
        """A client behind its handshake; ``transport.sink`` has what it was sent since."""
        plain = self.web.connect()
        transport: Any = SocketTransport(peerAddress=plain.getPeer(), hostAddress=plain.getHost())
        transport.protocol = self.web.factory.buildProtocol(plain.getPeer())
        transport.protocol.makeConnection(transport)
        self.web.lose(plain)
        self.web.send(HANDSHAKE, transport)
        self.assertIn(b"HTTP/1.1 101 ", transport.sink.sent)
        transport.sink.sent = b""
        self.assertIsInstance(transport.protocol, WebSocketConnection)
        return transport

    def sent(self, transport: Any) -> bytes:
        data, transport.sink.sent = transport.sink.sent, b""
        return bytes(data)

    def code(self, transport: Any) -> int:
        """The code of the close frame that is all that was sent."""
        data = self.sent(transport)
        self.assertEqual(data[:1], b"\x88", data)
        self.assertEqual(len(data), 2 + data[1])
        return int.from_bytes(data[2:4])


class EncodingTests(SynchronousTestCase):
    def test_provides(self) -> None:
        verifyObject(IEncoding, WebSocketEncoding())

    def test_kinds(self) -> None:
        message = [Message(b"c", b"\xff"), Message(b"c", b"a")]
        self.assertEqual(WebSocketEncoding().encode(message), b"\x82\x01\xff\x81\x01a")
        self.assertEqual(WebSocketEncoding("binary").encode(message), b"\x82\x01\xff\x82\x01a")
        self.assertEqual(WebSocketEncoding("text").encode(message), b"\x81\x03\xef\xbf\xbd\x81\x01a")

    def test_equalOnesShare(self) -> None:
        self.assertEqual(WebSocketEncoding("auto", 9), WebSocketEncoding("auto", 9))
        self.assertEqual(len({WebSocketEncoding("auto", bits) for bits in (None, 8, 9, 9)}), 3)


class AgreementTests(SynchronousTestCase):
    def test_nothingAsked(self) -> None:
        self.assertEqual(agreement({}), ("permessage-deflate; client_no_context_takeover", 12))

    def test_theSmallerWindow(self) -> None:
        for bits in range(8, 16):
            agreed = agreement({"server_max_window_bits": [str(bits)]})
            assert agreed is not None
            self.assertEqual(agreed[1], min(bits, 12))
            self.assertIn(f"server_max_window_bits={bits}", agreed[0])

    def test_declined(self) -> None:
        for params in (
            {"x": [True]},
            {"server_max_window_bits": [True]},
            {"server_max_window_bits": ["16"]},
            {"server_max_window_bits": ["09"]},
            {"client_max_window_bits": ["7"]},
            {"client_max_window_bits": [True, True]},
            {"server_no_context_takeover": [""]},
        ):
            self.assertIsNone(agreement(params), params)

    @given(st.dictionaries(st.text(), st.lists(st.booleans() | st.text(), min_size=1)))
    def test_anything(self, params: dict[str, list[str | bool]]) -> None:
        agreement(params)


class ConnectionTests(Setup):
    def test_broadcast(self) -> None:
        self.serve(subscribe="chat", publish="chat", prefix=b"<", suffix=b">")
        clients = [self.open() for _ in range(3)]
        verifyObject(ISubscriber, clients[0].protocol.out)
        self.web.send(frame(Opcode.TEXT, b"hello"), clients[0])
        self.web.clock.advance(0)
        self.assertEqual([self.sent(each) for each in clients], [textFrame(b"<hello>")] * 3)

    def test_theLeaseGoesWithTheConnection(self) -> None:
        self.serve(subscribe="chat")
        transport = self.open()
        self.assertEqual(len(self.connections), 1)
        self.web.lose(transport)
        self.assertEqual(len(self.connections), 0)
        self.assertEqual(self.web.clock.getDelayedCalls(), [])

    def test_anUpgradeThatTakesItsTime(self) -> None:
        # As one that asks somebody first: what the client sends meanwhile waits in the channel, which stops reading.
        self.serve(publish="chat")
        later = Later(self.resource)
        self.web.site.resource.putChild(b"later", later)
        transport: Any = SocketTransport()
        transport.protocol = self.web.factory.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        self.web.send(HANDSHAKE.replace(b"/ws", b"/later"), transport)
        for _ in range(300):
            self.web.send(frame(Opcode.PING, b"x" * 100), transport)
        self.assertTrue(transport.paused)
        later.go()
        self.assertFalse(transport.paused)
        self.assertTrue(transport.sink.sent.endswith(built(Opcode.PONG, b"x" * 100) * 300))

    def test_nothingIsSentBehindAClose(self) -> None:
        self.serve(subscribe="chat")
        for data in (closeFrame(1000), frame(3), frame(Opcode.TEXT, b"\xff"), frame(Opcode.TEXT, b"unasked")):
            transport = self.open()
            if data == closeFrame(1000):
                data = frame(Opcode.CLOSE, struct.pack("!H", 1000))
            self.web.send(data, transport)
            self.assertIn(self.code(transport), (1000, 1002, 1003, 1007))
            self.hub.publish("chat", b"late")
            self.web.clock.advance(0)
            self.assertEqual(self.sent(transport), b"")
            self.assertFalse(transport.protocol.send(b"late"))
            self.web.lose(transport)

    def test_aPeerThatDoesNotAnswerTheCloseIsCut(self) -> None:
        self.serve(subscribe="chat")
        transport = self.open()
        transport.protocol.end(1000, "")
        self.web.clock.advance(CLOSE_TIMEOUT - 1)
        self.assertFalse(transport.aborted)
        self.web.clock.advance(1.1)
        self.assertTrue(transport.aborted)

    def test_aPeerThatClosesAndDoesNotReadIsCut(self) -> None:
        self.serve(subscribe="chat", limits=Limits(ping=0))
        transport = self.open()
        self.web.send(frame(Opcode.CLOSE), transport)
        self.assertTrue(transport.disconnecting)
        self.assertFalse(transport.aborted)
        self.web.clock.advance(CLOSE_TIMEOUT + 0.1)
        self.assertTrue(transport.aborted)

    def test_aViolationIsTheEndOfReading(self) -> None:
        self.serve(subscribe="chat", publish="chat")
        transport = self.open()
        self.web.send(frame(3) + frame(Opcode.PING, b"x"), transport)
        self.assertEqual(self.code(transport), 1002)
        self.assertTrue(transport.halfClosed)
        for _ in range(10):
            self.web.send(b"x" * 10_000, transport)
        self.assertEqual(self.sent(transport), b"")
        self.assertLess(len(transport.protocol.data), 10_000)
        self.web.lose(transport)
        self.assertEqual(self.web.clock.getDelayedCalls(), [])

    def test_reasonsAreCutBetweenCharacters(self) -> None:
        self.serve(subscribe="chat")
        transport = self.open()
        transport.protocol.end(1008, "x" + "ä" * 100)
        payload = self.sent(transport)[4:]
        self.assertEqual(payload.decode(), "x" + "ä" * 61)

    def test_drain(self) -> None:
        self.serve(subscribe="chat")
        transport = self.open()
        self.connections.drain()
        self.assertEqual(self.code(transport), 1001)

    def test_pongsCountAsWaiting(self) -> None:
        self.serve(subscribe="chat", limits=Limits(buffer=1000, slow=SlowPolicy.DROP))
        transport = self.open()
        transport.sink.room = 0
        for _ in range(100):
            self.web.send(frame(Opcode.PING, b"x" * 120), transport)
        self.assertLessEqual(len(transport.sink.waiting), 1000)

    def test_aSlowReaderIsToldSo(self) -> None:
        self.serve(subscribe="chat", limits=Limits(buffer=1000))
        transport = self.open()
        transport.sink.room = 0
        for _ in range(30):
            self.hub.publish("chat", b"x" * 100)
            self.web.clock.advance(0)
        self.assertEqual(self.hub.counters.slowClosed, 1)
        transport.sink.read()
        data = self.sent(transport)
        message, goodbye = textFrame(b"x" * 100), closeFrame(1008, "reading too slowly")
        self.assertEqual(data, message * (len(data) // len(message)) + goodbye)


class PingTests(Setup):
    def test_pings(self) -> None:
        self.serve(subscribe="chat", limits=Limits(ping=10, pongTimeout=5))
        good, bad = self.open(), self.open()
        for _ in range(3):
            self.web.clock.pump([1] * 10)
            self.assertEqual(self.sent(good), built(Opcode.PING, b""))
            self.web.send(frame(Opcode.PONG), good)
        self.assertFalse(good.aborted)
        self.assertTrue(bad.aborted)

    def test_aTimeoutLongerThanTheInterval(self) -> None:
        self.serve(subscribe="chat", limits=Limits(ping=10, pongTimeout=25))
        good, bad = self.open(), self.open()
        for second in range(1, 36):
            self.web.clock.advance(1)
            if self.sent(good):
                # Late, but within its time.
                self.web.clock.callLater(9, self.web.send, frame(Opcode.PONG), good)
            self.assertEqual(bad.aborted, second == 35, second)
        self.assertEqual(self.sent(bad), built(Opcode.PING, b""))
        self.assertFalse(good.aborted)

    def test_noneAfterTheClose(self) -> None:
        self.serve(subscribe="chat", limits=Limits(ping=1, pongTimeout=1))
        transport = self.open()
        transport.protocol.end(1000, "")
        self.sent(transport)
        self.web.clock.pump([1] * 4)
        self.assertEqual(self.sent(transport), b"")
        self.assertFalse(transport.aborted)


class PublishTests(Setup):
    def test_tooFast(self) -> None:
        self.serve(publish="chat", rate=2)
        transport = self.open()
        for _ in range(4):
            self.web.send(frame(Opcode.TEXT, b"x"), transport)
        self.web.clock.advance(1)
        for _ in range(2):
            self.web.send(frame(Opcode.TEXT, b"x"), transport)
        self.assertEqual(self.sent(transport), b"")
        self.web.send(frame(Opcode.TEXT, b"x"), transport)
        self.assertEqual(self.code(transport), 1008)

    def test_theBrokerIsAway(self) -> None:
        self.serve(SlowBroker, publish="chat")
        self.broker.failing = BrokerUnavailable("away")
        transport = self.open()
        self.web.send(frame(Opcode.TEXT, b"x"), transport)
        self.assertEqual(self.code(transport), 1013)

    def test_theBrokerIsAwayAndItDoesNotMatter(self) -> None:
        self.serve(SlowBroker, publish="chat", publishFailure="drop")
        self.broker.failing = BrokerUnavailable("away")
        transport = self.open()
        self.web.send(frame(Opcode.TEXT, b"x") + frame(Opcode.PING), transport)
        self.assertEqual(self.sent(transport), built(Opcode.PONG, b""))

    def test_backPressure(self) -> None:
        self.serve(SlowBroker, publish="chat", limits=Limits(ping=1, pongTimeout=1))
        transport = self.open()
        # Small messages count for what they cost, and what one read brought is not published at once, either.
        flood = frame(Opcode.TEXT) * 1000 + frame(Opcode.PING, b"end")
        self.web.send(flood, transport)
        self.assertTrue(transport.paused)
        self.assertEqual(len(self.broker.waiting), PAUSE_AT // MESSAGE_COST + 1)
        # A client that is not listened to need not answer.
        self.web.clock.pump([1] * 10)
        self.assertFalse(transport.aborted)
        self.assertEqual(self.sent(transport), b"")
        while self.broker.waiting:
            self.broker.waiting.pop(0).callback(1)
        self.assertEqual(self.sent(transport), built(Opcode.PONG, b"end"))
        self.assertFalse(transport.paused)
        self.assertEqual(self.hub.counters.published, 1000)

    def test_lostWhilePaused(self) -> None:
        self.serve(SlowBroker, publish="chat")
        transport = self.open()
        self.web.send(frame(Opcode.TEXT) * 1000, transport)
        self.web.lose(transport)
        waiting, self.broker.waiting = self.broker.waiting, []
        for each in waiting:
            each.callback(1)
        self.assertEqual(self.broker.waiting, [])
        self.assertEqual(self.web.clock.getDelayedCalls(), [])


class CallableTests(Setup):
    def test_onMessage(self) -> None:
        got: list[tuple[bytes, bool]] = []

        def take(connection: WebSocketConnection, payload: bytes, isBinary: bool) -> None:
            got.append((payload, isBinary))
            connection.send(payload, isBinary)

        self.serve(on_message=take)
        transport = self.open()
        self.web.send(frame(Opcode.TEXT, b"a") + frame(Opcode.BINARY, b"\xff"), transport)
        self.assertEqual(got, [(b"a", False), (b"\xff", True)])
        self.assertEqual(self.sent(transport), textFrame(b"a") + b"\x82\x01\xff")

    def test_oneThatRaises(self) -> None:
        def take(connection: WebSocketConnection, payload: bytes, isBinary: bool) -> None:
            raise RuntimeError("as handlers do")

        self.serve(on_message=take)
        transport = self.open()
        self.web.send(frame(Opcode.TEXT, b"a") + frame(Opcode.TEXT, b"b"), transport)
        self.assertEqual(self.code(transport), 1011)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_mistakes(self) -> None:
        with self.assertRaises(ValueError):
            WebSocketResource(subscribe="x")
        hub = Hub(MemoryBroker(Clock()))
        for options in ({"publishFailure": "x"}, {"frames": "x"}):
            with self.assertRaises(ValueError):
                WebSocketResource(hub, "x", **options)  # type: ignore[arg-type]
