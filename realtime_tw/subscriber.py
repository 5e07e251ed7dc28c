"""
One streaming client: an encoding, a sink, and the policy for a client that reads too slowly.

Policies, chosen per route:

* ``close``: a client that has more than ``limit`` bytes waiting loses its connection. It notices and comes back.
* ``drop``: it misses whole messages until it has caught up, and never sees half of one.

A single message larger than the limit still goes to a client that has nothing waiting, so the bound for one client is
the limit plus one batch (:data:`realtime_tw.hub.MAX_BATCH` or one message, whichever is larger).
"""

from enum import Enum
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from realtime_tw.counters import Counters
from realtime_tw.feed import Lane
from realtime_tw.interfaces import IEncoding, ISink, ISubscriber

#: A browser on a slow line may lag by seconds of text; a megabyte is hours of it, and still only a gigabyte for a
#: thousand clients that have all stopped reading.
DEFAULT_LIMIT = 1 << 20

#: Heartbeats in a row without a byte read by the peer before the connection is given up.
STALLED_BEATS = 3


class SlowPolicy(Enum):
    """What happens to a client that reads too slowly."""

    CLOSE = "close"
    DROP = "drop"


@implementer(ISubscriber)
class Subscriber:
    """
    :param limit: bytes that may wait for this client.
    :param counters: shared by all subscribers of a hub.
    """

    __slots__ = ("_counters", "_held", "_stalled", "encoding", "feed", "followers", "lane", "limit", "policy", "sink")

    _log = Logger()

    def __init__(
        self,
        encoding: IEncoding,
        sink: ISink,
        counters: Counters,
        limit: int = DEFAULT_LIMIT,
        policy: SlowPolicy = SlowPolicy.CLOSE,
    ) -> None:
        self.encoding = encoding
        self.sink: ISink | None = sink
        self.limit = limit
        self.policy = policy
        #: Where the hub keeps this subscriber; None when it is not subscribed.
        self.feed: Any = None
        self._counters = counters
        # None for a new client, whose response head may still be on its way out.
        self.lane: Lane | None = None
        #: Other subscribers of a hub that deliver through this one, and share its lane.
        self.followers: tuple[ISubscriber, ...] = ()
        self._held: list[bytes] | None = None
        self._stalled = (0, 0)

    def deliver(self, data: bytes) -> bool:
        lane = self.lane
        if lane is not None:
            try:
                sent = lane(data)
            except OSError:
                sent = 0
            if sent != len(data):
                self.stuffed(data, sent)
            return True
        sink = self.sink
        if sink is None:
            return False
        if self._held is not None:
            waiting = sum(map(len, self._held))
        else:
            waiting = sink.bufferedBytes()
        if waiting and waiting + len(data) > self.limit:
            if self.policy is SlowPolicy.CLOSE:
                self._counters.slowClosed += 1
                self._log.debug("closing a subscriber with {waiting} bytes waiting", waiting=waiting)
                self.overflowed()
            return False
        if self._held is not None:
            self._held.append(data)
        else:
            self._write(sink, data)
        return True

    def stuffed(self, data: bytes, sent: int) -> None:
        self._setLane(None)
        if self.sink is not None:
            self.sink.buffer(data, sent)

    def _setLane(self, lane: Lane | None) -> None:
        if lane is self.lane:
            return
        self.lane = lane
        for subscriber in (self, *self.followers):
            if subscriber.feed is not None:
                subscriber.feed[0].laneChanged()

    def overflowed(self) -> None:
        """The ``close`` policy applies. Protocols that can say so before they close do it here."""
        self.abort()

    def push(self, data: bytes) -> None:
        """Send bytes that are no message (control frames), in order, whatever is waiting or held back."""
        sink = self.sink
        if sink is None:
            return
        if self._held is None:
            self._write(sink, data)
        else:
            sink.write(data)

    def _write(self, sink: ISink, data: bytes) -> None:
        self._setLane(sink.send if sink.write(data) else None)

    def hold(self) -> None:
        self._setLane(None)
        if self._held is None:
            self._held = []

    def release(self, data: bytes) -> None:
        held, self._held = self._held, None
        pieces = [data, *(held or ())]
        joined = b"".join(pieces)
        if joined and self.sink is not None:
            self._write(self.sink, joined)

    def beat(self) -> None:
        """
        Time for a sign of life: send a heartbeat, or look whether the client still reads.

        A client with bytes waiting gets no heartbeat on top; when nothing of them was read for
        :data:`STALLED_BEATS` in a row, it is gone or hopeless.
        """
        sink = self.sink
        if sink is None or self._held is not None:
            return
        waiting = sink.bufferedBytes()
        if not waiting:
            self._stalled = (0, 0)
            self._write(sink, self.encoding.heartbeat)
            return
        before, beats = self._stalled
        beats = beats + 1 if before and waiting >= before else 1
        self._stalled = (waiting, beats)
        if beats > STALLED_BEATS:
            self._counters.stalledClosed += 1
            self.abort()

    def close(self, reason: str) -> None:
        sink = self._detach()
        if sink is not None:
            sink.finish(self.encoding.farewell())

    def abort(self) -> None:
        """Close now, whatever is waiting."""
        sink = self._detach()
        if sink is not None:
            sink.abort()

    def lost(self) -> None:
        """The connection is gone."""
        self._detach()

    def _detach(self) -> ISink | None:
        sink, self.sink = self.sink, None
        self._setLane(None)
        self._held = None
        return sink
