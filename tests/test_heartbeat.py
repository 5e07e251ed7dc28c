"""One timer for many clients."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.heartbeat import SLOTS, Heart


class Client:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.beats: list[float] = []

    def beat(self) -> None:
        self.beats.append(self.clock.seconds())


class HeartTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.heart = Heart(self.clock, 20)

    def test_onceInAnInterval(self) -> None:
        clients = []
        for _ in range(35):
            client = Client(self.clock)
            client.joined = self.clock.seconds()  # type: ignore[attr-defined]
            self.heart.add(client)
            clients.append(client)
            self.clock.advance(1)
        self.clock.pump([0.5] * 200)
        for client in clients:
            gaps = [b - a for a, b in zip(client.beats, client.beats[1:], strict=False)]
            self.assertEqual(set(gaps), {20.0})
            first = client.beats[0] - client.joined  # type: ignore[attr-defined]
            self.assertTrue(20 - 20 / SLOTS <= first <= 20 + 20 / SLOTS, first)

    def test_noTimerWithoutClients(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        client = Client(self.clock)
        self.heart.add(client)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.heart.remove(client)
        self.heart.remove(client)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_aClientThatLeavesDuringABeat(self) -> None:
        leaver, other = Client(self.clock), Client(self.clock)
        leaver.beat = lambda: self.heart.remove(leaver)  # type: ignore[method-assign]
        self.heart.add(leaver)
        self.heart.add(other)
        self.clock.pump([1.0] * 45)
        self.assertEqual(len(other.beats), 2)
