"""
The Engine.IO server (protocol revisions 4 and 3): handshake, long-polling, WebSocket, and the upgrade between them.

The protocol's document and the reference implementation's answers, to the letter where clients depend on it.
"""

import secrets
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import BAD_REQUEST, FORBIDDEN, NO_CONTENT
from twisted.web.server import NOT_DONE_YET, Request

from realtime_tw.codec.engineio import (
    JSONP_MEDIA_TYPE,
    PROBE_REPLY,
    Packet,
    PacketType,
    decodeJSONP,
    decodePacket,
    decodePayload,
    encodeJSONP,
    encodeOpen,
)
from realtime_tw.counters import Counters
from realtime_tw.errors import LimitExceeded, ProtocolError
from realtime_tw.heartbeat import Heart
from realtime_tw.socketio.session import Application, Session
from realtime_tw.socketio.wire import Wire
from realtime_tw.subscriber import DEFAULT_LIMIT, SlowPolicy, Subscriber
from realtime_tw.web.base import RealtimeResource
from realtime_tw.web.encodings import StreamEncoding
from realtime_tw.web.publish import finishWith, jsonLine
from realtime_tw.web.websocket import upgrade, upgradeProblem
from realtime_tw.web.wsconnection import GOING_AWAY, NORMAL, Limits, WebSocketConnection, WebSocketFactory

#: The reference server's settings: seconds, and bytes of a POST or a WebSocket message.
PING_INTERVAL, PING_TIMEOUT, MAX_PAYLOAD = 25.0, 20.0, 1_000_000

#: Seconds for a WebSocket that tries an upgrade to come to a decision.
UPGRADE_TIMEOUT = 10.0

#: What goes wrong, as the reference numbers it for its clients.
UNKNOWN_TRANSPORT = (0, "Transport unknown")
UNKNOWN_SESSION = (1, "Session ID unknown")
BAD_METHOD = (2, "Bad handshake method")
BAD = (3, "Bad request")
REFUSED = (4, "Forbidden")
UNSUPPORTED = (5, "Unsupported protocol version")

MakeApplication = Callable[[Session, Request], Application]


