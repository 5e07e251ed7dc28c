"""The embedded broker."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from realtime_tw.brokers.memory import MemoryBroker
from realtime_tw.interfaces import IBroker
from realtime_tw.model import Prefix
from tests.doubles import Recorder


class MemoryBrokerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.broker = MemoryBroker(self.clock)
        self.receiver = Recorder()

    def test_interface(self) -> None:
        verifyObject(IBroker, self.broker)

    def test_messagesOfOneTurnComeTogether(self) -> None:
        for channel in (b"a", b"b"):
            self.successResultOf(self.broker.subscribe(channel, self.receiver))
        results = [self.successResultOf(self.broker.publish(channel, b"x")) for channel in (b"a", b"b", b"c", b"a")]
        self.assertEqual(results, [1, 1, 0, 1])
        self.assertEqual((self.receiver.events, self.broker.pendingBytes), ([], 3))
        self.clock.advance(0)
        self.assertEqual(self.receiver.events, [(b"a", b"x"), (b"b", b"x"), (b"a", b"x"), "batch"])
        self.assertEqual(self.broker.pendingBytes, 0)

    def test_subscribingTwiceDeliversOnce(self) -> None:
        self.broker.subscribe(b"a", self.receiver)
        self.broker.subscribe(b"a", self.receiver)
        self.assertEqual(self.successResultOf(self.broker.publish(b"a", b"x")), 1)

    def test_unsubscribed(self) -> None:
        self.broker.subscribe(b"a", self.receiver)
        self.broker.publish(b"a", b"x")
        self.broker.unsubscribe(b"a", self.receiver)
        self.broker.unsubscribe(b"a", self.receiver)
        self.broker.unsubscribe(b"never", self.receiver)
        self.clock.advance(0)
        self.assertEqual(self.receiver.events, [])

    def test_whatIsPublishedMeanwhileBelongsToTheNextTurn(self) -> None:
        self.broker.subscribe(b"a", self.receiver)
        record = self.receiver.messageReceived

        def echoOnce(message: object) -> None:
            record(message)  # type: ignore[arg-type]
            if len(self.receiver.events) == 1:
                self.broker.publish(b"a", b"echo")

        self.receiver.messageReceived = echoOnce  # type: ignore[method-assign]
        self.broker.publish(b"a", b"x")
        self.clock.advance(0)
        self.assertEqual(self.receiver.events, [(b"a", b"x"), "batch", (b"a", b"echo"), "batch"])

    def test_retained(self) -> None:
        self.assertIsNone(self.successResultOf(self.broker.retained(b"a")))
        self.broker.publish(b"a", b"1", retain=True)
        self.broker.publish(b"a", b"2")
        self.assertEqual(self.successResultOf(self.broker.retained(b"a")), b"1")
        self.successResultOf(self.broker.unretain(b"a"))
        self.assertIsNone(self.successResultOf(self.broker.retained(b"a")))

    def test_stopDeliversWhatIsPending(self) -> None:
        self.broker.start()
        self.broker.subscribe(b"a", self.receiver)
        self.broker.publish(b"a", b"x")
        self.successResultOf(self.broker.stop())
        self.assertEqual(self.receiver.events, [(b"a", b"x"), "batch"])


class PrefixTests(SynchronousTestCase):
    def test_prefixes(self) -> None:
        clock = Clock()
        broker = MemoryBroker(clock)
        receiver, other = Recorder(), Recorder()
        broker.subscribe(Prefix(b"a#"), receiver)
        broker.subscribe(b"a#1", other)
        broker.publish(b"a#1", b"one")
        broker.publish(b"b#1", b"not")
        clock.advance(0)
        self.assertEqual(receiver.events, [(b"a#1", b"one"), "batch"])
        self.assertEqual(other.events, [(b"a#1", b"one"), "batch"])
        broker.unsubscribe(Prefix(b"a#"), receiver)
        broker.unsubscribe(Prefix(b"a#"), receiver)
        broker.publish(b"a#2", b"two")
        clock.advance(0)
        self.assertEqual(len(receiver.events), 2)
