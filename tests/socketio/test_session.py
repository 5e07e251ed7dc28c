"""Sessions by themselves: what waits, what is translated, and what is left of them."""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.engineio import Packet, PacketType
from realtime_tw.counters import Counters
from realtime_tw.errors import ProtocolError
from realtime_tw.heartbeat import Heart
from realtime_tw.socketio.session import Session
from realtime_tw.socketio.wire import Wire
from realtime_tw.subscriber import Subscriber
from tests.doubles import FakeSink, LineEncoding


class Server:
    """The part of a server that sessions look at."""

    pingInterval = 25.0
    pingTimeout = 20.0
    buffer = 100

    def __init__(self) -> None:
        self.clock: Any = Clock()
        self.heart = Heart(self.clock, self.pingInterval)
        self.forgotten: list[Session] = []

    def forget(self, session: Session) -> None:
        self.forgotten.append(session)


class Application:
    """Records."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def opened(self) -> None:
        self.events.append("opened")

    def messageReceived(self, data: str | bytes) -> None:
        if data == "bad":
            raise ProtocolError("bad")
        self.events.append(data)

    def wireChanged(self) -> None:
        self.events.append("wire")

    def closed(self, reason: str) -> None:
        self.events.append(f"closed: {reason}")


class Carrier:
    """A WebSocket."""

    def __init__(self) -> None:
        self.sink = FakeSink()
        self.out = Subscriber(LineEncoding(), self.sink, Counters())
        self.code: int | None = None
        self.isPaused = False

    def pause(self) -> None:
        self.isPaused = True

    def resume(self) -> None:
        self.isPaused = False

    def end(self, code: int) -> None:
        self.code = code


class SessionTests(SynchronousTestCase):
    def open(self, version: int = 4) -> Session:
        self.server = Server()
        session = Session(self.server, "sid", Wire(version, True, True))
        self.application = session.application = Application()
        self.polled: list[bytes] = []
        session.start()
        return session

    def assertOver(self, reason: str) -> None:
        self.assertEqual(self.application.events[-1], f"closed: {reason}")
        self.assertEqual(len(self.server.forgotten), 1)
        self.assertEqual(self.server.clock.getDelayedCalls(), [])

    def test_whatWaitsIsOnePayload(self) -> None:
        session = self.open()
        session.send(b"one")
        session.sendBinary(b"\x01")
        session.poll(self.polled.append)
        self.assertEqual(self.polled, [b"4one\x1ebAQ=="])
        session.poll(self.polled.append)
        session.send(b"two")
        self.assertEqual(self.polled[1:], [b"4two"])

    def test_whoDoesNotFetchIsClosed(self) -> None:
        session = self.open()
        self.assertTrue(session.send(b"x" * 99))
        self.assertFalse(session.send(b"x"))
        self.assertOver("reading too slowly")
        self.assertFalse(session.send(b"more"))

    def test_oneMessageMayBeLargerThanTheBuffer(self) -> None:
        session = self.open()
        self.assertTrue(session.send(b"x" * 1000))
        session.poll(self.polled.append)
        self.assertEqual(len(self.polled[0]), 1001)

    def test_heartbeats(self) -> None:
        session = self.open()
        session.poll(self.polled.append)
        # A heart serves its clients in slots: late by at most a tenth.
        self.server.clock.pump([2.5] * 11)
        self.assertEqual(self.polled, [b"2"])
        session.received(Packet(PacketType.PONG))
        self.server.clock.pump([2.5] * 9)
        self.assertFalse(session.isClosed)
        self.server.clock.pump([2.5] * 9)
        self.assertOver("ping timeout")

    def test_heartbeatsOfRevision3(self) -> None:
        session = self.open(3)
        self.server.clock.advance(44)
        session.received(Packet(PacketType.PING, "probe"))
        session.poll(self.polled.append)
        self.assertEqual(self.polled, [b"6:3probe"])
        self.server.clock.advance(44)
        self.assertFalse(session.isClosed)
        self.server.clock.advance(1)
        self.assertOver("ping timeout")

    def test_upgrade(self) -> None:
        for version in (4, 3):
            session = self.open(version)
            session.poll(self.polled.append)
            session.probed()
            noop = b"6" if version == 4 else b"1:6"
            self.assertEqual(self.polled, [noop])
            session.poll(self.polled.append)
            self.assertEqual(self.polled, [noop, noop])
            session.send("ü𝄞".encode())
            session.sendBinary(b"\x01")
            carrier, wire = Carrier(), Wire(version, False)
            session.upgraded(carrier, wire)
            expected = wire.join([wire.text("ü𝄞".encode()), wire.binary(b"\x01")])
            self.assertEqual(carrier.sink.sent, expected)
            self.assertEqual(self.application.events, ["wire"])
            session.send(b"direct")
            self.assertEqual(carrier.sink.sent, expected + wire.text(b"direct"))
            session.close("done", code=1001)
            self.assertEqual(carrier.code, 1001)
            self.assertOver("done")

    def test_upgradeWithMoreThanAClientMaySend(self) -> None:
        session = self.open()
        text = b"x" * 3_000_000
        session.send(text)
        carrier = Carrier()
        session.upgraded(carrier, Wire(4, False))
        self.assertEqual(carrier.sink.sent, Wire(4, False).text(text))

    def test_finishing(self) -> None:
        session = self.open()
        session.send(b"last")
        session.finish("enough")
        self.assertFalse(session.isClosed)
        self.assertFalse(session.send(b"too late"))
        session.poll(self.polled.append)
        self.assertEqual(self.polled, [b"4last\x1e1"])
        self.assertOver("finished")

    def test_finishingWithNothingToSay(self) -> None:
        session = self.open()
        session.finish("enough")
        self.assertOver("enough")

    def test_finishingWhileTheClientChangesOver(self) -> None:
        session = self.open()
        session.send(b"last")
        session.finish("enough")
        carrier = Carrier()
        session.upgraded(carrier, Wire(4, False))
        self.assertEqual((carrier.sink.sent, carrier.code), (b"\x81\x054last\x81\x011", 1000))
        self.assertOver("finished")

    def test_whoNeverComesForTheRestIsForgotten(self) -> None:
        session = self.open()
        session.send(b"last")
        session.finish("enough")
        self.server.clock.pump([2.5] * 20)
        self.assertOver("ping timeout")

    def test_pausing(self) -> None:
        for version in (4, 3):
            session = self.open(version)
            answered: list[str] = []
            session.pause()
            session.whenResumed(lambda: answered.append("one"))  # noqa: B023
            carrier = Carrier()
            session.upgraded(carrier, Wire(version, False))
            self.assertTrue(carrier.isPaused)
            # It cannot say that it is alive as long as nobody listens.
            self.server.clock.pump([0.5] * 400)
            self.assertFalse(session.isClosed)
            self.assertEqual((carrier.sink.sent, answered), (b"", []))
            session.resume()
            self.assertEqual((carrier.isPaused, answered), (False, ["one"]))
            self.server.clock.pump([0.5] * 100)
            self.assertOver("ping timeout")

    def test_closingWhilePaused(self) -> None:
        session = self.open()
        answered: list[str] = []
        session.upgraded(carrier := Carrier(), Wire(4, False))
        session.pause()
        session.whenResumed(lambda: answered.append("one"))
        session.close("done")
        self.assertEqual((carrier.isPaused, answered, carrier.code), (False, ["one"], 1000))

    def test_badMessagesClose(self) -> None:
        session = self.open()
        session.received(Packet(PacketType.MESSAGE, "good"))
        session.received(Packet(PacketType.MESSAGE, "bad"))
        session.received(Packet(PacketType.MESSAGE, "ignored"))
        self.assertEqual(self.application.events, ["good", "closed: bad"])
        self.assertOver("bad")

    def test_twoPolls(self) -> None:
        session = self.open()
        session.poll(self.polled.append)
        with self.assertRaises(ProtocolError):
            session.poll(self.polled.append)
        self.assertEqual(self.polled, [b"1"])
        self.assertOver("two polls at once")
