"""
The realtime actions of the routing file: what each is called, the keys it takes, and the resource it becomes.

A later capability adds itself here with one entry.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.web.resource import IResource

from realtime_tw.hub import Hub
from realtime_tw.routing.arguments import ActionSpec, Key, Kind
from realtime_tw.subscriber import DEFAULT_LIMIT, SlowPolicy
from realtime_tw.web.istream import IStreamResource
from realtime_tw.web.publish import MAX_MESSAGE, PublishResource
from realtime_tw.web.subscribe import HEARTBEAT, SSEResource, StreamResource

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RealtimeActionType:
    """
    :ivar spec: how it is written.
    :ivar build: makes the resource that answers one request from its hub and its bound values.
    """

    spec: ActionSpec
    build: Callable[[Hub, Values], IResource]


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


def _sse(hub: Hub, values: Values) -> IResource:
    return SSEResource(
        hub,
        values["subscribe"],
        event=values["event"],
        heartbeat=values["heartbeat"],
        retry=values["retry"],
        **_readerOptions(values),
    )


def _sseraw(hub: Hub, values: Values) -> IResource:
    return SSEResource(hub, values["subscribe"], raw=True, heartbeat=values["heartbeat"], **_readerOptions(values))


def _stream(hub: Hub, values: Values) -> IResource:
    return StreamResource(
        hub,
        values["subscribe"],
        prefix=values["prefix"],
        suffix=values["suffix"],
        contentType=values["content_type"],
        **_readerOptions(values),
    )


def _istream(hub: Hub, values: Values) -> IResource:
    return IStreamResource(
        hub,
        values["publish"],
        prefix=values["prefix"],
        suffix=values["suffix"],
        maxMessage=values["max_message"],
        origins=_origins(values),
    )


def _publish(hub: Hub, values: Values) -> IResource:
    return PublishResource(hub, values["channel"], maxMessage=values["max_message"], origins=_origins(values))


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
                    Key("content_type", Kind.TEXT, default=b""),
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
    )
}
