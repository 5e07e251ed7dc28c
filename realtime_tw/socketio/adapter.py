"""
Several processes as one Socket.IO server, and emitters in other languages: the classic format of the Redis adapter
(``@socket.io/redis-adapter`` and ``@socket.io/redis-emitter``).

Broadcasts are MessagePack ``[uid, packet, options]`` on ``<key>#<namespace>#``, or on ``<key>#<namespace>#<room>#``
when they are for one room; requests to all processes are on ``<key>-request#<namespace>#`` and answered on
``<key>-response#<namespace>#``. On ``<key>`` itself python-socketio's managers are heard.

As the reference does, we listen to all rooms of a namespace, whoever is in them here: a room's own subscription would
take effect too late for what is sent to it right after a socket has joined.
"""

import json
import secrets
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgpack
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from realtime_tw.codec.socketio import encodeEvent
from realtime_tw.errors import ProtocolError
from realtime_tw.hub import PREPARE_TIMEOUT
from realtime_tw.interfaces import IBroker, IReceiver
from realtime_tw.model import Message, Prefix
from realtime_tw.socketio.client import Socket
from realtime_tw.socketio.pythonmanager import obey
from realtime_tw.socketio.server import Namespace

#: Requests, as the reference numbers them.
SOCKETS, ALL_ROOMS, REMOTE_JOIN, REMOTE_LEAVE, REMOTE_DISCONNECT, REMOTE_FETCH, SERVER_SIDE_EMIT = range(7)
BROADCAST, BROADCAST_CLIENT_COUNT, BROADCAST_ACK = range(7, 10)

_EVENT = 2

#: Seconds for the acknowledgements of clients when a request does not say: the reference's time for requests.
_ACK_TIMEOUT = 5.0

# What reading a message of any other format can raise.
_MALFORMED = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError, ProtocolError),
    msgpack.UnpackException,
)


