"""
The hub: between a broker and the clients of this process.

However many clients listen to a channel, the broker sees one subscription. Messages are collected while the broker
hands over what one read brought, then encoded once per encoding and sent to every subscriber as the same object.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from realtime_tw.claims import Claims
from realtime_tw.counters import Counters
from realtime_tw.errors import BrokerUnavailable
from realtime_tw.feed import Feed
from realtime_tw.heartbeat import Heart
from realtime_tw.interfaces import IBroker, IEncoding, IReceiver, ISubscriber
from realtime_tw.model import Message

#: Payload bytes collected before a flush, even in the middle of what one read brought. It bounds what one batch adds
#: to a slow client's buffer, and 64 KiB is where larger writes stop being cheaper per byte.
MAX_BATCH = 1 << 16

#: Seconds that a client waits for the broker's word before it is told that it is connected. A broker that is there
#: answers in a millisecond, and in a few right after the start.
PREPARE_TIMEOUT = 1.0


@implementer(IReceiver)
class Hub:
    """
    Fans the channels of one broker out to subscribers, and passes what clients publish on to it.

    ``Hub()`` is complete by itself: an embedded broker, on the running reactor. ``Hub.fromURL`` connects to Redis.

    :param broker: an :class:`realtime_tw.interfaces.IBroker`; the embedded one when not given.
    :param clock: for heartbeats; the reactor when not given.
    :ivar claims: which of its channels have a publisher of live media.
    """

    _log = Logger()

    def __init__(self, broker: IBroker | None = None, clock: IReactorTime | None = None) -> None:
        if clock is None:
            from twisted.internet import reactor

            clock = IReactorTime(reactor)
        if broker is None:
            from realtime_tw.brokers.memory import MemoryBroker

            broker = MemoryBroker(clock)
        self.broker: IBroker = broker
        self.clock = clock
        self.counters = Counters()
        self.claims = Claims()
        self._feeds: dict[tuple[tuple[bytes, ...], IEncoding], Feed] = {}
        self._channels: dict[bytes, list[Feed]] = {}
        self._dirty: list[Feed] = []
        self._batchBytes = 0
        # Channels that the broker has not confirmed yet, and who waits for that.
        self._confirming: dict[bytes, list[Deferred[None]]] = {}
        self._hearts: dict[float, Heart] = {}
        self._subscribers = 0
        # Why everybody was sent away, once that has happened.
        self._closed: str | None = None

    @classmethod
    def fromURL(cls, url: str, reactor: Any = None) -> "Hub":
        """
        A hub with the broker that a URL names (``memory:``, ``redis://[user:password@]host[:port][/db]``,
        ``rediss://...``, ``redis+unix:///path``), connected once the reactor runs.

        :raises ConfigError: for a URL that cannot be used.
        """
        from realtime_tw.brokers import brokerFromURL

        if reactor is None:
            from twisted.internet import reactor
        broker = brokerFromURL(url, reactor)
        reactor.callWhenRunning(broker.start)
        return cls(broker, reactor)

    # For whoever publishes

    def publish(self, channel: bytes | str, payload: bytes, retain: bool = False) -> Deferred[int]:
        """
        Publish one message; see :meth:`realtime_tw.interfaces.IBroker.publish`.

        :param channel: bytes, or text that becomes UTF-8.
        """
        done: Deferred[int] = self.broker.publish(channelName(channel), payload, retain)
        return done.addCallbacks(self._published, self._publishFailed)

    def _published(self, receivers: int) -> int:
        self.counters.published += 1
        return receivers

    def _publishFailed(self, failure: Failure) -> Failure:
        self.counters.publishFailed += 1
        return failure

    # For clients

    def prepare(self, channels: Sequence[bytes]) -> Deferred[None]:
        """
        Subscribe to channels ahead of :meth:`subscribe`, so that a client which is told that it is connected misses
        nothing from then on.

        :return: fires once the broker has confirmed all of them, or after :data:`PREPARE_TIMEOUT` when it is away
            (clients then wait with us), and must be followed by :meth:`subscribe` or :meth:`unprepare` in that turn.
        """
        waits = []
        for channel in channels:
            if channel not in self._channels:
                self._open(channel)
            confirming = self._confirming.get(channel)
            if confirming is not None:
                if not confirming:
                    self.clock.callLater(PREPARE_TIMEOUT, fire, confirming)
                wait: Deferred[None] = Deferred()
                confirming.append(wait)
                waits.append(wait)
        if not waits:
            return succeed(None)
        return gatherResults(waits).addCallback(lambda _: None)

    def unprepare(self, channels: Sequence[bytes]) -> None:
        """The client of :meth:`prepare` is gone."""
        for channel in channels:
            self._closeUnused(channel)

    def subscribe(
        self, subscriber: ISubscriber, channels: Sequence[bytes], retained: bool = True, heartbeat: float = 0
    ) -> None:
        """
        Deliver the messages of channels to a subscriber until :meth:`unsubscribe`.

        :param retained: hand over the channels' retained values first.
        :param heartbeat: seconds between two calls of the subscriber's ``beat``; 0 for none.
        """
        if self._closed is not None:
            self.unprepare(channels)
            subscriber.close(self._closed)
            return
        names = tuple(dict.fromkeys(channels))
        key = (names, subscriber.encoding)
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(names, subscriber.encoding)
            for channel in names:
                if channel not in self._channels:
                    self._open(channel)
                self._channels[channel].append(feed)
        if feed.batch:
            # What was collected before this client came is not for it.
            self.batchEnded()
        feed.add(subscriber)
        subscriber.feed = (feed, heartbeat)
        self._subscribers += 1
        if heartbeat:
            heart = self._hearts.get(heartbeat)
            if heart is None:
                heart = self._hearts[heartbeat] = Heart(self.clock, heartbeat)
            heart.add(subscriber)
        if retained:
            subscriber.hold()
            values = gatherResults([self._retained(channel) for channel in names])
            values.addCallback(self._releaseRetained, subscriber)

    def _retained(self, channel: bytes) -> "Deferred[Message | None]":
        value: Deferred[bytes | None] = self.broker.retained(channel)
        return value.addCallbacks(
            lambda payload: None if payload is None else Message(channel, payload),
            # Without its broker a process cannot know the value; the client waits for live messages.
            lambda failure: failure.trap(BrokerUnavailable) and None,
        )

    def _releaseRetained(self, values: Iterable[Message | None], subscriber: ISubscriber) -> None:
        messages = [message for message in values if message is not None]
        subscriber.release(subscriber.encoding.encode(messages) if messages else b"")

    def unsubscribe(self, subscriber: ISubscriber) -> None:
        """Forget a subscriber. Does nothing for one that is not subscribed."""
        if subscriber.feed is None:
            return
        feed, heartbeat = subscriber.feed
        subscriber.feed = None
        self._subscribers -= 1
        if heartbeat:
            self._hearts[heartbeat].remove(subscriber)
        feed.remove(subscriber)
        if not len(feed):
            del self._feeds[(feed.channels, feed.encoding)]
            for channel in feed.channels:
                self._channels[channel].remove(feed)
                self._closeUnused(channel)

    def closeAll(self, reason: str) -> None:
        """End every subscriber's stream, in the way its protocol has for that; also of those that still come."""
        self._closed = reason
        for waits in tuple(self._confirming.values()):
            fire(waits)
        for feed in tuple(self._feeds.values()):
            for subscriber in feed.members():
                subscriber.close(reason)
                self.unsubscribe(subscriber)
        for heart in self._hearts.values():
            heart.stop()

    def stats(self) -> dict[str, int]:
        """The counters, and how many subscribers and channels there are now."""
        return {
            "subscribers": self._subscribers,
            "channels": len(self._channels),
            "pendingBytes": self.broker.pendingBytes,
            **self.counters.asDict(),
        }

    # From the broker

    def messageReceived(self, message: Message) -> None:
        feeds = self._channels.get(message.channel)
        if not feeds:
            return
        self.counters.messages += 1
        for feed in feeds:
            if not feed.batch:
                self._dirty.append(feed)
            feed.batch.append(message)
        self._batchBytes += len(message.payload)
        if self._batchBytes >= MAX_BATCH:
            self.batchEnded()

    def batchEnded(self) -> None:
        self._batchBytes = 0
        dirty, self._dirty = self._dirty, []
        if len(dirty) == 1:
            feed = dirty[0]
            batch, feed.batch = feed.batch, []
            self._send(feed, feed.encoding.encode(batch), len(batch))
            return
        # Feeds that differ only in channels which said nothing now have equal batches: encode those once, too.
        encoded: dict[tuple[Any, ...], bytes] = {}
        for feed in dirty:
            batch, feed.batch = feed.batch, []
            key = (feed.encoding, *map(id, batch))
            data = encoded.get(key)
            if data is None:
                data = encoded[key] = feed.encoding.encode(batch)
            self._send(feed, data, len(batch))

    def _send(self, feed: Feed, data: bytes, messages: int) -> None:
        reached, missed = feed.send(data)
        counters = self.counters
        counters.deliveries += messages * reached
        counters.bytes += len(data) * reached
        counters.dropped += messages * missed

    def brokerLost(self, reason: str) -> None:
        """Nothing to do: clients stay, and wait with us."""

    def brokerRestored(self) -> None:
        """Nothing to do: subscriptions are the broker's to restore, and clients have stayed."""

    # Channels

    def _open(self, channel: bytes) -> None:
        self._channels[channel] = []
        waits: list[Deferred[None]] = []
        self._confirming[channel] = waits
        confirmed: Deferred[None] = self.broker.subscribe(channel, self)
        confirmed.addErrback(self._refused, channel)
        confirmed.addCallback(lambda _: self._confirmed(channel, waits))

    def _confirmed(self, channel: bytes, waits: list[Deferred[None]]) -> None:
        # The channel may have been closed and opened again since.
        if self._confirming.get(channel) is waits:
            del self._confirming[channel]
        fire(waits)

    def _refused(self, failure: Failure, channel: bytes) -> None:
        self._log.error("the broker refused channel {channel!r}: {error}", channel=channel, error=failure.value)

    def _closeUnused(self, channel: bytes) -> None:
        if channel in self._channels and not self._channels[channel]:
            del self._channels[channel]
            fire(self._confirming.pop(channel, []))
            self.broker.unsubscribe(channel, self)


def fire(waits: list[Deferred[None]]) -> None:
    """Call back everybody who waits, and forget them."""
    pending = waits[:]
    waits.clear()
    for wait in pending:
        wait.callback(None)


def channelName(name: bytes | str) -> bytes:
    """A channel's name as brokers spell it: text becomes UTF-8."""
    return name.encode("utf-8") if isinstance(name, str) else name
