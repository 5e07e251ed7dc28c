"""Feeds: everybody gets everything in order, over lanes or without, whatever happens in between."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.counters import Counters
from realtime_tw.feed import Feed
from realtime_tw.subscriber import SlowPolicy, Subscriber
from tests.doubles import FakeSink, LineEncoding


class Watched(Subscriber):
    """Does something when it is sent away."""

    __slots__ = ("then",)

    then: Callable[[], None]

    def overflowed(self) -> None:
        self.then()


class FeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.feed = Feed((b"a",), LineEncoding())

    def join(
        self, room: int | None = None, limit: int = 1000, direct: bool = True, kind: type[Subscriber] = Subscriber
    ) -> tuple[Subscriber, FakeSink]:
        sink = FakeSink(room, direct)
        subscriber = kind(self.feed.encoding, sink, Counters(), limit, SlowPolicy.CLOSE)
        subscriber.feed = (self.feed, 0)
        self.feed.add(subscriber)
        return subscriber, sink

    def leave(self, subscriber: Subscriber) -> None:
        self.feed.remove(subscriber)
        subscriber.feed = None

    def test_lanesAreUsedOnceTheyAreOpen(self) -> None:
        members = [self.join(direct=direct) for direct in (True, True, False)]
        for number in range(3):
            self.assertEqual(self.feed.send(b"%d" % number), (3, 0))
        self.assertEqual([sink.sent for _, sink in members], [b"012"] * 3)
        self.assertEqual([sink.writes for _, sink in members], [1, 1, 3])

    def test_aStuffedLaneIsNotUsedBeforeTheRestHasLeft(self) -> None:
        _, stuffed = self.join()
        _, other = self.join()
        self.feed.send(b"a")
        stuffed.room = 2
        for data in (b"bcde", b"fg"):
            self.assertEqual(self.feed.send(data), (2, 0))
        self.assertEqual((stuffed.sent, stuffed.waiting), (b"abc", b"defg"))
        stuffed.read()
        self.feed.send(b"h")
        self.feed.send(b"i")
        self.assertEqual((stuffed.sent, other.sent), (b"abcdefghi", b"abcdefghi"))

    def test_aClosedLane(self) -> None:
        subscriber, sink = self.join()
        self.feed.send(b"a")
        subscriber.lost()
        self.assertEqual(self.feed.send(b"b"), (0, 1))
        self.leave(subscriber)
        self.assertEqual(self.feed.send(b"c"), (0, 0))
        self.assertEqual(sink.sent, b"a")

    def test_holdingClosesTheLane(self) -> None:
        subscriber, sink = self.join()
        self.feed.send(b"a")
        subscriber.hold()
        self.feed.send(b"c")
        self.assertEqual(sink.sent, b"a")
        subscriber.release(b"b")
        self.feed.send(b"d")
        self.assertEqual(sink.sent, b"abcd")

    def test_whatAnOverflowCausesComesAfterTheRestOfOthers(self) -> None:
        slow, slowSink = self.join(0, 2, kind=Watched)
        other, sink = self.join()
        assert isinstance(slow, Watched)

        def then() -> None:
            # As a handler that tells a room who has left.
            slow.abort()
            other.push(b"!")

        slow.then = then
        self.feed.send(b"a")
        sink.room = 1
        self.assertEqual(self.feed.send(b"bcd"), (1, 1))
        sink.read()
        self.assertEqual(sink.sent, b"abcd!")
        self.assertEqual(slowSink.ended, "aborted")

    def test_leavingInTheMiddleOfADelivery(self) -> None:
        slow, slowSink = self.join(0, 2, kind=Watched)
        other, otherSink = self.join(0)
        _, sink = self.join()
        assert isinstance(slow, Watched)

        def then() -> None:
            self.leave(slow)
            other.lost()
            self.leave(other)

        slow.then = then
        self.feed.send(b"a")
        self.assertEqual(self.feed.send(b"bc"), (1, 2))
        self.assertEqual(self.feed.send(b"d"), (1, 0))
        self.assertEqual((slowSink.sent, otherSink.sent, sink.sent), (b"", b"", b"abcd"))

    @given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["send", "stall", "read", "hold", "release"]))))
    def test_nothingIsLostOrReordered(self, steps: list[tuple[int, str]]) -> None:
        self.setUp()
        members = [self.join(limit=1 << 20, direct=number % 3 != 0) for number in range(6)]
        expected = b""
        for number, (who, what) in enumerate(steps):
            subscriber, sink = members[who]
            if what == "send":
                data = b"[%d]" % number
                expected += data
                self.assertEqual(self.feed.send(data), (6, 0))
            elif what == "stall":
                sink.room = who
            elif what == "read":
                sink.read()
            elif what == "hold":
                subscriber.hold()
            else:
                subscriber.release(b"")
        for subscriber, sink in members:
            sink.read()
            subscriber.release(b"")
            self.assertEqual(sink.sent, expected)
