"""
python-socketio's write-only manager in JSON (its ``RedisManager(url, channel=..., write_only=True)``, 5.14 or later):
objects ``{"method": ..., "namespace": ..., ...}`` on one channel.

Older versions write pickles. Those are not read: reading a pickle runs what is in it.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

from realtime_tw.codec.jsontext import putAttachments
from realtime_tw.codec.socketio import encodeEvent
from realtime_tw.socketio.server import Namespace


def obey(namespace: Namespace, payload: bytes) -> None:
    """
    Do what a manager asks of a namespace; nothing, when it is about another one.

    :raises ValueError: and others of the kind, when it is not of this format.
    """
    order = json.loads(payload)
    method = _METHODS.get(order["method"])
    if method is not None and (order.get("namespace") or "/") == namespace.name:
        method(namespace, order)


def _emit(namespace: Namespace, order: dict[str, Any]) -> None:
    args = order["data"]
    if order.get("binary"):
        args, *attachments = args
        putAttachments(args, [base64.b64decode(text, validate=True) for text in attachments])
    if args == [None] or args is None:
        args = []
    elif not isinstance(args, list):
        args = [args]
    sockets = namespace.select(order.get("room") or (), order.get("skip_sid") or ())
    namespace.send(*encodeEvent(namespace.name, str(order["event"]), args), sockets)


def _disconnect(namespace: Namespace, order: dict[str, Any]) -> None:
    socket = namespace.sockets.get(order["sid"])
    if socket is not None:
        socket.disconnect()


def _enter(namespace: Namespace, order: dict[str, Any]) -> None:
    socket = namespace.sockets.get(order["sid"])
    if socket is not None:
        socket.join(str(order["room"]))


def _leave(namespace: Namespace, order: dict[str, Any]) -> None:
    socket = namespace.sockets.get(order["sid"])
    if socket is not None:
        socket.leave(str(order["room"]))


def _close(namespace: Namespace, order: dict[str, Any]) -> None:
    for socket in list(namespace.select(str(order["room"]))):
        socket.leave(str(order["room"]))


# "callback" is for the process that asked; managers that only write cannot.
_METHODS: dict[str, Callable[[Namespace, dict[str, Any]], None]] = {
    "emit": _emit,
    "disconnect": _disconnect,
    "enter_room": _enter,
    "leave_room": _leave,
    "close_room": _close,
}