class EngineIOResource(RealtimeResource):
    """
    Engine.IO on one address.

    :param application: called with each new session and its first request; returns what is spoken over it.
    :param pingInterval: seconds between heartbeats; ``pingTimeout``: seconds for the answer.
    :param maxPayload: bytes of a POST or a WebSocket message.
    :param transports: of ``polling`` and ``websocket``, those that are offered.
    :param buffer: bytes that may wait for a client that reads slowly; beyond, it is closed.
    :param compress: accept permessage-deflate.
    :param origins: other origins whose pages may use it; see :class:`realtime_tw.web.base.Origins`.
    :param clock: for heartbeats; the reactor when not given.
    """

    methods = (b"GET", b"POST")

    def __init__(
        self,
        application: MakeApplication,
        *,
        pingInterval: float = PING_INTERVAL,
        pingTimeout: float = PING_TIMEOUT,
        maxPayload: int = MAX_PAYLOAD,
        transports: Iterable[str] = ("polling", "websocket"),
        buffer: int = DEFAULT_LIMIT,
        compress: bool = False,
        origins: str | Iterable[str] | None = None,
        counters: Counters | None = None,
        clock: Any = None,
    ) -> None:
        super().__init__(origins)
        if clock is None:
            from twisted.internet import reactor as clock
        self.application = application
        self.clock = IReactorTime(clock)
        self.pingInterval = pingInterval
        self.pingTimeout = pingTimeout
        self.maxPayload = maxPayload
        self.transports = frozenset(transports)
        self.buffer = buffer
        self.maxBody = maxPayload
        self.sessions: dict[str, Session] = {}
        self.heart = Heart(self.clock, pingInterval)
        limits = Limits(maxPayload, buffer, SlowPolicy.CLOSE, 0, pingTimeout, compress)
        # Frames are made by the wire of each session; the encoding of the connection itself is never asked.
        self._factory = WebSocketFactory(clock, counters or Counters(), limits, lambda bits: StreamEncoding())

    def closeAll(self, reason: str) -> None:
        """End every session."""
        for session in tuple(self.sessions.values()):
            session.close(reason, code=GOING_AWAY)
        self.heart.stop()

    def forget(self, session: Session) -> None:
        """From the session: it is over."""
        self.sessions.pop(session.sid, None)

    # HTTP

    def render(self, request: Any) -> bytes | int:
        if request.method == b"OPTIONS":
            self.origins.preflight(request, (b"GET", b"POST"))
            request.setResponseCode(NO_CONTENT)
            return b""
        allowed = self.origins.apply(request)
        version = query(request, "EIO")
        transport = query(request, "transport")
        if transport not in self.transports:
            return problem(request, UNKNOWN_TRANSPORT)
        if not allowed:
            return problem(request, REFUSED, FORBIDDEN)
        sid = query(request, "sid")
        session = self.sessions.get(sid)
        if sid and session is None:
            return problem(request, UNKNOWN_SESSION)
        if session is None and request.method != b"GET":
            return problem(request, BAD_METHOD)
        if version not in ("3", "4") or (session is not None and int(version) != session.wire.version):
            return problem(request, UNSUPPORTED)
        if transport == "websocket":
            return self._renderWebSocket(request, session, int(version))
        if session is None:
            return self._handshake(request, int(version))
        if session.carrier is not None:
            # The session has moved on to a WebSocket.
            return problem(request, BAD)
        if request.method == b"GET":
            return self._poll(request, session)
        if request.method == b"POST":
            return self._post(request, session)
        return problem(request, BAD)

    def _handshake(self, request: Any, version: int) -> bytes | int:
        session = self._open(request, Wire(version, True, True), request.isSecure())
        upgrades = ["websocket"] if "websocket" in self.transports else []
        session.sendPacket(self._openPacket(session, upgrades))
        self._start(session)
        if session.isClosed:
            return problem(request, BAD)
        return self._poll(request, session)

    def _open(self, request: Any, wire: Wire, isSecure: bool) -> Session:
        session = Session(self, secrets.token_urlsafe(15), wire, isSecure)
        self.sessions[session.sid] = session
        session.application = self.application(session, request)
        return session

    def _openPacket(self, session: Session, upgrades: list[str]) -> bytes:
        interval, timeout = round(self.pingInterval * 1000), round(self.pingTimeout * 1000)
        return encodeOpen(session.sid, upgrades, interval, timeout, self.maxPayload)

    def _start(self, session: Session) -> None:
        session.start()
        session.application.opened()

    def _poll(self, request: Any, session: Session) -> bytes | int:
        finished: list[bool] = []

        def respond(payload: bytes) -> None:
            finished.append(True)
            index = query(request, "j")
            if index:
                request.setHeader(b"Content-Type", JSONP_MEDIA_TYPE)
                request.setHeader(b"X-Content-Type-Options", b"nosniff")
                payload = encodeJSONP(index, payload)
            else:
                request.setHeader(b"Content-Type", b"text/plain; charset=UTF-8")
            request.setHeader(b"Cache-Control", b"no-store")
            finishWith(payload, request)

        def lost(reason: Failure) -> None:
            if not finished:
                session.pollLost()

        if query(request, "j") and not query(request, "j").isdigit():
            return problem(request, BAD)
        try:
            session.poll(respond)
        except ProtocolError:
            return problem(request, BAD)
        if not finished:
            request.notifyFinish().addErrback(lost)
        return NOT_DONE_YET

    def _post(self, request: Any, session: Session) -> bytes | int:
        body = request.content.read(self.maxPayload + 1)
        binary = (request.getHeader(b"Content-Type") or b"").startswith(b"application/octet-stream")
        try:
            if query(request, "j"):
                body = decodeJSONP(body)
            packets = decodePayload(body, session.wire.version, binary, maxBytes=self.maxPayload)
        except LimitExceeded as error:
            session.close(str(error))
            return problem(request, BAD, error.status)
        except ProtocolError as error:
            session.close(str(error))
            return problem(request, BAD)
        for packet in packets:
            session.received(packet)
        # A page of another origin must not be able to have this run as a script.
        request.setHeader(b"Content-Type", b"text/html" if not query(request, "j") else b"text/plain")
        if session.isPaused and not session.isClosed:
            session.whenResumed(lambda: finishWith(b"ok", request))
            return NOT_DONE_YET
        return b"ok"

    # WebSocket

    def _renderWebSocket(self, request: Any, session: Session | None, version: int) -> bytes | int:
        if request.method != b"GET" or upgradeProblem(request) is not None:
            return problem(request, BAD_METHOD if request.method != b"GET" else BAD)
        base64 = bool(query(request, "b64"))
        if session is None:
            client: EngineSocket = OpeningSocket(self, request, version, base64)
        elif session.carrier is not None or session.isUpgrading:
            client = RefusedSocket()
        else:
            client = ProbingSocket(self, session, base64)
        upgrade(request, self._factory, client)
        return NOT_DONE_YET


