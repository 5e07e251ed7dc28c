"""One client of a Socket.IO server: its sockets in the namespaces it is connected to, and their acknowledgements."""

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from realtime_tw.codec.socketio import (
    SocketDecoder,
    SocketPacket,
    SocketPacketType,
    encodeAck,
    encodeConnect,
    encodeConnectError,
    encodeDisconnect,
    encodeEvent,
)
from realtime_tw.errors import ProtocolError
from realtime_tw.socketio.session import Session
from realtime_tw.web.backlog import Backlog

if TYPE_CHECKING:
    from realtime_tw.socketio.server import Namespace, SocketIOServer

#: Seconds in which a client must connect to a namespace: the reference's.
CONNECT_TIMEOUT = 45.0

#: Namespaces that one client may be connected to: far more than applications use.
MAX_NAMESPACES = 100


@dataclass(frozen=True, slots=True)
class Handshake:
    """
    What a client said when it came.

    :ivar auth: the CONNECT packet's payload.
    :ivar headers: of the first request, lower-case names.
    :ivar query: its query parameters, the first of each name, and (revision 4) those of the namespace.
    """

    auth: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    address: str = ""
    secure: bool = False


class Socket:
    """
    One client in one namespace.

    :ivar id: public; another than the session's.
    :ivar rooms: the rooms it is in, of which its id is one.
    :ivar data: for the application.
    """

    __slots__ = ("_acks", "_lastAck", "client", "data", "handshake", "id", "namespace", "outlet", "rooms")

    def __init__(self, client: "Client", namespace: "Namespace", handshake: Handshake) -> None:
        self.client = client
        self.namespace = namespace
        self.handshake = handshake
        self.id = secrets.token_urlsafe(15)
        self.rooms: set[str] = set()
        self.data: dict[str, Any] = {}
        #: The channel mapping's own.
        self.outlet: Any = None
        self._acks: dict[int, Deferred[list[Any]]] = {}
        self._lastAck = -1

    def emit(self, event: str, *args: Any) -> bool:
        """Send an event to this client alone. False when it was not sent."""
        return self.client.session.send(*encodeEvent(self.namespace.name, event, args))

    def call(self, event: str, *args: Any, timeout: float | None = None) -> "Deferred[list[Any]]":
        """
        Send an event that asks for an acknowledgement.

        :param timeout: seconds after which it fails with Twisted's ``TimeoutError``.
        :return: fires with the answer's values; fails with ``ConnectionDone`` when the socket goes first.
        """
        self._lastAck += 1
        number = self._lastAck

        def forget(_: Deferred[list[Any]]) -> None:
            self._acks.pop(number, None)

        answer: Deferred[list[Any]] = Deferred(forget)
        self._acks[number] = answer
        self.client.session.send(*encodeEvent(self.namespace.name, event, args, number))
        if timeout is not None:
            answer.addTimeout(timeout, self.client.server.clock)
        return answer

    def join(self, room: str) -> None:
        """Enter a room."""
        self.namespace.join(self, room)

    def leave(self, room: str) -> None:
        """Leave a room."""
        self.namespace.leave(self, room)

    def disconnect(self, close: bool = False) -> None:
        """
        Disconnect from the namespace.

        :param close: end the whole session, with all its namespaces.
        """
        reason = "server namespace disconnect"
        # Told, clients know that it was meant, and do not come back by themselves.
        for socket in tuple(self.client.sockets.values()) if close else (self,):
            self.client.session.send(encodeDisconnect(socket.namespace.name))
            self.client.drop(socket, reason)
        if close:
            self.client.session.finish(reason)

    def acknowledged(self, number: int | None, values: list[Any]) -> None:
        """From the client: the answer to :meth:`call`. Unknown ones are ignored."""
        answer = self._acks.pop(number, None) if number is not None else None
        if answer is not None:
            answer.callback(values)

    def gone(self, reason: str) -> None:
        """The socket is no longer connected."""
        acks, self._acks = self._acks, {}
        for answer in acks.values():
            answer.errback(ConnectionDone(reason))


