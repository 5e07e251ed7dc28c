"""One client: direct delivery, policies, holding back, heartbeats, ends."""

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from realtime_tw.counters import Counters
from realtime_tw.interfaces import IEncoding, ISink, ISubscriber
from realtime_tw.subscriber import STALLED_BEATS, SlowPolicy, Subscriber
from tests.doubles import FakeSink, LineEncoding


class SubscriberTests(SynchronousTestCase):
    def make(
        self, room: int | None = None, limit: int = 10, policy: SlowPolicy = SlowPolicy.CLOSE, direct: bool = True
    ) -> None:
        self.sink = FakeSink(room, direct)
        self.counters = Counters()
        self.subscriber = Subscriber(LineEncoding(), self.sink, self.counters, limit, policy)

    def test_interfaces(self) -> None:
        self.make()
        verifyObject(ISubscriber, self.subscriber)
        verifyObject(ISink, self.sink)
        verifyObject(IEncoding, self.subscriber.encoding)

    def test_deliversInOrder(self) -> None:
        for direct in (True, False):
            self.make(direct=direct)
            for number in range(5):
                self.assertTrue(self.subscriber.deliver(b"%d" % number))
            self.assertEqual(self.sink.sent, b"01234")

    def test_aPartialSendIsContinuedBeforeAnythingElse(self) -> None:
        self.make()
        self.subscriber.deliver(b"a")
        self.sink.room = 2
        self.assertTrue(self.subscriber.deliver(b"bcde"))
        self.assertTrue(self.subscriber.deliver(b"fg"))
        self.assertEqual((self.sink.sent, self.sink.waiting), (b"abc", b"defg"))
        self.sink.read()
        self.assertTrue(self.subscriber.deliver(b"h"))
        self.assertEqual(self.sink.sent, b"abcdefgh")

    def test_aBlockedSendIsKept(self) -> None:
        self.make()
        self.subscriber.deliver(b"a")
        self.sink.room = 0
        self.assertTrue(self.subscriber.deliver(b"bc"))
        self.assertEqual((self.sink.sent, self.sink.waiting), (b"a", b"bc"))

    def test_closePolicy(self) -> None:
        self.make(room=0)
        self.assertTrue(self.subscriber.deliver(b"123456"))
        self.assertFalse(self.subscriber.deliver(b"789ab"))
        self.assertEqual(self.sink.ended, "aborted")
        self.assertEqual(self.counters.slowClosed, 1)
        self.assertFalse(self.subscriber.deliver(b"c"))
        self.assertEqual(self.counters.slowClosed, 1)

    def test_dropPolicySkipsWholeMessages(self) -> None:
        self.make(room=3, policy=SlowPolicy.DROP)
        self.assertTrue(self.subscriber.deliver(b"123456"))
        self.assertFalse(self.subscriber.deliver(b"too much"))
        self.assertTrue(self.subscriber.deliver(b"small"))
        self.sink.read()
        self.assertTrue(self.subscriber.deliver(b"more"))
        self.assertEqual(self.sink.sent, b"123456smallmore")
        self.assertIsNone(self.sink.ended)

    def test_aMessageLargerThanTheLimitGoesToAClientThatKeepsUp(self) -> None:
        self.make(room=0, limit=4)
        self.assertTrue(self.subscriber.deliver(b"larger than four"))
        self.assertFalse(self.subscriber.deliver(b"x"))

    def test_heldBackUntilReleased(self) -> None:
        self.make()
        self.subscriber.hold()
        self.subscriber.deliver(b"2")
        self.subscriber.deliver(b"3")
        self.assertEqual(self.sink.sent, b"")
        self.subscriber.release(b"1")
        self.subscriber.deliver(b"4")
        self.assertEqual(self.sink.sent, b"1234")

    def test_whatIsHeldBackIsLimited(self) -> None:
        self.make()
        self.subscriber.hold()
        self.assertTrue(self.subscriber.deliver(b"12345678"))
        self.assertFalse(self.subscriber.deliver(b"9abc"))
        self.assertEqual(self.sink.ended, "aborted")
        self.subscriber.release(b"retained")
        self.assertEqual(self.sink.sent, b"")

    def test_heartbeatOnlyWhenNothingWaits(self) -> None:
        self.make()
        self.subscriber.beat()
        self.assertEqual(self.sink.sent, b"~\n")
        self.sink.room = 0
        self.subscriber.deliver(b"x")
        self.subscriber.beat()
        self.assertEqual(self.sink.waiting, b"x")

    def test_noHeartbeatInFrontOfRetainedValues(self) -> None:
        self.make()
        self.subscriber.hold()
        self.subscriber.beat()
        self.assertEqual(self.sink.sent, b"")

    def test_aStalledClientIsGivenUp(self) -> None:
        self.make(room=0)
        self.subscriber.deliver(b"x")
        for _ in range(STALLED_BEATS):
            self.subscriber.beat()
        self.assertIsNone(self.sink.ended)
        self.subscriber.beat()
        self.assertEqual(self.sink.ended, "aborted")
        self.assertEqual(self.counters.stalledClosed, 1)

    def test_aClientThatReadsALittleIsKept(self) -> None:
        self.make(room=0, limit=100)
        self.subscriber.deliver(b"x" * 50)
        for _ in range(3 * STALLED_BEATS):
            self.sink.waiting = self.sink.waiting[1:]
            self.subscriber.beat()
        self.assertIsNone(self.sink.ended)

    def test_closeSaysFarewell(self) -> None:
        self.make()
        self.subscriber.close("enough")
        self.assertEqual((self.sink.sent, self.sink.ended), (b"bye\n", "finished"))
        self.assertFalse(self.subscriber.deliver(b"late"))
        self.subscriber.close("again")
        self.subscriber.abort()
        self.subscriber.beat()
        self.assertEqual((self.sink.sent, self.sink.ended), (b"bye\n", "finished"))

    def test_lost(self) -> None:
        self.make()
        self.subscriber.deliver(b"a")
        self.subscriber.lost()
        self.assertFalse(self.subscriber.deliver(b"b"))
        self.assertEqual(self.sink.sent, b"a")
