"""
A feed: the subscribers that get the same bytes, because they listen to the same channels in the same encoding.

Messages of several channels keep their order of publication within a feed, are encoded once, and leave as one
``bytes`` object for everybody.

A delivery is one system call, and at a thousand clients what surrounds it is mostly memory that the processor has to
fetch: the client, its sink, its transport. So a feed remembers the *lanes* of its subscribers, the ``send`` methods of
their sockets, and touches nothing else of those who keep up.
"""

from collections.abc import Callable

from realtime_tw.interfaces import IEncoding, ISubscriber
from realtime_tw.model import Message

Lane = Callable[[bytes], int]


class Feed:
    """
    :ivar channels: the channels it listens to, without repetition.
    :ivar batch: messages collected since the last flush, in the order of their publication.
    """

    __slots__ = ("_fast", "_lanes", "_members", "_slow", "batch", "channels", "encoding")

    def __init__(self, channels: tuple[bytes, ...], encoding: IEncoding) -> None:
        self.channels = channels
        self.encoding = encoding
        self.batch: list[Message] = []
        self._members: dict[ISubscriber, None] = {}
        # Lanes, whose they are, and who has none. Made anew after somebody came or went, or a lane opened or closed.
        self._lanes: list[Lane] | None = []
        self._fast: list[ISubscriber] = []
        self._slow: list[ISubscriber] = []

    def __len__(self) -> int:
        return len(self._members)

    def add(self, subscriber: ISubscriber) -> None:
        self._members[subscriber] = None
        self._lanes = None

    def remove(self, subscriber: ISubscriber) -> None:
        self._members.pop(subscriber, None)
        self._lanes = None

    def laneChanged(self) -> None:
        """From a subscriber: its lane is another one now."""
        self._lanes = None

    def members(self) -> tuple[ISubscriber, ...]:
        return tuple(self._members)

    def send(self, data: bytes) -> tuple[int, int]:
        """Deliver to everybody. Returns how many subscribers it reached, and how many missed it."""
        lanes = self._lanes
        if lanes is None:
            lanes = self._survey()
        # Others may be made while subscribers are told, below.
        fast, slow = self._fast, self._slow
        size = len(data)
        stuffed: list[tuple[int, int]] = []
        for index, send in enumerate(lanes):
            try:
                sent = send(data)
            except OSError:
                sent = 0
            if sent != size:
                stuffed.append((index, sent))
        # Not before all lanes were used: what follows may call anything, which may write to anybody. And those that
        # have a rest to send come first, because it must go before all else.
        for index, sent in stuffed:
            fast[index].stuffed(data, sent)
        missed = 0
        for subscriber in slow:
            if not subscriber.deliver(data):
                missed += 1
        return len(fast) + len(slow) - missed, missed

    def _survey(self) -> list[Lane]:
        lanes: list[Lane] = []
        self._lanes, self._fast, self._slow = lanes, [], []
        for subscriber in self._members:
            lane = subscriber.lane
            if lane is None:
                self._slow.append(subscriber)
            else:
                lanes.append(lane)
                self._fast.append(subscriber)
        return lanes
