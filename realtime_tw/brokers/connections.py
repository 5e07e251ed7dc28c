"""
The two connections to a Redis server: one that publishes, one that is subscribed.

txredisapi connects, reconnects, authenticates and selects the database. From then on the protocols here speak RESP
directly: a PUBLISH through its handler costs ten times the CPU of the bytes themselves, and its subscriber converts
payloads, resolves the wrong Deferred when several channels are subscribed, and hands over one message at a time.

Importing this module installs a reactor (txredisapi does).
"""

import random
import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import hiredis
import txredisapi
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint, ITCPTransport
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from realtime_tw.errors import BrokerUnavailable
from realtime_tw.model import Prefix

#: Seconds between two looks at a connection. One that has brought nothing since the last look, though it was asked
#: for an answer, is dead: a half-open connection is noticed within twice this time.
CHECK_INTERVAL = 5.0

#: Read size. The default of 64 KiB would split a 1 MiB message into sixteen reads.
READ_SIZE = 1 << 18

#: Delays between attempts to connect, in seconds: from quick to a steady pace that finds a restarted server soon.
FIRST_DELAY, LONGEST_DELAY, GROWTH = 0.1, 1.2, 1.8

#: The share of a delay that is random, so that a thousand processes do not knock at once.
JITTER = 0.25

# What is special in a Redis pattern.
_GLOB = re.compile(rb"[\\*?\[\]]")


class LinkOwner(Protocol):
    """Who uses a connection."""

    def linkReady(self, link: Any) -> None: ...
    def linkLost(self, link: Any, reason: Failure) -> None: ...
    def linkAway(self, name: str, why: str, delay: float) -> None: ...


class LinkFactory(txredisapi.RedisFactory):
    """
    Keeps one connection of a given protocol open, and tells its owner when it cannot: once for each attempt.

    :param name: what the connection is for.
    :param place: the server, in the log.
    :ivar why: the last trouble, in words.
    """

    noisy = False
    _log = Logger()

    def __init__(
        self,
        protocol: "Callable[..., Link]",
        owner: LinkOwner,
        name: str,
        place: str,
        *,
        db: int | None,
        user: str | None,
        password: str | None,
    ) -> None:
        super().__init__(None, db, 1, charset=None, password=password, convertNumbers=False, username=user)
        self.protocol = protocol
        self.owner = owner
        self._name = name
        self._place = place
        # Counted here: Twisted's own count starts again with every connection, also one that is lost before it is
        # of any use.
        self._attempts = 0
        self.why = ""

    def startConnecting(self, endpoint: IStreamClientEndpoint) -> None:
        super().startConnecting(_TellingEndpoint(endpoint, self))

    def retryDelay(self, attempt: int) -> float:
        self._attempts += 1
        delay = min(FIRST_DELAY * GROWTH ** min(self._attempts, 20), LONGEST_DELAY)
        delay *= 1 - JITTER * random.random()
        self.owner.linkAway(self._name, self.why, delay)
        return delay

    def addConnection(self, conn: "Link") -> None:
        # The base class also queues it for borrowers, of which there are none: the queue would keep every connection
        # there ever was.
        if self.disconnectCalled:
            conn.transport.loseConnection()
        elif conn.connected:
            conn.whenDisconnected().addCallback(self.delConnection)
            self.pool.append(conn)
            self.size = len(self.pool)
            conn.greet()

    def welcomed(self) -> None:
        """Redis has answered."""
        self._attempts = 0
        self._log.info("connected to Redis at {place} ({name})", place=self._place, name=self._name)

    def stopTrying(self) -> Deferred[None]:
        """A refused login is tried again, at the usual pace: passwords are changed on running servers."""
        return succeed(None)

    def connectionError(self, why: str) -> None:
        self.why = why


@implementer(IStreamClientEndpoint)
class _TellingEndpoint:
    """An endpoint that tells why it could not connect, which Twisted's service for reconnecting keeps to itself."""

    def __init__(self, endpoint: IStreamClientEndpoint, factory: LinkFactory) -> None:
        self._endpoint = endpoint
        self._factory = factory

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        attempt: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return attempt.addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        self._factory.why = failure.getErrorMessage()
        return failure


#: What Redis answers while it cannot be used: no or no valid login, still reading its data, a replica on its own.
#: Any other answer, a refused PING included, comes from a server that is there for us.
_UNUSABLE = ("NOAUTH", "LOADING", "MASTERDOWN")


