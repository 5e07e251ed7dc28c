"""
The Redis broker: one connection that publishes and one that is subscribed, whatever the number of clients.

While Redis is away, subscriptions wait and publishes fail at once; when it is back every subscription is restored.
Redis pub/sub has no memory, so what others published in between is not received: only retained values survive.

A retained value is the key ``<channel>:retained``, set in the same transaction as the message. It has a time to live
that its owner keeps refreshing, so that it vanishes with its owner; it is written again when Redis lost it.
"""

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from realtime_tw.brokers.connections import Link, LinkFactory, PublisherLink, SubscriberLink, unavailable
from realtime_tw.brokerurl import BrokerURL
from realtime_tw.errors import BrokerUnavailable, ConfigError
from realtime_tw.interfaces import IBroker, IReceiver
from realtime_tw.model import Message, Prefix

#: Unanswered publishes, in bytes. Redis answers within a millisecond unless it is blocked; beyond this it is hopeless
#: and the publishers are told so.
MAX_PENDING = 16 << 20

#: Seconds that a retained value outlives a process that was killed, and how often its owner refreshes it.
RETAINED_TTL, RETAINED_REFRESH = 60, 20

CONNECT_TIMEOUT = 5.0

_UNRETAIN = b"if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"


def endpointFor(url: BrokerURL, reactor: Any) -> IStreamClientEndpoint:
    """
    The client endpoint of a ``redis``, ``rediss`` (certificate and host name verified) or ``redis+unix`` URL.

    :raises ConfigError: when the authorities' file cannot be used.
    """
    if url.scheme == "redis+unix":
        return UNIXClientEndpoint(reactor, url.path, timeout=CONNECT_TIMEOUT)
    endpoint = HostnameEndpoint(reactor, url.host, url.port, timeout=CONNECT_TIMEOUT)
    if url.scheme == "redis":
        return endpoint
    trust = None
    if url.cafile is not None:
        try:
            with open(url.cafile, "rb") as file:
                trust = trustRootFromCertificates([Certificate.loadPEM(pem) for pem in certificatesIn(file.read())])
        except Exception as error:
            raise ConfigError(f'cannot use the authorities in "{url.cafile}": {error}') from error
    return wrapClientTLS(optionsForClientTLS(url.host, trustRoot=trust), endpoint)


def certificatesIn(pem: bytes) -> list[bytes]:
    """
    The certificates in a PEM file, one by one, without whatever else it holds.

    :raises ValueError: when there is none.
    """
    found = re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", pem, re.DOTALL)
    if not found:
        raise ValueError("it holds no certificate")
    return found


