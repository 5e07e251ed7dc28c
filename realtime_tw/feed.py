"""
A feed: the subscribers that get the same bytes, because they listen to the same channels in the same encoding.

Messages of several channels keep their order of publication within a feed, are encoded once, and leave as one
``bytes`` object for everybody.
"""

from realtime_tw.interfaces import IEncoding, ISubscriber
from realtime_tw.model import Message


class Feed:
    """
    :ivar channels: the channels it listens to, without repetition.
    :ivar batch: messages collected since the last flush, in the order of their publication.
    """

    __slots__ = ("_members", "_snapshot", "batch", "channels", "encoding")

    def __init__(self, channels: tuple[bytes, ...], encoding: IEncoding) -> None:
        self.channels = channels
        self.encoding = encoding
        self.batch: list[Message] = []
        self._members: dict[ISubscriber, None] = {}
        # Iterated at every flush, while subscribers may come and go; rebuilt only after one did.
        self._snapshot: tuple[ISubscriber, ...] | None = ()

    def __len__(self) -> int:
        return len(self._members)

    def add(self, subscriber: ISubscriber) -> None:
        self._members[subscriber] = None
        self._snapshot = None

    def remove(self, subscriber: ISubscriber) -> None:
        self._members.pop(subscriber, None)
        self._snapshot = None

    def members(self) -> tuple[ISubscriber, ...]:
        snapshot = self._snapshot
        if snapshot is None:
            snapshot = self._snapshot = tuple(self._members)
        return snapshot

    def send(self, data: bytes) -> tuple[int, int]:
        """Deliver to everybody. Returns how many subscribers it reached, and how many missed it."""
        members = self.members()
        missed = 0
        for subscriber in members:
            if not subscriber.deliver(data):
                missed += 1
        return len(members) - missed, missed
