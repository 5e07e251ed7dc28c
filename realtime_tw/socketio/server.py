"""
The Socket.IO server (protocol revisions 5 and 4): clients, namespaces, rooms, events and acknowledgements.

    server = SocketIOServer()
    chat = server.of("/")

    @chat.on("message")
    def message(socket, text):
        chat.emit("message", text, room="lobby")
        return "thanks"                     # answers the acknowledgement
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request

from realtime_tw.codec.socketio import encodeEvent
from realtime_tw.errors import RealtimeError
from realtime_tw.socketio.client import CONNECT_TIMEOUT, Client, Socket
from realtime_tw.socketio.session import Session
from realtime_tw.socketio.wire import Wire

#: An event's handler: called with the socket and the arguments; what it returns, or what its Deferred fires with,
#: answers the acknowledgement (a tuple is several values, None is none).
EventHandler = Callable[..., Any]

#: The name under which a handler gets every event that has none of its own, with the event's name before its arguments.
ANY = "*"

#: Returned by a handler that does not want to acknowledge.
NO_ANSWER = object()


class ConnectionRefused(RealtimeError):
    """
    Raised by what a namespace's ``authorize`` decorates: the client is told why.

    :param data: details for the program at the other end.
    """

    def __init__(self, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class Namespace:
    """
    :ivar name: begins with a slash.
    :ivar sockets: by their ids.
    """

    _log = Logger()

    def __init__(self, name: str) -> None:
        self.name = name
        self.sockets: dict[str, Socket] = {}
        self._authorize: Callable[[Socket], Any] = lambda socket: None
        self._connected: list[Callable[[Socket], Any]] = []
        self._disconnected: list[Callable[[Socket, str], Any]] = []
        #: What must be done before clients connect: the adapter's own.
        self.prepare: Callable[[], Deferred[None]] = lambda: succeed(None)
        self._handlers: dict[str, EventHandler] = {}
        self._rooms: dict[str, set[Socket]] = {}

    def on(self, event: str) -> Callable[[EventHandler], EventHandler]:
        """Decorates the handler of an event; ``"*"`` for those that have none."""

        def register(handler: EventHandler) -> EventHandler:
            self._handlers[event] = handler
            return handler

        return register

    def authorize(self, handler: Callable[[Socket], Any]) -> Callable[[Socket], Any]:
        """
        Decorates what is called with each new socket before the client is told that it is connected. It may raise
        :class:`ConnectionRefused`, or return a Deferred that fails with it.
        """
        self._authorize = handler
        return handler

    def connected(self, handler: Callable[[Socket], Any]) -> Callable[[Socket], Any]:
        """Decorates what is called with each socket once the client was told that it is connected."""
        self._connected.append(handler)
        return handler

    def disconnected(self, handler: Callable[[Socket, str], Any]) -> Callable[[Socket, str], Any]:
        """Decorates what is called with a socket that is gone, and the reason."""
        self._disconnected.append(handler)
        return handler

    def emit(self, event: str, *args: Any, room: str | Collection[str] = (), skip: str | Collection[str] = ()) -> int:
        """
        Send an event to all sockets.

        :param room: only to those in any of these rooms; a socket's id is a room of its own.
        :param skip: but not to those in any of these.
        :return: how many sockets it was sent to.
        """
        return self.send(*encodeEvent(self.name, event, args), self.select(room, skip))

    def select(self, room: str | Collection[str] = (), skip: str | Collection[str] = ()) -> Iterable[Socket]:
        """The sockets in any of some rooms (all, without rooms) and in none of some others."""
        rooms, skipped = _names(room), _names(skip)
        if not rooms:
            chosen: Iterable[Socket] = tuple(self.sockets.values())
        elif len(rooms) == 1:
            chosen = tuple(self._rooms.get(rooms[0], ()))
        else:
            chosen = set().union(*(self._rooms.get(name, set()) for name in rooms))
        if not skipped:
            return chosen
        left_out: set[Socket] = set().union(*(self._rooms.get(name, set()) for name in skipped))
        return [socket for socket in chosen if socket not in left_out]

    def send(self, text: bytes, attachments: tuple[bytes, ...], sockets: Iterable[Socket]) -> int:
        """Send an encoded packet to sockets; the bytes are made once for each wire."""
        made: dict[Wire, bytes] = {}
        count = 0
        for socket in sockets:
            wire = socket.client.session.wire
            data = made.get(wire)
            if data is None:
                data = made[wire] = wire.message(text, attachments)
            socket.client.session.deliver(data)
            count += 1
        return count

    # For sockets

    def join(self, socket: Socket, room: str) -> None:
        """Put a socket into a room."""
        self._rooms.setdefault(room, set()).add(socket)
        socket.rooms.add(room)

    def leave(self, socket: Socket, room: str) -> None:
        """Take a socket out of a room."""
        socket.rooms.discard(room)
        members = self._rooms.get(room)
        if members is None:
            return
        members.discard(socket)
        if not members:
            del self._rooms[room]

    def add(self, socket: Socket) -> None:
        """A socket is connected."""
        self.sockets[socket.id] = socket
        self.join(socket, socket.id)

    def admit(self, socket: Socket) -> "Deferred[Any]":
        """Ask whether a socket may connect."""
        return self.prepare().addCallback(lambda _: self._authorize(socket))

    def announce(self, socket: Socket) -> None:
        """The client was told that the socket is connected."""
        self._tell(self._connected, socket)

    def remove(self, socket: Socket, reason: str) -> None:
        """A socket is gone."""
        if self.sockets.pop(socket.id, None) is None:
            return
        for room in tuple(socket.rooms):
            self.leave(socket, room)
        self._tell(self._disconnected, socket, reason)

    def _tell(self, handlers: list[Callable[..., Any]], *args: Any) -> None:
        for handler in handlers:
            maybeDeferred(handler, *args).addErrback(self._failed, getattr(handler, "__name__", "a handler"))

    def dispatch(self, socket: Socket, event: str, args: list[Any]) -> "Deferred[tuple[Any, ...] | None]":
        """
        Call an event's handler.

        :return: fires with the values that answer the acknowledgement; None for no answer.
        """
        handler = self._handlers.get(event)
        if handler is None:
            handler = self._handlers.get(ANY)
            args = [event, *args]
        if handler is None:
            return maybeDeferred(lambda: None)
        return maybeDeferred(handler, socket, *args).addCallbacks(_values, self._failed, errbackArgs=(event,))

    def _failed(self, failure: Failure, event: str) -> None:
        if failure.check(ConnectionDone):
            # It waited for an acknowledgement of a client that has gone: what clients do.
            return
        self._log.failure("in the handler of {event!r} in {name}", failure, event=event, name=self.name)


def _values(result: Any) -> tuple[Any, ...] | None:
    if result is NO_ANSWER:
        return None
    if result is None:
        return ()
    return result if isinstance(result, tuple) else (result,)


def _names(rooms: str | Collection[str]) -> tuple[str, ...]:
    return (rooms,) if isinstance(rooms, str) else tuple(rooms)


class SocketIOServer:
    """
    The namespaces, and what an :class:`realtime_tw.socketio.engine.EngineIOResource` calls with each session.

    :param connectTimeout: seconds in which a client must connect to a namespace.
    :param clock: for that; the reactor when not given.
    """

    def __init__(self, *, connectTimeout: float = CONNECT_TIMEOUT, clock: Any = None) -> None:
        if clock is None:
            from twisted.internet import reactor as clock
        self.clock = IReactorTime(clock)
        self.connectTimeout = connectTimeout
        self._namespaces: dict[str, Namespace] = {}

    def of(self, name: str = "/") -> Namespace:
        """The namespace of that name, made when first asked for; clients can connect to it from then on."""
        if not name.startswith("/"):
            name = "/" + name
        namespace = self._namespaces.get(name)
        if namespace is None:
            namespace = self._namespaces[name] = Namespace(name)
        return namespace

    def find(self, name: str) -> Namespace | None:
        """The namespace of that name, if there is one."""
        return self._namespaces.get(name)

    def __call__(self, session: Session, request: Request) -> Client:
        return Client(self, session, request)
