"""
Channels as Socket.IO events: what is published on a channel reaches every socket of a namespace as an event, and what
clients send is published as JSON.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from realtime_tw.codec.jsontext import encodeJSON, validJSON
from realtime_tw.codec.socketio import encodeEvent, eventPrefix
from realtime_tw.codec.websocket import isText
from realtime_tw.errors import BrokerUnavailable
from realtime_tw.feed import Lane
from realtime_tw.hub import Hub
from realtime_tw.interfaces import IEncoding, ISubscriber
from realtime_tw.model import Message
from realtime_tw.socketio.client import Socket
from realtime_tw.socketio.server import ANY, NO_ANSWER, Namespace
from realtime_tw.socketio.session import Session
from realtime_tw.socketio.wire import Wire
from realtime_tw.subscriber import Subscriber


@implementer(IEncoding)
@dataclass(frozen=True, slots=True)
class EventEncoding:
    """
    One event per message, with one argument.

    :ivar json: messages that are JSON become JSON values; otherwise they are text when they are UTF-8, and else binary.
    """

    wire: Wire
    namespace: str
    event: str
    json: bool = False

    heartbeat = b""

    def encode(self, messages: Sequence[Message]) -> bytes:
        prefix = eventPrefix(self.namespace, self.event)
        return self.wire.join([self._one(prefix, message.payload) for message in messages])

    def _one(self, prefix: bytes, payload: bytes) -> bytes:
        if self.json and validJSON(payload):
            return self.wire.text(b"%b%b]" % (prefix, payload))
        if isText(payload):
            return self.wire.text(b"%b%b]" % (prefix, encodeJSON(payload.decode())))
        return self.wire.message(*encodeEvent(self.namespace, self.event, [payload]))

    def frame(self, data: bytes) -> bytes:
        return data

    def farewell(self) -> bytes:
        return b""


@implementer(ISubscriber)
class Outlet:
    """A socket as a subscriber of the hub."""

    __slots__ = ("_held", "_mapping", "_out", "_session", "encoding", "feed")

    def __init__(self, mapping: "ChannelMapping", session: Session) -> None:
        self._mapping = mapping
        self._session = session
        self._held: list[bytes] | None = None
        self.feed: Any = None
        self._out: Subscriber | None = None
        self.encoding: EventEncoding
        self._follow()

    def _follow(self) -> None:
        session = self._session
        self.encoding = self._mapping.encodingFor(session.wire)
        if session.carrier is not None:
            self._out = session.carrier.out
            self._out.followers += (self,)

    def leave(self) -> None:
        """The socket is gone; its connection may stay."""
        if self._out is not None:
            self._out.followers = tuple(other for other in self._out.followers if other is not self)
            self._out = None

    @property
    def lane(self) -> Lane | None:
        return self._out.lane if self._out is not None and self._held is None else None

    def deliver(self, data: bytes) -> bool:
        if self._held is not None:
            self._held.append(data)
            return True
        session = self._session
        return session.deliver(data if self.encoding.wire == session.wire else session.translated(data))

    def stuffed(self, data: bytes, sent: int) -> None:
        if self._out is not None:
            self._out.stuffed(data, sent)

    def hold(self) -> None:
        self._held = []
        self._laneChanged()

    def release(self, data: bytes) -> None:
        held, self._held = self._held or [], None
        self._laneChanged()
        for piece in (data, *held):
            if piece:
                self.deliver(piece)

    def _laneChanged(self) -> None:
        if self.feed is not None:
            self.feed[0].laneChanged()

    def wireChanged(self) -> None:
        """The session goes on over another transport, and needs other bytes."""
        if self.feed is None:
            return
        hub, mapping, session = self._mapping.hub, self._mapping, self._session
        # What was collected for the old wire goes out first, over the new one: sessions encode it anew.
        hub.batchEnded()
        # Without it, the last client's channels would be closed and opened again, and miss something.
        keeper = Outlet(mapping, session)
        hub.subscribe(keeper, mapping.channels, retained=False)
        hub.unsubscribe(self)
        self._follow()
        if self._held is not None:
            self._held = [session.translated(piece) for piece in self._held]
        hub.subscribe(self, mapping.channels, retained=False)
        hub.unsubscribe(keeper)
        keeper.leave()

    def beat(self) -> None:
        """Sessions have heartbeats of their own."""

    def close(self, reason: str) -> None:
        self._session.close(reason)


class ChannelMapping:
    """
    :param namespace: whose sockets the events reach.
    :param channels: whose messages become events; may be empty.
    :param publish: the channel that clients' events go to, as JSON ``{"sid", "nsp", "event", "args"}``; or None.
    :param event: the name of the events.
    :param json: see :class:`EventEncoding`.
    :param retained: send the channels' retained values to each new socket first.
    """

    def __init__(
        self,
        namespace: Namespace,
        hub: Hub,
        channels: tuple[bytes, ...],
        publish: bytes | None = None,
        *,
        event: str = "message",
        json: bool = False,
        retained: bool = True,
    ) -> None:
        self.hub = hub
        self.channels = channels
        self._namespace = namespace
        self._publish = publish
        self._event = event
        self._json = json
        self._retained = retained
        self._encodings: dict[Wire, EventEncoding] = {}
        if channels:
            namespace.authorize(lambda socket: hub.prepare(channels).addCallback(self._prepared, socket))
            namespace.connected(self._connected)
            namespace.disconnected(self._disconnected)
        if publish is not None:
            namespace.on(ANY)(self._received)

    def encodingFor(self, wire: Wire) -> EventEncoding:
        """The encoding of a wire: one object for all clients, which share its bytes."""
        encoding = self._encodings.get(wire)
        if encoding is None:
            encoding = self._encodings[wire] = EventEncoding(wire, self._namespace.name, self._event, self._json)
        return encoding

    def _prepared(self, _: object, socket: Socket) -> None:
        if socket.client.session.isClosed:
            self.hub.unprepare(self.channels)

    def _connected(self, socket: Socket) -> None:
        socket.outlet = Outlet(self, socket.client.session)
        self.hub.subscribe(socket.outlet, self.channels, self._retained)

    def _disconnected(self, socket: Socket, reason: str) -> None:
        if socket.outlet is not None:
            self.hub.unsubscribe(socket.outlet)
            socket.outlet.leave()

    def _received(self, socket: Socket, event: str, *args: Any) -> "Deferred[Any]":
        assert self._publish is not None
        arguments = [plain(argument) for argument in args]
        message = encodeJSON({"sid": socket.id, "nsp": self._namespace.name, "event": event, "args": arguments})
        backlog, size = socket.client.backlog, len(message)
        backlog.add(size)

        def done(result: Any) -> Any:
            backlog.done(size)
            return result

        # The acknowledgement says that the broker has it: without that there is none.
        return self.hub.publish(self._publish, message).addBoth(done).addCallbacks(lambda _: None, self._failed)

    def _failed(self, failure: Failure) -> object:
        failure.trap(BrokerUnavailable)
        return NO_ANSWER


def plain(value: Any) -> Any:
    """An argument as JSON can say it: binary becomes ``{"base64": ...}``."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value
