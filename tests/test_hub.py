"""The hub: one subscription per channel, one encoding per encoding, order, retained values, ends."""

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from realtime_tw.brokers.memory import MemoryBroker
from realtime_tw.counters import Counters
from realtime_tw.errors import BrokerUnavailable
from realtime_tw.hub import MAX_BATCH, PREPARE_TIMEOUT, Hub, channelName
from realtime_tw.interfaces import IBroker, IEncoding, IReceiver
from realtime_tw.model import Message, Prefix
from realtime_tw.subscriber import Subscriber
from tests.doubles import FakeSink, LineEncoding


@implementer(IBroker)
class SlowBroker(MemoryBroker):
    """Confirms subscriptions and answers look-ups when told."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.subscriptions: list[tuple[bytes | Prefix, Deferred[None]]] = []
        self.lookups: list[Deferred[bytes | None]] = []
        self.log: list[tuple[str, bytes | Prefix]] = []

    def subscribe(self, channel: bytes | Prefix, receiver: IReceiver) -> Deferred[None]:
        super().subscribe(channel, receiver)
        self.log.append(("subscribe", channel))
        confirmed: Deferred[None] = Deferred()
        self.subscriptions.append((channel, confirmed))
        return confirmed

    def unsubscribe(self, channel: bytes | Prefix, receiver: IReceiver) -> None:
        super().unsubscribe(channel, receiver)
        self.log.append(("unsubscribe", channel))

    def retained(self, channel: bytes) -> Deferred[bytes | None]:
        value: Deferred[bytes | None] = Deferred()
        self.lookups.append(value)
        return value


class HubTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.hub = Hub(MemoryBroker(self.clock), self.clock)
        self.encoding = LineEncoding()

    def slow(self) -> SlowBroker:
        broker = SlowBroker(self.clock)
        self.hub = Hub(broker, self.clock)
        return broker

    def join(
        self, *channels: bytes, encoding: IEncoding | None = None, retained: bool = True, heartbeat: float = 0
    ) -> tuple[Subscriber, FakeSink]:
        sink = FakeSink()
        subscriber = Subscriber(encoding or self.encoding, sink, self.hub.counters)
        self.hub.subscribe(subscriber, channels, retained, heartbeat)
        return subscriber, sink

    def publish(self, *messages: tuple[bytes, bytes]) -> None:
        for channel, payload in messages:
            self.successResultOf(self.hub.publish(channel, payload))
        self.clock.advance(0)

    def test_interface(self) -> None:
        verifyObject(IReceiver, self.hub)
        verifyObject(IBroker, self.hub.broker)

    def test_everybodyGetsTheSameObject(self) -> None:
        delivered: list[bytes] = []
        for _ in range(3):
            _, sink = self.join(b"a")
            original = sink._send

            def send(data: bytes) -> int:
                delivered.append(data)
                return original(data)  # noqa: B023

            sink.send = send
        self.publish((b"a", b"0"))
        delivered.clear()
        self.publish((b"a", b"1"), (b"a", b"2"))
        self.assertEqual(delivered, [b"a:1\na:2\n"] * 3)
        self.assertIs(delivered[0], delivered[2])

    def test_encodedOncePerBatch(self) -> None:
        for _ in range(5):
            self.join(b"a")
        self.publish(*[(b"a", b"%d" % number) for number in range(20)])
        self.assertEqual(self.encoding.calls, 1)

    def test_feedsWithEqualBatchesShareTheEncoding(self) -> None:
        for number in range(5):
            self.join(b"everybody", b"user %d" % number)
        self.publish((b"everybody", b"hello"))
        self.assertEqual(self.encoding.calls, 1)
        self.publish((b"everybody", b"x"), (b"user 3", b"y"))
        self.assertEqual(self.encoding.calls, 3)

    def test_orderAcrossChannels(self) -> None:
        _, sink = self.join(b"a", b"b")
        self.publish((b"a", b"1"), (b"b", b"2"), (b"a", b"3"))
        self.assertEqual(sink.sent, b"a:1\nb:2\na:3\n")

    def test_aRepeatedChannelDeliversOnce(self) -> None:
        _, sink = self.join(b"a", b"a")
        self.publish((b"a", b"1"))
        self.assertEqual(sink.sent, b"a:1\n")

    def test_oneSubscriptionPerChannel(self) -> None:
        broker = self.slow()
        members = [self.join(b"a", encoding=LineEncoding())[0] for _ in range(3)] + [self.join(b"a", b"b")[0]]
        self.assertEqual(broker.log, [("subscribe", b"a"), ("subscribe", b"b")])
        for subscriber in members:
            self.hub.unsubscribe(subscriber)
        self.assertEqual(broker.log[2:], [("unsubscribe", b"a"), ("unsubscribe", b"b")])
        self.assertEqual(self.hub.stats()["channels"], 0)
        self.assertEqual(self.hub.stats()["subscribers"], 0)

    def test_unsubscribedOnceOnly(self) -> None:
        subscriber, sink = self.join(b"a")
        self.hub.unsubscribe(subscriber)
        self.hub.unsubscribe(subscriber)
        self.publish((b"a", b"1"))
        self.assertEqual(sink.sent, b"")
        self.assertEqual(self.hub.stats()["subscribers"], 0)

    def test_largeBatchesAreCut(self) -> None:
        _, sink = self.join(b"a")
        payload = b"x" * (MAX_BATCH // 2)
        self.publish(*[(b"a", payload)] * 5)
        self.assertEqual(self.encoding.calls, 3)
        self.assertEqual(sink.sent, (b"a:" + payload + b"\n") * 5)

    def test_counters(self) -> None:
        self.join(b"a")
        self.join(b"a")
        self.publish((b"a", b"1"), (b"a", b"2"), (b"nobody", b"3"))
        counters = self.hub.counters
        self.assertEqual(
            counters,
            Counters(messages=2, deliveries=4, bytes=2 * len(b"a:1\na:2\n"), published=3),
        )

    def test_retainedComesFirst(self) -> None:
        self.hub.publish(b"a", b"kept", retain=True)
        self.clock.advance(0)
        _, sink = self.join(b"a")
        self.publish((b"a", b"live"))
        self.assertEqual(sink.sent, b"a:kept\na:live\n")

    def test_retainedOfSeveralChannelsInTheirOrder(self) -> None:
        for channel in (b"b", b"a"):
            self.hub.publish(channel, b"kept", retain=True)
        self.clock.advance(0)
        _, sink = self.join(b"a", b"none", b"b")
        self.assertEqual(sink.sent, b"a:kept\nb:kept\n")

    def test_messagesWaitForTheRetainedValue(self) -> None:
        broker = self.slow()
        _, sink = self.join(b"a")
        _, other = self.join(b"a", retained=False)
        self.publish((b"a", b"live"))
        self.assertEqual((sink.sent, other.sent), (b"", b"a:live\n"))
        broker.lookups[0].callback(b"kept")
        self.assertEqual(sink.sent, b"a:kept\na:live\n")

    def test_withoutBrokerNoRetainedValue(self) -> None:
        broker = self.slow()
        _, sink = self.join(b"a")
        broker.lookups[0].errback(BrokerUnavailable("away"))
        self.publish((b"a", b"live"))
        self.assertEqual(sink.sent, b"a:live\n")

    def test_whatWasCollectedBeforeIsNotForANewcomer(self) -> None:
        self.join(b"a")
        for payload in (b"old", b"older"):
            self.hub.broker.publish(b"a", payload)
        self.hub.messageReceived(Message(b"a", b"early"))
        _, late = self.join(b"a", retained=False)
        self.hub.batchEnded()
        self.assertEqual(late.sent, b"")

    def test_prepareWaitsForTheBroker(self) -> None:
        broker = self.slow()
        first, second = self.hub.prepare([b"a", b"b"]), self.hub.prepare([b"a"])
        self.assertNoResult(first)
        broker.subscriptions[0][1].callback(None)
        self.successResultOf(second)
        self.assertNoResult(first)
        broker.subscriptions[1][1].callback(None)
        self.successResultOf(first)
        self.successResultOf(self.hub.prepare([b"a"]))

    def test_prepareDoesNotWaitForEver(self) -> None:
        self.slow()
        waiting = self.hub.prepare([b"a"])
        self.clock.advance(PREPARE_TIMEOUT)
        self.successResultOf(waiting)

    def test_aRefusedChannelIsLoggedAndNotWaitedFor(self) -> None:
        broker = self.slow()
        waiting = self.hub.prepare([b"secret"])
        broker.subscriptions[0][1].errback(BrokerUnavailable("no permission"))
        self.successResultOf(waiting)

    def test_unprepareLeavesNothing(self) -> None:
        broker = self.slow()
        self.hub.prepare([b"a"])
        self.hub.unprepare([b"a"])
        self.assertEqual(broker.log, [("subscribe", b"a"), ("unsubscribe", b"a")])
        self.hub.unprepare([b"a"])
        self.assertEqual(len(broker.log), 2)

    def test_unprepareKeepsWhatOthersUse(self) -> None:
        broker = self.slow()
        self.join(b"a")
        self.hub.prepare([b"a"])
        self.hub.unprepare([b"a"])
        self.assertEqual(broker.log, [("subscribe", b"a")])

    def test_anOldConfirmationIsNotANewOne(self) -> None:
        broker = self.slow()
        self.hub.prepare([b"a"])
        self.hub.unprepare([b"a"])
        waiting = self.hub.prepare([b"a"])
        broker.subscriptions[0][1].callback(None)
        self.assertNoResult(waiting)
        broker.subscriptions[1][1].callback(None)
        self.successResultOf(waiting)

    def test_failedPublishesAreCountedAndTold(self) -> None:
        broker = self.slow()
        self.patch(broker, "publish", lambda *_: fail(BrokerUnavailable("away")))
        self.failureResultOf(self.hub.publish("a", b"x"), BrokerUnavailable)
        self.assertEqual(self.hub.counters.publishFailed, 1)

    def test_heartbeats(self) -> None:
        leaver, gone = self.join(b"a", heartbeat=10)
        _, sink = self.join(b"a", heartbeat=10)
        self.clock.pump([1.0] * 10)
        self.assertEqual(sink.sent, b"~\n")
        self.hub.unsubscribe(leaver)
        self.clock.pump([1.0] * 10)
        self.assertEqual((sink.sent, gone.sent), (b"~\n~\n", b"~\n"))

    def test_closeAll(self) -> None:
        sinks = [self.join(b"a", heartbeat=1)[1], self.join(b"b")[1]]
        self.hub.closeAll("stopping")
        self.assertEqual([sink.sent for sink in sinks], [b"bye\n", b"bye\n"])
        self.assertEqual(self.hub.stats()["subscribers"], 0)
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.active()], [])

    def test_channelNames(self) -> None:
        self.assertEqual([channelName("ünï"), channelName(b"\xff")], ["ünï".encode(), b"\xff"])

    def test_fromURL(self) -> None:
        started: list[object] = []

        class Reactor(Clock):
            def callWhenRunning(self, function: object) -> None:
                started.append(function)

        hub = Hub.fromURL("memory:", Reactor())
        self.assertEqual(started, [hub.broker.start])
        self.assertEqual(self.successResultOf(succeed(hub.broker.connected)), True)
