"""Socket.IO as one resource: the Engine.IO address, the server behind it, its channels and its emitters."""

from collections.abc import Iterable
from typing import Any

from realtime_tw.hub import Hub
from realtime_tw.socketio.adapter import RedisAdapter
from realtime_tw.socketio.channels import ChannelMapping
from realtime_tw.socketio.client import CONNECT_TIMEOUT
from realtime_tw.socketio.engine import MAX_PAYLOAD, PING_INTERVAL, PING_TIMEOUT, EngineIOResource
from realtime_tw.socketio.server import Namespace, SocketIOServer
from realtime_tw.subscriber import DEFAULT_LIMIT
from realtime_tw.web.base import Channels, channelNames


class SocketIOResource(EngineIOResource):
    """
    A Socket.IO server on one address, usually ``/socket.io/``.

    Alone it is what its namespaces make of it; with ``subscribe`` and ``publish`` it maps channels.

    :param hub: where channels are; may be None without channels and emitter.
    :param subscribe: channels whose messages every socket gets as an event.
    :param publish: the channel that clients' events go to.
    :param event: the name of the events; ``json``: messages that are JSON arrive as values.
    :param namespace: the namespace of the mapping.
    :param emitter: the key prefix under which Redis emitters and other processes are heard; None for neither.
    :param connectTimeout: seconds in which a client must connect to a namespace.

    The other parameters are those of :class:`realtime_tw.socketio.engine.EngineIOResource`.

    :ivar namespaces: the server behind the address.
    """

    def __init__(
        self,
        hub: Hub | None = None,
        subscribe: Channels | None = None,
        publish: bytes | str | None = None,
        *,
        event: str = "message",
        json: bool = False,
        namespace: str = "/",
        emitter: str | None = None,
        retained: bool = True,
        connectTimeout: float = CONNECT_TIMEOUT,
        pingInterval: float = PING_INTERVAL,
        pingTimeout: float = PING_TIMEOUT,
        maxPayload: int = MAX_PAYLOAD,
        transports: Iterable[str] = ("polling", "websocket"),
        buffer: int = DEFAULT_LIMIT,
        compress: bool = False,
        origins: str | Iterable[str] | None = None,
        clock: Any = None,
    ) -> None:
        if clock is None and hub is not None:
            clock = hub.clock
        self.namespaces = SocketIOServer(connectTimeout=connectTimeout, clock=clock)
        super().__init__(
            self.namespaces,
            pingInterval=pingInterval,
            pingTimeout=pingTimeout,
            maxPayload=maxPayload,
            transports=transports,
            buffer=buffer,
            compress=compress,
            origins=origins,
            counters=hub.counters if hub is not None else None,
            clock=clock,
        )
        self._adapters: dict[str, RedisAdapter] = {}
        self._hub = hub
        self._emitter = emitter
        if subscribe or publish:
            if hub is None:
                raise ValueError("channels need a hub")
            ChannelMapping(
                self.of(namespace),
                hub,
                channelNames(subscribe) if subscribe else (),
                channelNames([publish])[0] if publish else None,
                event=event,
                json=json,
                retained=retained,
            )
        elif emitter is not None:
            self.of(namespace)

    def of(self, name: str = "/") -> Namespace:
        """The namespace of that name, joined with other processes when there is an emitter key."""
        namespace = self.namespaces.of(name)
        if self._emitter is not None and namespace.name not in self._adapters:
            if self._hub is None:
                raise ValueError("an emitter needs a hub")
            self._adapters[namespace.name] = RedisAdapter(namespace, self._hub.broker, self.clock, self._emitter)
        return namespace

    def emit(self, event: str, *args: Any, namespace: str = "/", room: str = "", skip: str = "") -> None:
        """Send an event to the sockets of a namespace, in all processes that share the emitter key."""
        target = self.of(namespace)
        adapter = self._adapters.get(target.name)
        rooms, skipped = ([room] if room else []), ([skip] if skip else [])
        if adapter is not None:
            adapter.emit(event, *args, room=rooms, skip=skipped)
        else:
            target.emit(event, *args, room=rooms, skip=skipped)

    def closeAll(self, reason: str) -> None:
        super().closeAll(reason)
        for adapter in self._adapters.values():
            adapter.stop()