def query(request: Any, name: str) -> str:
    """A query parameter's first value; empty when there is none."""
    values = request.args.get(name.encode())
    return values[0].decode("utf-8", "replace") if values else ""


def problem(request: Any, what: tuple[int, str], status: int = BAD_REQUEST) -> bytes | int:
    """The answer's body, as the reference words it."""
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json")
    return jsonLine({"code": what[0], "message": what[1]}).rstrip()


class EngineSocket:
    """The handler of a WebSocket that carries a session, or will."""

    session: Session | None = None
    connection: WebSocketConnection

    def opened(self, connection: WebSocketConnection) -> None:
        self.connection = connection

    @property
    def out(self) -> Subscriber:
        """The sending half of the connection."""
        return self.connection.out

    def pause(self) -> None:
        """For the session: read no more for now."""
        self.connection.pause()

    def resume(self) -> None:
        """For the session: read on."""
        self.connection.resume()

    def wire(self, version: int, base64: bool) -> Wire:
        """How messages look on this connection."""
        compression = self.connection._perMessageCompress
        return Wire(version, False, base64, compression.server_max_window_bits if compression else None)

    def messageReceived(self, connection: WebSocketConnection, payload: bytes, isBinary: bool) -> None:
        session = self.session
        if session is None:
            return
        try:
            packet = decodePacket(payload, isBinary, session.wire.version)
        except ProtocolError as error:
            session.close(str(error))
        else:
            session.received(packet)

    def end(self, code: int) -> None:
        """For the session: it is over."""
        if self.session is not None:
            self.session = None
            self.connection.end(code, "")

    def ending(self, connection: WebSocketConnection) -> None:
        self._over("the connection is closing")

    def closed(self, connection: WebSocketConnection, code: int, reason: str) -> None:
        self._over(reason or "the connection was lost")

    def _over(self, reason: str) -> None:
        session, self.session = self.session, None
        if session is not None:
            session.close(reason)


class OpeningSocket(EngineSocket):
    """A session that begins as a WebSocket."""

    def __init__(self, server: EngineIOResource, request: Any, version: int, base64: bool) -> None:
        self._server: EngineIOResource | None = server
        self._request = request
        # It loses its connection when it is upgraded.
        self._isSecure = request.isSecure()
        self._version = version
        self._base64 = base64

    def opened(self, connection: WebSocketConnection) -> None:
        super().opened(connection)
        server, self._server = self._server, None
        assert server is not None
        wire = self.wire(self._version, self._base64)
        session = self.session = server._open(self._request, wire, self._isSecure)
        self._request = None
        session.carrier = self
        session.sendPacket(server._openPacket(session, []))
        server._start(session)


class ProbingSocket(EngineSocket):
    """A WebSocket that a polling session tries, and then changes over to."""

    def __init__(self, server: EngineIOResource, session: Session, base64: bool) -> None:
        self._server = server
        self._probed: Session | None = session
        self._base64 = base64
        self._deadline: Any = None
        session.isUpgrading = True

    def opened(self, connection: WebSocketConnection) -> None:
        super().opened(connection)
        self._deadline = self._server.clock.callLater(UPGRADE_TIMEOUT, self._tooLate)

    def messageReceived(self, connection: WebSocketConnection, payload: bytes, isBinary: bool) -> None:
        session = self._probed
        if session is None:
            super().messageReceived(connection, payload, isBinary)
            return
        wire = self.wire(session.wire.version, self._base64)
        try:
            packet = decodePacket(payload, isBinary, wire.version)
        except ProtocolError:
            packet = Packet(PacketType.NOOP)
        if session.isClosed:
            connection.end(NORMAL, "")
        elif packet == Packet(PacketType.PING, "probe"):
            connection.out.deliver(wire.packet(PROBE_REPLY))
            session.probed()
        elif packet.type is PacketType.UPGRADE:
            self._probed = None
            self._cancel()
            self.session = session
            session.upgraded(self, wire)
        else:
            connection.end(NORMAL, "")

    def _tooLate(self) -> None:
        self._deadline = None
        self.connection.end(NORMAL, "")

    def _cancel(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def _over(self, reason: str) -> None:
        self._cancel()
        probed, self._probed = self._probed, None
        if probed is not None:
            probed.probeLost()
        super()._over(reason)


class RefusedSocket(EngineSocket):
    """A second WebSocket for one session."""

    def opened(self, connection: WebSocketConnection) -> None:
        super().opened(connection)
        connection.end(NORMAL, "")
