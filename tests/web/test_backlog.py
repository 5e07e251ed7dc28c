"""When a client has to wait for the broker, and when it need not any more."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.web.backlog import MESSAGE_COST, PAUSE_AT, RESUME_AT, Backlog

#: Of these, a whole number fills the room.
SIZE = 16384 - MESSAGE_COST
FULL = PAUSE_AT // 16384


class BacklogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[str] = []
        self.backlog = Backlog(lambda: self.events.append("pause"), lambda: self.events.append("resume"))

    def add(self, count: int) -> None:
        for _ in range(count):
            self.backlog.add(SIZE)

    def done(self, count: int) -> None:
        for _ in range(count):
            self.backlog.done(SIZE)

    def test_asMuchAsThereIsRoom(self) -> None:
        self.add(FULL)
        self.assertEqual((self.events, self.backlog.isPaused), ([], False))
        self.add(1)
        self.assertEqual((self.events, self.backlog.isPaused), (["pause"], True))

    def test_onePauseForAll(self) -> None:
        self.add(FULL * 2)
        self.assertEqual(self.events, ["pause"])

    def test_itWaitsUntilMostIsGone(self) -> None:
        self.add(FULL + 1)
        left = RESUME_AT // 16384
        self.done(FULL + 1 - left)
        self.assertEqual((self.events, self.backlog.isPaused), (["pause"], True))
        self.done(1)
        self.assertEqual((self.events, self.backlog.isPaused), (["pause", "resume"], False))
        self.done(left - 1)
        self.assertEqual(self.events, ["pause", "resume"])

    def test_again(self) -> None:
        for _ in range(3):
            self.add(FULL + 1)
            self.done(FULL + 1)
        self.assertEqual(self.events, ["pause", "resume"] * 3)

    def test_emptyMessagesCount(self) -> None:
        for _ in range(PAUSE_AT // MESSAGE_COST):
            self.backlog.add(0)
        self.assertFalse(self.backlog.isPaused)
        self.backlog.add(0)
        self.assertTrue(self.backlog.isPaused)

    def test_nothingIsLeftOfWhatIsDone(self) -> None:
        for _ in range(PAUSE_AT // MESSAGE_COST + 1):
            self.backlog.add(1)
            self.backlog.done(1)
        self.assertEqual(self.events, [])

    def test_end(self) -> None:
        self.backlog.end()
        self.assertEqual(self.events, [])
        self.add(FULL + 1)
        self.backlog.end()
        self.backlog.end()
        self.assertEqual((self.events, self.backlog.isPaused), (["pause", "resume"], False))
        # What is on its way still counts.
        self.add(1)
        self.assertEqual(self.events, ["pause", "resume", "pause"])

    def test_aBrokerThatAnswersAtOnce(self) -> None:
        """The answer to what makes the client wait comes while it is told to."""
        backlog = Backlog(lambda: self.events.append("pause"), lambda: self.events.append("resume"))
        backlog.add(PAUSE_AT)
        backlog.done(PAUSE_AT)
        self.assertEqual(self.events, ["pause", "resume"])

    @given(st.lists(st.integers(0, PAUSE_AT), max_size=40), st.data())
    def test_whateverHappensItEndsWell(self, sizes: list[int], data: st.DataObject) -> None:
        self.setUp()
        waiting: list[int] = []
        for size in sizes:
            self.backlog.add(size)
            waiting.append(size)
            for _ in range(data.draw(st.integers(0, len(waiting)))):
                self.backlog.done(waiting.pop(0))
        for size in waiting:
            self.backlog.done(size)
        self.assertFalse(self.backlog.isPaused)
        self.assertEqual(self.events, ["pause", "resume"] * (len(self.events) // 2))