class Client:
    """What is spoken over one Engine.IO session."""

    _log = Logger()

    def __init__(self, server: "SocketIOServer", session: Session, request: Any) -> None:
        self.server = server
        self.session = session
        self.sockets: dict[str, Socket] = {}
        self._pending: set[str] = set()
        # The namespaces it was connected to.
        self._left: set[str] = set()
        self._revision = 4 if session.wire.version == 3 else 5
        self._decoder = SocketDecoder(self._revision)
        self._handshake = Handshake(
            {},
            {
                name.decode("latin-1").lower(): b", ".join(values).decode("latin-1")
                for name, values in request.requestHeaders.getAllRawHeaders()
            },
            {
                name.decode("utf-8", "replace"): values[0].decode("utf-8", "replace")
                for name, values in request.args.items()
            },
            getattr(request.client, "host", None) or "",
            session.isSecure,
        )
        self._deadline: Any = None
        self._backlog: Backlog | None = None

    @property
    def backlog(self) -> Backlog:
        """What it has sent and a broker has not taken yet."""
        if self._backlog is None:
            self._backlog = Backlog(self.session.pause, self.session.resume)
        return self._backlog

    def opened(self) -> None:
        if self._revision == 4:
            # Clients of that revision are connected to the main namespace without asking.
            self._connect(SocketPacket(SocketPacketType.CONNECT))
        else:
            self._deadline = self.server.clock.callLater(self.server.connectTimeout, self._tooLate)

    def _tooLate(self) -> None:
        self._deadline = None
        if self._pending:
            # It is the application's turn to answer; the client gets its time again in case of a refusal.
            self._deadline = self.server.clock.callLater(self.server.connectTimeout, self._tooLate)
        elif not self.sockets:
            self.session.close("connected to no namespace")

    def messageReceived(self, data: str | bytes) -> None:
        if isinstance(data, str):
            packet = self._decoder.receiveText(data)
        else:
            packet = self._decoder.receiveBinary(data)
        if packet is not None:
            self._received(packet)

    def _received(self, packet: SocketPacket) -> None:
        kind = packet.type
        if kind is SocketPacketType.CONNECT:
            if not (self._revision == 4 and packet.namespace == "/"):
                self._connect(packet)
            return
        socket = self.sockets.get(packet.namespace)
        if socket is None:
            if packet.namespace in self._left or kind is SocketPacketType.DISCONNECT:
                # Sent before the client knew that we had disconnected it.
                return
            if packet.namespace in self._pending:
                return
            raise ProtocolError("packet for a namespace that is not connected")
        if kind is SocketPacketType.EVENT:
            answer = socket.namespace.dispatch(socket, packet.event, packet.arguments)
            if packet.ackId is not None:
                answer.addCallback(self._acknowledge, socket, packet.ackId)
        elif kind is SocketPacketType.ACK:
            socket.acknowledged(packet.ackId, packet.arguments)
        elif kind is SocketPacketType.DISCONNECT:
            self.drop(socket, "client namespace disconnect")
        else:
            raise ProtocolError("a client sends no errors")

    def _acknowledge(self, values: tuple[Any, ...] | None, socket: Socket, number: int) -> None:
        if values is not None and socket.id in socket.namespace.sockets:
            try:
                encoded = encodeAck(socket.namespace.name, number, values)
            except ProtocolError:
                self._log.failure("an acknowledgement in {name} cannot be sent", name=socket.namespace.name)
            else:
                self.session.send(*encoded)

    # Namespaces

    def _connect(self, packet: SocketPacket) -> None:
        name = packet.namespace
        if name in self.sockets or name in self._pending:
            return
        namespace = self.server.find(name)
        if namespace is None or len(self.sockets) + len(self._pending) >= MAX_NAMESPACES:
            self.session.send(encodeConnectError(name, "Invalid namespace", version=self._revision))
            return
        known = self._handshake
        auth = packet.data if isinstance(packet.data, dict) else {}
        query = {**known.query, **dict(parse_qsl(packet.query))} if packet.query else known.query
        socket = Socket(self, namespace, Handshake(auth, known.headers, query, known.address, known.secure))
        self._pending.add(name)
        namespace.admit(socket).addCallbacks(lambda _: self._connected(socket), self._refused, errbackArgs=(name,))

    def _connected(self, socket: Socket) -> None:
        name = socket.namespace.name
        self._pending.discard(name)
        if self.session.isClosed:
            return
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()
        self.sockets[name] = socket
        socket.namespace.add(socket)
        self.session.send(encodeConnect(name, socket.id, self._revision))
        if name in self.sockets:
            socket.namespace.announce(socket)

    def _refused(self, failure: Failure, name: str) -> None:
        from realtime_tw.socketio.server import ConnectionRefused

        self._pending.discard(name)
        error = failure.value
        if isinstance(error, ConnectionRefused):
            text = encodeConnectError(name, error.message, error.data, version=self._revision)
        else:
            self._log.failure("while {name} authorized a client", failure, name=name)
            text = encodeConnectError(name, "Internal server error", version=self._revision)
        self.session.send(text)

    def drop(self, socket: Socket, reason: str) -> None:
        """A socket is no longer connected."""
        if self.sockets.pop(socket.namespace.name, None) is not None:
            self._left.add(socket.namespace.name)
            socket.gone(reason)
            socket.namespace.remove(socket, reason)

    def wireChanged(self) -> None:
        for socket in self.sockets.values():
            if socket.outlet is not None:
                socket.outlet.wireChanged()

    def closed(self, reason: str) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()
        for socket in tuple(self.sockets.values()):
            self.drop(socket, reason)
