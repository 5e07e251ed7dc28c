"""
The realtime actions of the routing file: what each is called, the keys it takes, and the resource it becomes.

A later capability adds itself here with one entry.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.web.resource import IResource

from realtime_tw.hub import Hub
from realtime_tw.routing.arguments import ActionSpec, Key, Kind
from realtime_tw.routing.replies import checkHeaderValue
from realtime_tw.routing.rtspactions import INTERLEAVED, RTSP, interleavedPublication, overHTTP, rtspPublication
from realtime_tw.rtsp.server import Publication
from realtime_tw.socketio.client import CONNECT_TIMEOUT
from realtime_tw.socketio.engine import MAX_PAYLOAD, PING_INTERVAL, PING_TIMEOUT
from realtime_tw.socketio.resource import SocketIOResource
from realtime_tw.subscriber import DEFAULT_LIMIT, SlowPolicy
from realtime_tw.web.istream import IStreamResource
from realtime_tw.web.publish import MAX_MESSAGE, PublishResource
from realtime_tw.web.subscribe import HEARTBEAT, SSEResource, StreamResource
from realtime_tw.web.websocket import WebSocketResource, webSocketFactory
from realtime_tw.web.wsconnection import Limits

Values = Mapping[str, Any]


@dataclass(slots=True)
class RuleContext:
    """
    What one rule keeps between requests.

    :ivar hub: of the rule's broker.
    :ivar section: of its file.
    :ivar tunnels: answers HTTP requests that tunnel RTSP.
    :ivar kept: what must outlive a request, such as the sessions of a Socket.IO server.
    """

    hub: Hub
    section: str = "realtime"
    tunnels: IResource | None = None
    kept: dict[Hashable, Any] = field(default_factory=dict)

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What ``make`` returned when it was first asked for under this key."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]


@dataclass(frozen=True, slots=True)
class RealtimeActionType:
    """
    :ivar spec: how it is written.
    :ivar build: makes the resource that answers one request from the rule's context and its bound values.
    :ivar isStanding: the resource is the same for all requests, and does something before the first: it is built when
        the service starts. None of its keys may hold variables.
    :ivar publication: what becomes of an RTSP publisher; None for an action that takes none.
    """

    spec: ActionSpec
    build: Callable[[RuleContext, Values], IResource]
    isStanding: bool = False
    publication: Callable[[RuleContext, Values], Publication] | None = None


_LIMITS = Limits()
_SERVER = Key("server", Kind.SERVER)
_SUBSCRIBE = Key("subscribe", Kind.CHANNELS, required=True)
_ORIGINS = Key("origins", Kind.TEXT, default=b"")
_MAX_MESSAGE = Key("max_message", Kind.SIZE, default=MAX_MESSAGE)
_AFFIXES = (Key("prefix", Kind.TEXT, default=b""), Key("suffix", Kind.TEXT, default=b""))
_READER = (
    Key("buffer", Kind.SIZE, default=DEFAULT_LIMIT),
    Key("slow", Kind.CHOICE, default="close", choices=tuple(policy.value for policy in SlowPolicy)),
    Key("retained", Kind.FLAG, default=True),
    _ORIGINS,
)

#: uwsgi-realtime's read buffer: accepted, and without effect, because reads are not limited to it here.
_BUFFER_SIZE = Key("buffer_size", Kind.SIZE)


def _readerOptions(values: Values) -> dict[str, Any]:
    return {
        "buffer": values["buffer"],
        "slow": values["slow"],
        "retained": values["retained"],
        "origins": _origins(values),
    }


def _origins(values: Values) -> str | None:
    return values["origins"].decode("utf-8", "replace") or None


def _sse(context: RuleContext, values: Values) -> IResource:
    return SSEResource(
        context.hub,
        values["subscribe"],
        event=values["event"],
        heartbeat=values["heartbeat"],
        retry=values["retry"],
        **_readerOptions(values),
    )


def _sseraw(context: RuleContext, values: Values) -> IResource:
    return SSEResource(
        context.hub, values["subscribe"], raw=True, heartbeat=values["heartbeat"], **_readerOptions(values)
    )


def _stream(context: RuleContext, values: Values) -> IResource:
    return StreamResource(
        context.hub,
        values["subscribe"],
        prefix=values["prefix"],
        suffix=values["suffix"],
        contentType=checkHeaderValue(values["content_type"]),
        **_readerOptions(values),
    )


def _istream(context: RuleContext, values: Values) -> IResource:
    return IStreamResource(
        context.hub,
        values["publish"],
        prefix=values["prefix"],
        suffix=values["suffix"],
        maxMessage=values["max_message"],
        origins=_origins(values),
    )


def _publish(context: RuleContext, values: Values) -> IResource:
    return PublishResource(context.hub, values["channel"], maxMessage=values["max_message"], origins=_origins(values))


def _twoWayOrigins(context: RuleContext, values: Values) -> str | None:
    """
    Without ``origins`` pages of the same host may connect; in a compatible file any may, as with uwsgi-realtime. What
    they do there is done with the user's cookies.
    """
    return _origins(values) or ("*" if context.section == "uwsgi" else None)


def _websocket(context: RuleContext, values: Values) -> IResource:
    limits = Limits(
        values["max_message"],
        values["buffer"],
        SlowPolicy(values["slow"]),
        values["ping"],
        values["pong_timeout"],
        values["compress"],
    )
    return WebSocketResource(
        context.hub,
        values["subscribe"],
        values["publish"] or None,
        prefix=values["prefix"],
        suffix=values["suffix"],
        rate=values["rate"],
        publishFailure=values["publish_failure"],
        retained=values["retained"],
        origins=_twoWayOrigins(context, values),
        factory=context.once(
            "websocket",
            lambda: webSocketFactory(
                context.hub.clock, context.hub.counters, limits, values["frames"], values["protocols"] or ()
            ),
        ),
    )


def _socketio(context: RuleContext, values: Values) -> IResource:
    resource: IResource = context.once(
        "socket.io",
        lambda: SocketIOResource(
            context.hub,
            values["subscribe"],
            values["publish"] or None,
            event=values["event"].decode("utf-8", "replace"),
            json=values["json"],
            namespace=values["namespace"].decode("utf-8", "replace"),
            emitter=values["emitter"].decode("utf-8", "replace") or None,
            retained=values["retained"],
            connectTimeout=values["connect_timeout"],
            pingInterval=values["ping_interval"],
            pingTimeout=values["ping_timeout"],
            maxPayload=values["max_payload"],
            buffer=values["buffer"],
            compress=values["compress"],
            origins=_twoWayOrigins(context, values),
        ),
    )
    return resource


def _overHTTP(context: RuleContext, values: Values) -> IResource:
    return overHTTP(context.tunnels)


_HEARTBEAT = Key("heartbeat", Kind.SECONDS, default=HEARTBEAT)

ACTIONS: Mapping[str, RealtimeActionType] = {
    action.spec.name: action
    for action in (
        RealtimeActionType(
            ActionSpec(
                "sse",
                (
                    _SERVER,
                    _SUBSCRIBE,
                    Key("event", Kind.CHOICE, choices=("channel",)),
                    _HEARTBEAT,
                    Key("retry", Kind.COUNT),
                    *_READER,
                    _BUFFER_SIZE,
                ),
                bare="subscribe",
                summary="Server-Sent Events: each message is an event",
            ),
            _sse,
        ),
        RealtimeActionType(
            ActionSpec(
                "sseraw",
                (_SERVER, _SUBSCRIBE, _HEARTBEAT, *_READER, _BUFFER_SIZE),
                bare="subscribe",
                summary="Server-Sent Events: the messages are events already",
            ),
            _sseraw,
        ),
        RealtimeActionType(
            ActionSpec(
                "stream",
                (
                    _SERVER,
                    _SUBSCRIBE,
                    *_AFFIXES,
                    Key("content_type", Kind.TEXT, default=b"application/octet-stream"),
                    *_READER,
                    # uwsgi-realtime takes it, and does nothing with it either.
                    Key("publish", Kind.TEXT),
                ),
                bare="subscribe",
                summary="the messages' own bytes, one after the other",
            ),
            _stream,
        ),
        RealtimeActionType(
            ActionSpec(
                "istream",
                (
                    _SERVER,
                    Key("publish", Kind.TEXT, required=True),
                    *_AFFIXES,
                    _MAX_MESSAGE,
                    _ORIGINS,
                    # uwsgi-realtime takes it, and does nothing with it either.
                    Key("subscribe", Kind.TEXT),
                ),
                bare="publish",
                summary="publishes a request's body while it arrives",
            ),
            _istream,
        ),
        RealtimeActionType(
            ActionSpec(
                "publish",
                (_SERVER, Key("channel", Kind.TEXT, required=True), _MAX_MESSAGE, _ORIGINS),
                bare="channel",
                summary="publishes a request's body as one message",
            ),
            _publish,
        ),
        RealtimeActionType(
            ActionSpec(
                "websocket",
                (
                    _SERVER,
                    Key("subscribe", Kind.CHANNELS),
                    Key("publish", Kind.TEXT, default=b""),
                    *_AFFIXES,
                    Key("frames", Kind.CHOICE, default="auto", choices=("auto", "text", "binary")),
                    Key("protocols", Kind.WORDS),
                    Key("compress", Kind.FLAG, default=False),
                    Key("ping", Kind.SECONDS, default=_LIMITS.ping),
                    Key("pong_timeout", Kind.SECONDS, default=_LIMITS.pongTimeout),
                    Key("max_message", Kind.SIZE, default=_LIMITS.maxMessage),
                    Key("rate", Kind.COUNT),
                    Key("publish_failure", Kind.CHOICE, default="close", choices=("close", "drop")),
                    *_READER,
                ),
                bare="subscribe",
                summary="messages to and from WebSocket clients",
            ),
            _websocket,
        ),
        RealtimeActionType(
            ActionSpec(
                "socket.io",
                (
                    _SERVER,
                    Key("subscribe", Kind.CHANNELS, isConstant=True),
                    Key("publish", Kind.TEXT, default=b"", isConstant=True),
                    Key("event", Kind.TEXT, default=b"message", isConstant=True),
                    Key("json", Kind.FLAG, default=False),
                    Key("namespace", Kind.TEXT, default=b"/", isConstant=True),
                    Key("emitter", Kind.TEXT, default=b"", isConstant=True),
                    Key("retained", Kind.FLAG, default=True),
                    Key("connect_timeout", Kind.SECONDS, default=CONNECT_TIMEOUT),
                    Key("ping_interval", Kind.SECONDS, default=PING_INTERVAL),
                    Key("ping_timeout", Kind.SECONDS, default=PING_TIMEOUT),
                    Key("max_payload", Kind.SIZE, default=MAX_PAYLOAD),
                    Key("compress", Kind.FLAG, default=False),
                    Key("buffer", Kind.SIZE, default=DEFAULT_LIMIT),
                    Key("origins", Kind.TEXT, default=b"", isConstant=True),
                ),
                bare="subscribe",
                summary="a Socket.IO server: messages to and from its clients",
            ),
            _socketio,
            isStanding=True,
        ),
        RealtimeActionType(
            RTSP,
            _overHTTP,
            publication=lambda context, values: rtspPublication(context.hub, values),
        ),
        RealtimeActionType(
            INTERLEAVED,
            _overHTTP,
            publication=lambda context, values: interleavedPublication(context.hub, values),
        ),
    )
}