@implementer(IBroker)
class RedisBroker:
    """
    :param url: a parsed ``redis``, ``rediss`` or ``redis+unix`` URL.
    :param maxPending: bytes of unanswered publishes beyond which publishing fails.
    """

    _log = Logger()

    def __init__(self, url: BrokerURL, reactor: Any, maxPending: int = MAX_PENDING) -> None:
        self.url = url
        self._reactor = reactor
        self._maxPending = maxPending
        self._endpoint = endpointFor(url, reactor)
        self._started = False
        self._publisher: PublisherLink | None = None
        self._subscriber: SubscriberLink | None = None
        self._factories: list[LinkFactory] = []
        self._receivers: dict[bytes | Prefix, list[IReceiver]] = {}
        self._confirmed: set[bytes | Prefix] = set()
        self._waiting: dict[bytes | Prefix, list[Deferred[None]]] = {}
        # After a reconnection: the subscriptions that Redis has neither confirmed nor refused yet.
        self._unanswered: set[bytes | Prefix] = set()
        self._touched: dict[int, IReceiver] = {}
        self._lost = False
        self._own: dict[bytes, bytes] = {}
        self._lookups: dict[bytes, list[Deferred[bytes | None]]] = {}
        self._refresh = LoopingCall(self._refreshRetained)
        self._refresh.clock = reactor

    # IBroker

    @property
    def connected(self) -> bool:
        return self._publisher is not None and self._subscriber is not None

    @property
    def pendingBytes(self) -> int:
        return self._publisher.pendingBytes if self._publisher is not None else 0

    def start(self) -> None:
        if self._started:
            return
        self._started = True
        for protocol, name in ((PublisherLink, "publisher"), (SubscriberLink, "subscriber")):
            factory = LinkFactory(
                protocol,
                self,
                name,
                str(self.url),
                db=self.url.db,
                user=self.url.user,
                password=self.url.password,
            )
            self._factories.append(factory)
            factory.startConnecting(self._endpoint)

    def stop(self) -> Deferred[None]:
        if self._refresh.running:
            self._refresh.stop()
        given = [self.unretain(channel).addErrback(lambda _: None) for channel in tuple(self._own)]
        if self._publisher is not None:
            # An answer to this comes after the answers to everything before it.
            given.append(self._publisher.send(b"PING").addErrback(lambda _: None))
        done = gatherResults(given)
        done.addCallback(lambda _: gatherResults([factory.disconnect() for factory in self._factories]))
        return done.addCallback(lambda _: None)

    def publish(self, channel: bytes, payload: bytes, retain: bool = False) -> Deferred[int]:
        if retain:
            self._own[channel] = payload
            if not self._refresh.running:
                self._refresh.start(RETAINED_REFRESH, now=False)
        link = self._publisher
        if link is None:
            return unavailable("Redis is away")
        if link.pendingBytes + len(payload) > self._maxPending and link.pendingBytes:
            return unavailable("Redis does not keep up: too much is waiting to be published")
        if retain:
            done = link.sendAll(
                [
                    (b"MULTI",),
                    (b"SET", retainedKey(channel), payload, b"EX", RETAINED_TTL),
                    (b"PUBLISH", channel, payload),
                    (b"EXEC",),
                ]
            )
            return done.addCallback(lambda replies: replies[-1])
        return link.send(b"PUBLISH", channel, payload)

    def unretain(self, channel: bytes) -> Deferred[None]:
        payload = self._own.pop(channel, None)
        if not self._own and self._refresh.running:
            self._refresh.stop()
        if payload is None:
            return succeed(None)
        if self._publisher is None:
            return unavailable("Redis is away")
        done = self._publisher.send(b"EVAL", _UNRETAIN, 1, retainedKey(channel), payload)
        return done.addCallback(lambda _: None)

    def retained(self, channel: bytes) -> Deferred[bytes | None]:
        if self._publisher is None:
            return unavailable("Redis is away")
        value: Deferred[bytes | None] = Deferred()
        if not self._lookups:
            # A crowd that joins in one turn asks once.
            self._reactor.callLater(0, self._lookUp)
        self._lookups.setdefault(channel, []).append(value)
        return value

    def subscribe(self, channel: bytes | Prefix, receiver: IReceiver) -> Deferred[None]:
        receivers = self._receivers.get(channel)
        if receivers is None:
            receivers = self._receivers[channel] = []
            if self._subscriber is not None:
                self._subscriber.subscribeTo([channel])
        if receiver not in receivers:
            receivers.append(receiver)
        if channel in self._confirmed:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.setdefault(channel, []).append(waiting)
        return waiting

    def unsubscribe(self, channel: bytes | Prefix, receiver: IReceiver) -> None:
        receivers = self._receivers.get(channel)
        if receivers is None or receiver not in receivers:
            return
        receivers.remove(receiver)
        if not receivers:
            del self._receivers[channel]
            self._confirmed.discard(channel)
            self._unanswered.discard(channel)
            for waiting in self._waiting.pop(channel, ()):
                waiting.callback(None)
            if self._subscriber is not None:
                self._subscriber.unsubscribeFrom([channel])

    # From the connections

    def linkReady(self, link: Link) -> None:
        if isinstance(link, SubscriberLink):
            self._subscriber = link
            self._unanswered = set(self._receivers)
            link.subscribeTo(self._receivers)
            self._restoredWhenConfirmed()
        else:
            self._publisher = link
            for channel, payload in self._own.items():
                link.send(b"SET", retainedKey(channel), payload, b"EX", RETAINED_TTL, b"NX").addErrback(self._logged)

    def linkLost(self, link: Link, reason: Failure) -> None:
        if link is self._publisher:
            self._publisher = None
        elif link is self._subscriber:
            self._subscriber = None
            self._confirmed.clear()
            self._lost = True
            self._tellAll(lambda receiver: receiver.brokerLost(reason.getErrorMessage()))

    def linkAway(self, name: str, why: str, delay: float) -> None:
        # The two connections come and go together: while the publisher is away, it speaks for both.
        if name == "publisher" or self._publisher is not None:
            self._log.warn(
                "Redis at {place} is away: {why} (next attempt in {delay:.1f} s)",
                place=self.url,
                why=why,
                delay=delay,
            )

    def messageArrived(self, channel: bytes, payload: bytes, prefix: Prefix | None = None) -> None:
        message = Message(channel, payload)
        for receiver in self._receivers.get(channel if prefix is None else prefix, ()):
            receiver.messageReceived(message)
            self._touched[id(receiver)] = receiver

    def readEnded(self) -> None:
        if self._touched:
            touched, self._touched = self._touched, {}
            for receiver in touched.values():
                receiver.batchEnded()

    def subscribed(self, channel: bytes | Prefix) -> None:
        if channel not in self._receivers:
            return
        self._confirmed.add(channel)
        self._unanswered.discard(channel)
        for waiting in self._waiting.pop(channel, ()):
            waiting.callback(None)
        self._restoredWhenConfirmed()

    def refused(self, channel: bytes | Prefix, why: str) -> None:
        for waiting in self._waiting.pop(channel, ()):
            waiting.errback(BrokerUnavailable(f"Redis refused the channel: {why}"))
        self._unanswered.discard(channel)
        self._restoredWhenConfirmed()

    def _restoredWhenConfirmed(self) -> None:
        if self._lost and not self._unanswered:
            self._lost = False
            self._tellAll(lambda receiver: receiver.brokerRestored())

    def _tellAll(self, tell: Callable[[IReceiver], None]) -> None:
        everybody = {id(receiver): receiver for receivers in self._receivers.values() for receiver in receivers}
        for receiver in everybody.values():
            tell(receiver)

    # Retained values

    def _lookUp(self) -> None:
        lookups, self._lookups = self._lookups, {}
        link = self._publisher
        keys = [retainedKey(channel) for channel in lookups]
        answer = unavailable("Redis is away") if link is None else link.send(b"MGET", *keys)

        def found(values: list[bytes | None]) -> None:
            for waiting, value in zip(lookups.values(), values, strict=True):
                for one in waiting:
                    one.callback(value)

        def failed(failure: Failure) -> None:
            for waiting in lookups.values():
                for one in waiting:
                    one.errback(failure)

        answer.addCallbacks(found, failed)

    def _refreshRetained(self) -> None:
        link = self._publisher
        if link is None:
            return
        for channel, payload in self._own.items():
            # NX brings back what Redis lost, and leaves alone what another process has published since.
            link.sendAll(
                [
                    (b"SET", retainedKey(channel), payload, b"EX", RETAINED_TTL, b"NX"),
                    (b"EXPIRE", retainedKey(channel), RETAINED_TTL),
                ]
            ).addErrback(self._logged)

    def _logged(self, failure: Failure) -> None:
        self._log.warn("retained value not refreshed: {error}", error=failure.value)


def retainedKey(channel: bytes) -> bytes:
    """The key under which a channel's retained value lives."""
    return channel + b":retained"
