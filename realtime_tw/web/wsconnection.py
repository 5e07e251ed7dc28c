"""
WebSocket connections (RFC 6455) on a site's port: Autobahn speaks the protocol, the hub's sinks carry the frames.

What a broadcast sends is built once, by :mod:`realtime_tw.codec.websocket`; a connection's own frames (replies, pongs,
closes) go through the same sink, so that nothing can come between the halves of a frame.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflate
from autobahn.websocket.protocol import TrafficStats
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from realtime_tw.codec.websocket import MAX_REASON, Opcode, deflated, frame
from realtime_tw.counters import Counters
from realtime_tw.heartbeat import Heart
from realtime_tw.interfaces import IEncoding
from realtime_tw.sinks import ConsumerSink, DirectSink, isDirect
from realtime_tw.subscriber import DEFAULT_LIMIT, SlowPolicy, Subscriber
from realtime_tw.web.deflate import agreement
from realtime_tw.web.upgrade import Released

#: Close codes of RFC 6455, section 7.4.1, and of the IANA registry.
NORMAL, GOING_AWAY, PROTOCOL, UNSUPPORTED = 1000, 1001, 1002, 1003
POLICY, TOO_BIG, INTERNAL, TRY_LATER = 1008, 1009, 1011, 1013

#: The largest message from a client, unless said otherwise: chats and commands are far below.
MAX_MESSAGE = 1 << 16

#: Seconds for the client's half of the closing handshake; then the connection is cut.
CLOSE_TIMEOUT = 5.0


class Handler(Protocol):
    """Who a connection belongs to. All methods are synchronous."""

    def opened(self, connection: "WebSocketConnection") -> None:
        """The handshake is complete."""

    def messageReceived(self, connection: "WebSocketConnection", payload: bytes, isBinary: bool) -> None:
        """A whole message; text is valid UTF-8."""

    def ending(self, connection: "WebSocketConnection") -> None:
        """We have begun to close: nothing may be sent any more."""

    def closed(self, connection: "WebSocketConnection", code: int, reason: str) -> None:
        """The connection is gone."""


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What a connection may cost.

    :ivar maxMessage: bytes of a message from the client, after decompression.
    :ivar buffer: bytes that may wait for a client that reads slowly.
    :ivar slow: what happens beyond.
    :ivar ping: seconds between pings; 0 for none.
    :ivar pongTimeout: seconds in which the client must be heard of after a ping.
    :ivar compress: accept permessage-deflate (RFC 7692).
    """

    maxMessage: int = MAX_MESSAGE
    buffer: int = DEFAULT_LIMIT
    slow: SlowPolicy = SlowPolicy.CLOSE
    ping: float = 25.0
    pongTimeout: float = 20.0
    compress: bool = False


class WebSocketSubscriber(Subscriber):
    """The sending half of a connection, and the hub's view of it."""

    __slots__ = ("_check", "connection", "heard")

    def __init__(
        self, connection: "WebSocketConnection", encoding: IEncoding, sink: Any, counters: Counters, limits: Limits
    ) -> None:
        super().__init__(encoding, sink, counters, limits.buffer, limits.slow)
        self.connection = connection
        #: Whether the client was heard of since the last ping.
        self.heard = True
        self._check: Any = None

    def overflowed(self) -> None:
        self.connection.end(POLICY, "reading too slowly")

    def close(self, reason: str) -> None:
        self.connection.end(GOING_AWAY, reason)

    def beat(self) -> None:
        connection = self.connection
        if self.sink is None or connection.paused or connection.state != connection.STATE_OPEN:
            # A client that we do not listen to cannot answer, and one that we have said goodbye to need not.
            return
        if self.sink.bufferedBytes():
            # A ping would have to wait behind what the client does not read: watch whether it reads at all.
            super().beat()
            return
        if self._check is not None:
            if not self.heard:
                # It still has time to answer the last one.
                return
            self._check.cancel()
        self.heard = False
        self.push(frame(Opcode.PING, b""))
        factory = connection.factory
        self._check = factory.clock.callLater(factory.limits.pongTimeout, self._checkPong)

    def _checkPong(self) -> None:
        self._check = None
        if not self.heard and not self.connection.paused:
            self.abort()

    def lost(self) -> None:
        check, self._check = self._check, None
        if check is not None:
            check.cancel()
        super().lost()