@implementer(IReceiver)
class RedisAdapter:
    """
    Joins one namespace of this process with the same one of all others behind a broker.

    :param key: the prefix of all channels.
    """

    _log = Logger()

    def __init__(self, namespace: Namespace, broker: IBroker, clock: IReactorTime, key: str = "socket.io") -> None:
        self._namespace = namespace
        self._broker = broker
        self._clock = clock
        self._uid = secrets.token_hex(3)
        self._broadcasts = f"{key}#{namespace.name}#"
        self._requests = f"{key}-request#{namespace.name}#".encode()
        self._responses = f"{key}-response#{namespace.name}#"
        self._manager = key.encode()
        self._channels = (Prefix(self._broadcasts.encode()), self._requests, self._manager)
        self._ready = gatherResults([self._subscribe(channel) for channel in self._channels])
        namespace.prepare = self._prepare

    def stop(self) -> None:
        """Hear of nothing any more."""
        for channel in self._channels:
            self._broker.unsubscribe(channel, self)

    def _prepare(self) -> "Deferred[None]":
        """Fires when nothing can be missed any more, or when the broker is away and clients wait with us."""
        if self._ready.called or not self._broker.connected:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        call = self._clock.callLater(PREPARE_TIMEOUT, lambda: waiting.callback(None))

        def confirmed(result: Any) -> Any:
            if call.active():
                call.cancel()
                waiting.callback(None)
            return result

        self._ready.addCallback(confirmed)
        return waiting

    # Out

    def emit(self, event: str, *args: Any, room: str | Collection[str] = (), skip: str | Collection[str] = ()) -> None:
        """Send an event to the sockets of all processes; as :meth:`Namespace.emit`."""
        self._namespace.emit(event, *args, room=room, skip=skip)
        rooms = [room] if isinstance(room, str) else list(room)
        skipped = [skip] if isinstance(skip, str) else list(skip)
        packet = {"type": _EVENT, "data": [event, *args], "nsp": self._namespace.name}
        body: bytes = msgpack.packb([self._uid, packet, {"rooms": rooms, "except": skipped, "flags": {}}])
        channel = f"{self._broadcasts}{rooms[0]}#" if len(rooms) == 1 else self._broadcasts
        self._publish(channel, body)

    def _publish(self, channel: str, body: bytes) -> None:
        # A broker that is away cannot be told; it says so in the log by itself.
        self._broker.publish(channel.encode(), body).addErrback(lambda failure: None)

    # In

    def messageReceived(self, message: Message) -> None:
        try:
            if message.channel == self._requests:
                self._requested(decoded(message.payload))
            elif message.channel == self._manager:
                obey(self._namespace, message.payload)
            else:
                self._broadcast(unpacked(message.payload))
        except _MALFORMED:
            self._log.warn(
                "what came on {channel!r} is not of the Redis adapter's format",
                channel=message.channel.decode("utf-8", "replace"),
            )

    def _broadcast(self, body: Any) -> None:
        uid, packet, options = (*body, {})[:3]
        if uid == self._uid or packet.get("nsp", "/") != self._namespace.name:
            return
        event, *args = packet["data"]
        self._namespace.send(*encodeEvent(self._namespace.name, str(event), args), self._select(options))

    def _select(self, options: Any) -> list[Socket]:
        return list(self._namespace.select(options.get("rooms") or (), options.get("except") or ()))

    def _requested(self, request: Any) -> None:
        if request.get("uid") == self._uid:
            return
        kind = request["type"]
        options = request.get("opts") or {}
        sockets = self._select(options)
        if kind in (REMOTE_JOIN, REMOTE_LEAVE, REMOTE_DISCONNECT):
            if "opts" not in request:
                # An older form, for one socket; its process answers.
                socket = self._namespace.sockets.get(request["sid"])
                sockets = [socket] if socket is not None else []
            for socket in sockets:
                self._change(kind, socket, request)
            if sockets and "requestId" in request:
                self._answer(request, {})
        elif kind in (SOCKETS, REMOTE_FETCH, ALL_ROOMS):
            self._answer(request, self._report(kind, sockets, request.get("rooms")))
        elif kind == BROADCAST:
            self._broadcastWithAck(request, sockets)
        elif kind == SERVER_SIDE_EMIT and "requestId" in request:
            # Between servers, about things that only they know: we have nothing to say, but are waited for.
            self._answer(request, {"type": SERVER_SIDE_EMIT, "data": None})

    def _change(self, kind: int, socket: Socket, request: Any) -> None:
        if kind == REMOTE_DISCONNECT:
            socket.disconnect(bool(request.get("close")))
            return
        rooms = request["rooms"] if "rooms" in request else [request["room"]]
        for room in rooms:
            (socket.join if kind == REMOTE_JOIN else socket.leave)(str(room))

    def _broadcastWithAck(self, request: Any, sockets: list[Socket]) -> None:
        event, *args = request["packet"]["data"]
        timeout = (request["opts"].get("flags") or {}).get("timeout")
        count = {"type": BROADCAST_CLIENT_COUNT, "clientCount": len(sockets)}
        # The answers of those that are waited for; of the others nobody would hear.
        self._answer(request, count)
        for socket in sockets:
            answer = socket.call(str(event), *args, timeout=_ACK_TIMEOUT if timeout is None else timeout / 1000)
            answer.addCallbacks(
                lambda values: self._answer(
                    request, {"type": BROADCAST_ACK, "packet": values[0] if values else None}, packed=True
                ),
                lambda failure: None,
            )

    def _report(self, kind: int, sockets: list[Socket], rooms: Any) -> dict[str, Any]:
        if kind == ALL_ROOMS:
            return {"rooms": sorted({room for socket in self._namespace.sockets.values() for room in socket.rooms})}
        if kind == SOCKETS:
            return {"sockets": [socket.id for socket in self._namespace.select(rooms or ())]}
        return {
            "sockets": [
                {
                    "id": socket.id,
                    "handshake": {
                        "headers": socket.handshake.headers,
                        "query": socket.handshake.query,
                        "auth": socket.handshake.auth,
                        "address": socket.handshake.address,
                        "secure": socket.handshake.secure,
                    },
                    "rooms": sorted(socket.rooms),
                    "data": socket.data,
                }
                for socket in sockets
            ]
        }

    def _answer(self, request: Any, report: dict[str, Any], packed: bool = False) -> None:
        body = {"requestId": request["requestId"], **report}
        # Everybody who asks listens here; some listen to a channel of their own as well, and would count twice.
        self._publish(self._responses, msgpack.packb(body) if packed else json.dumps(body, default=str).encode())

    def batchEnded(self) -> None:
        """Every message was acted on when it came."""

    def brokerLost(self, reason: str) -> None:
        """The processes are alone until it is back."""

    def brokerRestored(self) -> None:
        """The broker has restored the subscriptions."""

    def _subscribe(self, channel: bytes | Prefix) -> "Deferred[None]":
        confirmed: Deferred[None] = self._broker.subscribe(channel, self)
        return confirmed.addErrback(
            lambda failure: self._log.error(
                "the broker refused {channel!r}: {error}", channel=channel, error=failure.value
            )
        )


def decoded(payload: bytes) -> Any:
    """A request: JSON, or MessagePack when there is binary data in it."""
    if payload[:1] == b"{":
        return json.loads(payload)
    return unpacked(payload)


def unpacked(payload: bytes) -> Any:
    """MessagePack, with JavaScript's ``undefined`` and dates as JSON would have them."""
    return _plain(msgpack.unpackb(payload, raw=False, strict_map_key=False, timestamp=3, ext_hook=_extension))


def _extension(code: int, data: bytes) -> Any:
    # notepack.io: type 0 is undefined (one byte), or a date of older versions (milliseconds).
    if code == 0 and len(data) == 8:
        return datetime.fromtimestamp(int.from_bytes(data, "big", signed=True) / 1000, UTC)
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