class Link(txredisapi.HiredisProtocol):
    """What both connections share: binary replies, a watch over dead peers, and telling their owner."""

    _greeted = False
    _established = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reader = hiredis.Reader(protocolError=txredisapi.InvalidData, replyError=txredisapi.ResponseError)
        self._heard = True
        self._watch = LoopingCall(self._look)

    def connectionMade(self) -> Any:
        self.transport.bufferSize = READ_SIZE
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        # Logging in counts: a server that accepts and then says nothing must not hold us for ever.
        self._watch.start(CHECK_INTERVAL, now=False)
        return super().connectionMade()

    def greet(self) -> None:
        """
        Logged in, with the database selected, if there was anything to do for that: ask for a first answer.

        A connection alone says nothing: with TLS the certificate is not verified yet, and a suspended server's kernel
        accepts in its name.
        """
        self._greeted = True
        self.transport.write(packed((b"PING",)))

    def _welcomed(self, reply: Any) -> None:
        if isinstance(reply, txredisapi.ResponseError) and str(reply).startswith(_UNUSABLE):
            self.factory.why = str(reply)
            self.transport.loseConnection()
            return
        self._established = True
        self.factory.welcomed()
        self.factory.owner.linkReady(self)

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        self._heard = True
        reader = self._reader
        reader.feed(data)
        handle = self.replied if self._established else self._welcomed if self._greeted else self.replyReceived
        try:
            reply = reader.gets()
            while reply is not False:
                handle(reply)
                reply = reader.gets()
        except txredisapi.InvalidData:
            self.transport.abortConnection()
        self.readEnded()

    def replied(self, reply: Any) -> None:
        """One reply after login."""
        raise AssertionError("subclasses define replied()")

    def readEnded(self) -> None:
        """Everything that one read brought was handed to :meth:`replied`."""

    def ping(self) -> None:
        """Ask for an answer of any kind."""

    def _look(self) -> None:
        if not self._heard:
            self.transport.abortConnection()
            return
        self._heard = False
        if self._established:
            self.ping()

    def connectionLost(self, reason: Failure) -> None:
        if self._watch.running:
            self._watch.stop()
        if self._established or not reason.check(ConnectionDone):
            # A close of our own has had its reason told already.
            self.factory.why = reason.getErrorMessage()
        super().connectionLost(reason)
        if self._established:
            self._established = False
            self.factory.owner.linkLost(self, reason)


class PublisherLink(Link):
    """
    Pipelines commands; replies come back in order.

    :ivar pendingBytes: command bytes not answered yet.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sent: deque[tuple[Deferred[Any] | None, int]] = deque()
        self.pendingBytes = 0

    def send(self, *command: bytes | int) -> Deferred[Any]:
        """One command. Fires with its reply, or fails with ``BrokerUnavailable`` carrying Redis' words."""
        return self.sendAll([command])

    def sendAll(self, commands: Iterable[tuple[bytes | int, ...]]) -> Deferred[Any]:
        """Several commands in one write. Fires with the reply to the last."""
        done: Deferred[Any] = Deferred()
        pieces = [packed(command) for command in commands]
        for piece in pieces[:-1]:
            self._sent.append((None, len(piece)))
        self._sent.append((done, len(pieces[-1])))
        data = b"".join(pieces)
        self.pendingBytes += len(data)
        self.transport.write(data)
        return done

    def replied(self, reply: Any) -> None:
        if not self._sent:
            self.transport.abortConnection()
            return
        done, size = self._sent.popleft()
        self.pendingBytes -= size
        if done is None:
            return
        if isinstance(reply, txredisapi.ResponseError):
            done.errback(BrokerUnavailable(f"Redis refused: {reply}"))
        else:
            done.callback(reply)

    def ping(self) -> None:
        self.send(b"PING").addErrback(lambda _: None)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        sent, self._sent = self._sent, deque()
        self.pendingBytes = 0
        for done, _ in sent:
            if done is not None:
                done.errback(BrokerUnavailable("the connection to Redis was lost before it answered"))


class SubscriberLink(Link):
    """
    Subscribes, and hands messages straight to its owner: ``messageArrived(channel, payload)`` for each (with the
    prefix, for one that a prefix has brought), then ``readEnded()`` once per read; ``subscribed(channel)`` or
    ``refused(channel, why)`` for each subscription.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sent: deque[tuple[bytes, bytes | Prefix]] = deque()
        self._prefixes: dict[bytes, Prefix] = {}

    def subscribeTo(self, channels: Iterable[bytes | Prefix]) -> None:
        # One command for each: an ACL that denies one channel refuses the whole command.
        self._command(b"SUBSCRIBE", channels)

    def unsubscribeFrom(self, channels: Iterable[bytes | Prefix]) -> None:
        self._command(b"UNSUBSCRIBE", channels)

    def _command(self, verb: bytes, channels: Iterable[bytes | Prefix]) -> None:
        pieces = []
        for channel in channels:
            self._sent.append((verb, channel))
            if isinstance(channel, Prefix):
                pattern = _GLOB.sub(rb"\\\g<0>", channel.text) + b"*"
                self._prefixes[pattern] = channel
                pieces.append(packed((b"P" + verb, pattern)))
            else:
                pieces.append(packed((verb, channel)))
        self.transport.write(b"".join(pieces))

    def replied(self, reply: Any) -> None:
        if type(reply) is list and len(reply) == 3 and reply[0] == b"message":
            self.factory.owner.messageArrived(reply[1], reply[2])
            return
        if type(reply) is list and len(reply) == 4 and reply[0] == b"pmessage":
            self.factory.owner.messageArrived(reply[2], reply[3], self._prefixes.get(reply[1]))
            return
        if not self._sent:
            self.transport.abortConnection()
            return
        verb, channel = self._sent.popleft()
        if verb == b"SUBSCRIBE":
            if isinstance(reply, txredisapi.ResponseError):
                self.factory.owner.refused(channel, str(reply))
            else:
                self.factory.owner.subscribed(channel)

    def readEnded(self) -> None:
        self.factory.owner.readEnded()

    def ping(self) -> None:
        self._sent.append((b"PING", b""))
        self.transport.write(packed((b"PING",)))


def packed(command: tuple[bytes | int, ...]) -> bytes:
    """A command in RESP."""
    # hiredis' type information speaks of one-element tuples only.
    pack: Callable[[Any], bytes] = hiredis.pack_command
    return pack(command)


def unavailable(message: str) -> Deferred[Any]:
    """A Deferred that has failed with ``BrokerUnavailable``."""
    return fail(BrokerUnavailable(message))
