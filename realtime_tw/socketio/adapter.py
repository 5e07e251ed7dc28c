"""
Several processes as one Socket.IO server, and emitters in other languages: the classic format of the Redis adapter
(``@socket.io/redis-adapter`` and ``@socket.io/redis-emitter``).

Broadcasts are MessagePack ``[uid, packet, options]`` on ``<key>#<namespace>#``, or on ``<key>#<namespace>#<room>#``
when they are for one room; requests to all processes are on ``<key>-request#<namespace>#`` and answered on
``<key>-response#<namespace>#``. Where the reference subscribes to a pattern, we subscribe to the rooms that are in use
here, and get only what concerns us.
"""

import json
import secrets
from collections.abc import Collection
from typing import Any

import msgpack
from twisted.logger import Logger
from zope.interface import implementer

from realtime_tw.codec.socketio import encodeEvent
from realtime_tw.errors import ProtocolError
from realtime_tw.interfaces import IBroker, IReceiver
from realtime_tw.model import Message
from realtime_tw.socketio.server import Namespace

#: Requests, as the reference numbers them.
SOCKETS, ALL_ROOMS, REMOTE_JOIN, REMOTE_LEAVE, REMOTE_DISCONNECT, REMOTE_FETCH, SERVER_SIDE_EMIT = range(7)

_EVENT = 2


@implementer(IReceiver)
class RedisAdapter:
    """
    Joins one namespace of this process with the same one of all others behind a broker.

    :param key: the prefix of all channels.
    """

    _log = Logger()

    def __init__(self, namespace: Namespace, broker: IBroker, key: str = "socket.io") -> None:
        self._namespace = namespace
        self._broker = broker
        self._uid = secrets.token_hex(3)
        self._broadcasts = f"{key}#{namespace.name}#"
        self._requests = f"{key}-request#{namespace.name}#".encode()
        self._responses = f"{key}-response#{namespace.name}#"
        for channel in (self._broadcasts.encode(), self._requests):
            self._subscribe(channel)
        namespace.onRoom = self._room

    def stop(self) -> None:
        """Hear of nothing any more."""
        for channel in (self._broadcasts.encode(), self._requests):
            self._broker.unsubscribe(channel, self)
        self._namespace.onRoom = lambda room, isUsed: None

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
            else:
                self._broadcast(msgpack.unpackb(message.payload, raw=False, strict_map_key=False))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, ProtocolError, msgpack.UnpackException):
            self._log.warn(
                "what came on {channel!r} is not of the Redis adapter's format",
                channel=message.channel.decode("utf-8", "replace"),
            )

    def _broadcast(self, body: Any) -> None:
        uid, packet, options = (*body, {})[:3]
        if uid == self._uid or packet.get("nsp", "/") != self._namespace.name:
            return
        event, *args = packet["data"]
        sockets = self._namespace.select(options.get("rooms") or (), options.get("except") or ())
        self._namespace.send(*encodeEvent(self._namespace.name, str(event), args), sockets)

    def _requested(self, request: Any) -> None:
        if request.get("uid") == self._uid:
            return
        kind = request["type"]
        options = request.get("opts") or {}
        sockets = list(self._namespace.select(options.get("rooms") or (), options.get("except") or ()))
        if kind in (REMOTE_JOIN, REMOTE_LEAVE):
            if "sid" in request:
                # An older form, for one socket.
                socket = self._namespace.sockets.get(request["sid"])
                sockets = [socket] if socket is not None else []
            for socket in sockets:
                for room in request.get("rooms") or [request.get("room")]:
                    (socket.join if kind == REMOTE_JOIN else socket.leave)(str(room))
        elif kind == REMOTE_DISCONNECT:
            for socket in sockets:
                socket.disconnect(bool(request.get("close")))
        elif kind in (SOCKETS, REMOTE_FETCH, ALL_ROOMS):
            self._answer(request, self._report(kind, sockets, request.get("rooms")))

    def _report(self, kind: int, sockets: list[Any], rooms: Any) -> dict[str, Any]:
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

    def _answer(self, request: Any, report: dict[str, Any]) -> None:
        body = {"requestId": request["requestId"], **report}
        for channel in {
            self._responses,
            f"{self._responses}{request['uid']}#" if "uid" in request else self._responses,
        }:
            self._publish(channel, json.dumps(body, default=str).encode())

    def batchEnded(self) -> None:
        """Every message was acted on when it came."""

    def brokerLost(self, reason: str) -> None:
        """The processes are alone until it is back."""

    def brokerRestored(self) -> None:
        """The broker has restored the subscriptions."""

    # Rooms

    def _room(self, room: str, isUsed: bool) -> None:
        channel = f"{self._broadcasts}{room}#".encode("utf-8", "replace")
        if isUsed:
            self._subscribe(channel)
        else:
            self._broker.unsubscribe(channel, self)

    def _subscribe(self, channel: bytes) -> None:
        self._broker.subscribe(channel, self).addErrback(
            lambda failure: self._log.error(
                "the broker refused {channel!r}: {error}", channel=channel, error=failure.value
            )
        )


def decoded(payload: bytes) -> Any:
    """A request: JSON, or MessagePack when there is binary data in it."""
    if payload[:1] == b"{":
        return json.loads(payload)
    return msgpack.unpackb(payload, raw=False, strict_map_key=False)
