"""
The WebSocket resource: what clients send is published, what is published reaches all clients; or a callable gets it.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import BAD_REQUEST
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from realtime_tw.codec.websocket import Opcode, deflated, frame, isText
from realtime_tw.counters import Counters
from realtime_tw.errors import BrokerUnavailable
from realtime_tw.hub import Hub, channelName
from realtime_tw.interfaces import IEncoding
from realtime_tw.model import Message
from realtime_tw.web.backlog import Backlog
from realtime_tw.web.base import Channels, RealtimeResource, answer, channelNames
from realtime_tw.web.upgrade import canRelease, release
from realtime_tw.web.wsconnection import (
    INTERNAL,
    POLICY,
    TRY_LATER,
    UNSUPPORTED,
    Handler,
    Limits,
    WebSocketConnection,
    WebSocketFactory,
)

OnMessage = Callable[[WebSocketConnection, bytes, bool], object]

#: Messages that a client may send at once before its rate is looked at, in seconds of that rate.
BURST_SECONDS = 2.0

_log = Logger()

_VERSION = b"13"

UPGRADE_REQUIRED = 426
_TOKENS = re.compile(rb"\s*,\s*")


@implementer(IEncoding)
@dataclass(frozen=True, slots=True)
class WebSocketEncoding:
    """
    One frame per message.

    :ivar frames: ``text``, ``binary``, or ``auto``: text for what is valid UTF-8.
    :ivar windowBits: of compression without context takeover; None for none.
    """

    frames: str = "auto"
    windowBits: int | None = None

    #: Connections ping by themselves, because a ping wants an answer.
    heartbeat = b""

    def encode(self, messages: Sequence[Message]) -> bytes:
        return b"".join([self.one(message.payload) for message in messages])

    def one(self, payload: bytes) -> bytes:
        """The frame of one message."""
        text = self.frames == "text" or (self.frames == "auto" and isText(payload))
        opcode = Opcode.TEXT if text else Opcode.BINARY
        if text and self.frames == "text" and not isText(payload):
            # A text frame must be UTF-8, and clients close the connection over one that is not.
            payload = payload.decode("utf-8", "replace").encode()
        if self.windowBits is not None:
            return frame(opcode, deflated(payload, self.windowBits), rsv1=True)
        return frame(opcode, payload)

    def frame(self, data: bytes) -> bytes:
        return data

    def farewell(self) -> bytes:
        return b""


class UpgradeResource(RealtimeResource):
    """Turns requests into WebSocket connections. Subclasses give the factory, and a handler for each client."""

    methods = (b"GET",)
    strictOrigin = True

    def factoryFor(self, request: Request) -> WebSocketFactory:
        """What the connections share; asked for once the request is known to be good."""
        raise AssertionError("subclasses define factoryFor()")

    def handlerFor(self, request: Request) -> Handler:
        """Who this client belongs to."""
        raise AssertionError("subclasses define handlerFor()")

    def respond(self, request: Request) -> bytes | int:
        problem = upgradeProblem(request)
        if problem is not None:
            status, text = problem
            if request.clientproto.startswith(b"HTTP/1."):
                # Of this connection only, and forbidden on HTTP/2.
                request.setHeader(b"Upgrade", b"websocket")
                request.responseHeaders.addRawHeader(b"Connection", b"Upgrade")
            return answer(request, status, text, {b"Sec-WebSocket-Version": _VERSION})
        upgrade(request, self.factoryFor(request), self.handlerFor(request))
        return NOT_DONE_YET


def upgradeProblem(request: Request) -> tuple[int, str] | None:
    """Why a request cannot become a WebSocket (RFC 6455, section 4.2.1): a status and a sentence; None when it can."""
    if request.clientproto != b"HTTP/1.1" or b"websocket" not in tokens(request, b"Upgrade"):
        return UPGRADE_REQUIRED, "this address speaks WebSocket over HTTP/1.1"
    if b"upgrade" not in tokens(request, b"Connection"):
        return BAD_REQUEST, "the Connection header does not name the upgrade"
    if request.getHeader(b"Sec-WebSocket-Version") != _VERSION:
        return UPGRADE_REQUIRED, "WebSocket version 13 is spoken here"
    keys = request.requestHeaders.getRawHeaders(b"Sec-WebSocket-Key", [])
    try:
        good = len(keys) == 1 and len(base64.b64decode(keys[0], validate=True)) == 16
    except binascii.Error:
        good = False
    if not good:
        return BAD_REQUEST, "the Sec-WebSocket-Key is not 16 bytes in base64"
    if not canRelease(request):
        return BAD_REQUEST, "this connection cannot be upgraded"
    return None


def tokens(request: Request, name: bytes) -> list[bytes]:
    """The comma-separated tokens of a header, in lower case."""
    values = request.requestHeaders.getRawHeaders(name, [])
    return [token.lower() for value in values for token in _TOKENS.split(value.strip())]


def upgrade(request: Request, factory: WebSocketFactory, handler: Handler) -> WebSocketConnection:
    """Make a WebSocket of a request in which :func:`upgradeProblem` found nothing."""
    lines = [b"GET / HTTP/1.1"]
    for name, values in request.requestHeaders.getAllRawHeaders():
        if name.lower().startswith(b"sec-websocket-") or name.lower() in (b"host", b"upgrade", b"connection"):
            lines.append(name + b": " + b", ".join(values))
    if not request.requestHeaders.hasHeader(b"Host"):
        lines.append(b"Host: localhost")
    request.setResponseCode(101)
    return factory.connect(release(request), b"\r\n".join(lines) + b"\r\n\r\n", handler)


class WebSocketResource(UpgradeResource):
    """
    Channels over WebSocket.

    :param hub: where the channels are; may be None with ``on_message``.
    :param subscribe: channels whose messages the client gets; see :func:`realtime_tw.web.base.channelNames`.
    :param publish: the channel that the client's messages go to, between ``prefix`` and ``suffix``. Without it, and
        without ``on_message``, a message from the client closes the connection with 1003.
    :param on_message: called with the connection, the payload and whether it is binary, instead of publishing. When it
        raises, the connection is closed with 1011.
    :param frames: ``auto`` (text for UTF-8, else binary), ``text`` or ``binary``.
    :param protocols: subprotocols that may be chosen, best first.
    :param rate: messages per second that a client may send; beyond, it is closed with 1008. None for any number.
    :param publishFailure: ``close`` (with 1013) or ``drop``, when the broker does not take a message.
    :param retained: send the channels' retained values first.
    :param clock: for pings; the hub's when not given.
    :param factory: shared by several resources, with ``limits``, ``frames``, ``protocols`` and ``clock`` of its own.

    The other parameters are those of :class:`realtime_tw.web.wsconnection.Limits`.
    """

    def __init__(
        self,
        hub: Hub | None = None,
        subscribe: Channels | None = None,
        publish: bytes | str | None = None,
        *,
        on_message: OnMessage | None = None,
        prefix: bytes = b"",
        suffix: bytes = b"",
        frames: str = "auto",
        protocols: Sequence[str] = (),
        rate: float | None = None,
        publishFailure: str = "close",
        retained: bool = True,
        origins: str | Iterable[str] | None = None,
        limits: Limits | None = None,
        clock: Any = None,
        factory: WebSocketFactory | None = None,
    ) -> None:
        super().__init__(origins)
        if hub is None and (subscribe or publish):
            raise ValueError("channels need a hub")
        if frames not in ("auto", "text", "binary"):
            raise ValueError(f"frames must be auto, text or binary, not {frames!r}")
        if publishFailure not in ("close", "drop"):
            raise ValueError(f"publishFailure must be close or drop, not {publishFailure!r}")
        if clock is None:
            if hub is not None:
                clock = hub.clock
            else:
                from twisted.internet import reactor as clock
        self.hub = hub
        self.channels = channelNames(subscribe) if subscribe else ()
        self.publishTo = channelName(publish) if publish else None
        self.onMessage = on_message
        self.prefix = prefix
        self.suffix = suffix
        self.rate = rate
        self.publishFailure = publishFailure
        self.retained = retained
        if factory is None:
            counters = hub.counters if hub is not None else Counters()
            factory = webSocketFactory(clock, counters, limits or Limits(), frames, protocols)
        self.factory = factory

    def factoryFor(self, request: Request) -> WebSocketFactory:
        return self.factory

    def handlerFor(self, request: Request) -> Handler:
        return ChannelHandler(self)


def webSocketFactory(
    clock: Any, counters: Counters, limits: Limits, frames: str = "auto", protocols: Sequence[str] = ()
) -> WebSocketFactory:
    """What connections share whose clients get every message as one frame."""
    return WebSocketFactory(clock, counters, limits, lambda bits: WebSocketEncoding(frames, bits), protocols)


class ChannelHandler:
    """One client of a :class:`WebSocketResource`."""

    __slots__ = ("_backlog", "_credit", "_resource", "_since")

    def __init__(self, resource: WebSocketResource) -> None:
        self._resource = resource
        self._backlog: Backlog | None = None
        self._credit = 0.0
        self._since: float | None = None

    def opened(self, connection: WebSocketConnection) -> None:
        resource = self._resource
        if resource.channels and resource.hub is not None:
            resource.hub.subscribe(connection.out, resource.channels, resource.retained)

    def messageReceived(self, connection: WebSocketConnection, payload: bytes, isBinary: bool) -> None:
        resource = self._resource
        if resource.rate is not None and not self._mayGoOn(resource.rate, connection.factory.clock.seconds()):
            connection.end(POLICY, "too many messages")
        elif resource.onMessage is not None:
            try:
                resource.onMessage(connection, payload, isBinary)
            except Exception:
                _log.failure("on_message failed")
                connection.end(INTERNAL, "something went wrong here")
        elif resource.publishTo is None or resource.hub is None:
            connection.end(UNSUPPORTED, "nothing is received here")
        else:
            self._publish(connection, resource.hub, resource.publishTo, resource.prefix + payload + resource.suffix)

    def _publish(self, connection: WebSocketConnection, hub: Hub, channel: bytes, message: bytes) -> None:
        backlog, size = self._backlog, len(message)
        if backlog is None:
            backlog = self._backlog = Backlog(connection.pause, connection.resume)
        backlog.add(size)
        hub.publish(channel, message).addCallbacks(
            lambda _: None, self._publishFailed, errbackArgs=(connection,)
        ).addCallback(lambda _: backlog.done(size))

    def _publishFailed(self, failure: Failure, connection: WebSocketConnection) -> None:
        failure.trap(BrokerUnavailable)
        if self._resource.publishFailure == "close":
            connection.end(TRY_LATER, str(failure.value))

    def _mayGoOn(self, rate: float, now: float) -> bool:
        """A token bucket."""
        limit = max(rate * BURST_SECONDS, 1.0)
        earned = limit if self._since is None else (now - self._since) * rate
        self._since = now
        self._credit = min(self._credit + earned, limit)
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def ending(self, connection: WebSocketConnection) -> None:
        if self._resource.hub is not None:
            self._resource.hub.unsubscribe(connection.out)

    def closed(self, connection: WebSocketConnection, code: int, reason: str) -> None:
        self.ending(connection)