class WebSocketFactory(WebSocketServerFactory):
    """
    What the connections of one resource share.

    :param protocols: subprotocols that may be chosen, best first.
    :param encoding: makes the encoding of a connection from the window of its compression, None without.
    """

    noisy = False

    def __init__(
        self,
        clock: Any,
        counters: Counters,
        limits: Limits,
        encoding: Callable[[int | None], IEncoding],
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(reactor=clock, protocols=list(protocols))
        self.clock = IReactorTime(clock)
        self.counters = counters
        self.limits = limits
        self.encoding = encoding
        self.chosen = tuple(protocols)
        # Autobahn copies its settings from the factory to every connection, and formats them for a debug log that
        # nobody reads, at a millisecond each. As attributes of a class they are shared, and nothing is copied.
        self.setProtocolOptions(
            maxMessagePayloadSize=limits.maxMessage,
            maxFramePayloadSize=limits.maxMessage,
            failByDrop=False,
            echoCloseCodeReason=True,
            closeHandshakeTimeout=CLOSE_TIMEOUT,
            # The whole request is there before the connection is made.
            openHandshakeTimeout=0,
        )
        # Autobahn's own timers run on the process's reactor.
        self._batched_timer = _Timers(self.clock)
        shared = {name: getattr(self, name) for name in WebSocketConnection.CONFIG_ATTRS}
        shared.update(CONFIG_ATTRS=(), trafficStats=TrafficStats())
        self.connectionClass: Any = type("WebSocketConnection", (WebSocketConnection,), shared)
        self.heart = Heart(self.clock, limits.ping) if limits.ping else None

    def closeAll(self, reason: str) -> None:
        """The server stops: no more pings. The connections are asked one by one."""
        if self.heart is not None:
            self.heart.stop()

    def connect(self, released: Released, head: bytes, handler: Handler) -> "WebSocketConnection":
        """
        Make a connection of a released transport.

        :param head: the upgrade request.
        """
        connection: WebSocketConnection = self.connectionClass()
        connection.factory = self
        connection.handler = handler
        connection.lease = released.lease
        released.giveTo(connection)
        connection.makeConnection(released.transport)
        connection.dataReceived(head + released.rest)
        return connection


class _Timers:
    """Autobahn's timers, on a clock that was given."""

    def __init__(self, clock: IReactorTime) -> None:
        self.call_later = clock.callLater


class _Log:
    """Autobahn's log: what clients do wrong warns nobody, and debugging text for each read costs more than the read."""

    _log = Logger(namespace="realtime_tw.web.wsconnection")

    def debug(self, *args: Any, **values: Any) -> None: ...

    info = debug

    def warn(self, message: str, **values: Any) -> None:
        self._log.debug(message, **values)

    def error(self, message: str, **values: Any) -> None:
        self._log.error(message, **values)


class WebSocketConnection(WebSocketServerProtocol):
    """
    One client.

    :ivar out: its sending half.
    :ivar handler: who it belongs to.
    :ivar paused: see :meth:`pause`.
    """

    factory: WebSocketFactory
    handler: Handler
    lease: Any = None
    log = _Log()
    transport: Any
    paused = False
    _perMessageCompress: Any
    _ending = False
    _deadline: Any = None

    def connectionMade(self) -> None:
        sink = DirectSink(self.transport) if isDirect(self.transport) else ConsumerSink.forTransport(self.transport)
        factory = self.factory
        self.out = WebSocketSubscriber(self, factory.encoding(None), sink, factory.counters, factory.limits)
        super().connectionMade()
        # Made for every connection by the base class; one for all of them will do.
        del self.trafficStats

    def dataReceived(self, data: bytes) -> None:
        self.out.heard = True
        if not self.failedByMe:
            super().dataReceived(data)

    def processData(self) -> bool:
        # After a violation nothing that follows means anything (RFC 6455, section 7.1.7).
        if self.paused or self.failedByMe:
            return False
        more: bool = super().processData()
        return more

    def pause(self) -> None:
        """Read no more for now; the client is slowed down by TCP."""
        self.paused = True
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        self.paused = False
        self.out.heard = True
        if self.state in (self.STATE_OPEN, self.STATE_CLOSING):
            self.consumeData()
            if not self.paused:
                self.transport.resumeProducing()

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        self.out.push(data)

    def onConnect(self, request: Any) -> str | None:
        return next((name for name in self.factory.chosen if name in request.protocols), None)

    def succeedHandshake(self, res: str | None) -> None:
        # Autobahn's own negotiation refuses clients with an offer that must only be declined, and windows of 8 bits.
        headers = {}
        limit = self.factory.limits.maxMessage
        if self.factory.limits.compress:
            for name, params in self.websocket_extensions:
                agreed = agreement(params) if name == "permessage-deflate" else None
                if agreed is not None:
                    headers["Sec-WebSocket-Extensions"], bits = agreed
                    self._perMessageCompress = PerMessageDeflate(True, True, True, bits, 15, None, limit)
                    # Autobahn compares with these what has not been inflated yet, too, and what cannot be compressed
                    # grows. zlib's own bound (compressBound) is a little less.
                    self.maxMessagePayloadSize = self.maxFramePayloadSize = limit + limit // 7 + 64
                    break
        self.websocket_extensions = []
        super().succeedHandshake((res, headers))

    def onOpen(self) -> None:
        compression = self._perMessageCompress
        self.out.encoding = self.factory.encoding(compression.server_max_window_bits if compression else None)
        # The handshake weighs more than the rest of the connection.
        self.http_request_data, self.http_response_data = b"", ""
        self.http_headers = {}
        if self.factory.heart is not None:
            self.factory.heart.add(self.out)
        self.handler.opened(self)

    def onPing(self, payload: bytes) -> None:
        if self.state == self.STATE_OPEN:
            # Within the limit of what may wait: a client that does not read its pongs reads too slowly.
            self.out.deliver(frame(Opcode.PONG, payload))

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.state != self.STATE_OPEN:
            return
        if len(payload) > self.factory.limits.maxMessage:
            self._max_message_size_exceeded(len(payload), 0, "")
        else:
            self.handler.messageReceived(self, payload, isBinary)

    def send(self, payload: bytes, isBinary: bool = False) -> bool:
        """
        Send one message to this client alone.

        :return: False when it was not, because the client reads too slowly or the connection is closing.
        """
        if self.state != self.STATE_OPEN:
            return False
        opcode = Opcode.BINARY if isBinary else Opcode.TEXT
        compression = self._perMessageCompress
        if compression is not None:
            return self.out.deliver(frame(opcode, deflated(payload, compression.server_max_window_bits), rsv1=True))
        return self.out.deliver(frame(opcode, payload))

    def end(self, code: int, reason: str) -> None:
        """Begin the closing handshake. Nothing is sent after its frame."""
        if self.state == self.STATE_OPEN:
            text = reason.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")
            self.sendCloseFrame(code, text.encode())
        elif self.state == self.STATE_CONNECTING:
            self.transport.abortConnection()

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        if self.state != self.STATE_OPEN or self._ending:
            return
        self._ending = True
        self.handler.ending(self)
        super().sendCloseFrame(code, reasonUtf8, isReply)

    def _fail_connection(self, code: int = PROTOCOL, reason: str = "") -> None:
        if self.failedByMe:
            return
        super()._fail_connection(code, reason)
        # What the client still sends must be read, or the kernel would reset the connection and the client may never
        # see the close frame. It has CLOSE_TIMEOUT to go.
        if isDirect(self.transport):
            self.transport.loseWriteConnection()
        else:
            # With a producer, TLS would wait for its end before it says goodbye.
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def _max_message_size_exceeded(self, msg_size: int, max_msg_size: int, reason: str) -> None:
        self._fail_connection(TOO_BIG, f"a message may have {self.factory.limits.maxMessage} bytes")

    def dropConnection(self, abort: bool = False) -> None:
        if self.wasClean:
            # Aborting would reset the connection, and the close frame may still be on its way.
            abort = False
        super().dropConnection(abort)
        if not abort and self._deadline is None:
            self._deadline = self.factory.clock.callLater(CLOSE_TIMEOUT, self._tooLate)

    def _tooLate(self) -> None:
        self._deadline = None
        self.abort()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.handler.closed(self, 1005 if code is None else code, reason or "")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.factory.heart is not None:
            self.factory.heart.remove(self.out)
        self.out.lost()
        for timer in (self._deadline, self.closeHandshakeTimeoutCall):
            if timer is not None and timer.active():
                timer.cancel()
        self._deadline = self.closeHandshakeTimeoutCall = None
        try:
            super().connectionLost(reason)
        finally:
            if self.lease is not None:
                self.lease.release()

    def drain(self) -> None:
        """The server stops."""
        self.end(GOING_AWAY, "the server is stopping")

    def abort(self) -> None:
        """The server cannot wait any longer."""
        self.transport.abortConnection()
