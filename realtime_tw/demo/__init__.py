"""
The demo: one page that shows every capability in a browser, on a resource tree made with the embedding API.

Each later capability adds its panel to the page and its endpoints here.
"""

import json
import os
import secrets
from importlib.resources import files
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.static import Data

from realtime_tw.errors import BrokerUnavailable
from realtime_tw.hub import Hub
from realtime_tw.socketio.client import Socket
from realtime_tw.socketio.resource import SocketIOResource
from realtime_tw.web.publish import PublishResource
from realtime_tw.web.subscribe import SSEResource
from realtime_tw.web.websocket import WebSocketResource
from realtime_tw.web.wsconnection import Limits

CHANNEL = b"demo"

#: Messages of the chat, however they travel: ``{"name", "text"}`` as JSON.
CHAT = b"demo:chat"

#: Bytes of one message: the forms allow far less.
MAX_MESSAGE = 1 << 16

#: Each process tells of itself: several may share a broker.
STATS_INTERVAL = 1.0

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class DemoResource(Resource):
    """
    The page and its endpoints: ``/events``, ``/publish`` and ``/stats``, and one chat at ``/chat`` and ``/socket.io/``.

    :param hub: where its channels are.
    """

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        for entry in files(__name__).iterdir():
            kind = _TYPES.get(os.path.splitext(entry.name)[1])
            if kind is not None:
                page = DemoFile(entry.read_bytes(), kind)
                self.putChild(entry.name.encode(), page)
                if entry.name == "index.html":
                    self.putChild(b"", page)
        self.stats = Stats(hub)
        self.putChild(b"events", SSEResource(hub, CHANNEL))
        self.putChild(b"publish", PublishResource(hub, CHANNEL, maxMessage=MAX_MESSAGE))
        self.putChild(b"stats", SSEResource(hub, self.stats.channel, retained=False))
        self._webSocket = WebSocketResource(hub, CHAT, CHAT, limits=Limits(maxMessage=MAX_MESSAGE))
        self.putChild(b"chat", self._webSocket)
        self._socketIO = socketIOChat(hub)
        self.putChild(b"socket.io", self._socketIO)

    def start(self) -> None:
        """The service has started."""
        self.stats.start()

    def closeAll(self, reason: str) -> None:
        """The service stops: end what does not end with the hub's streams."""
        self.stats.stop()
        self._webSocket.factory.closeAll(reason)
        self._socketIO.closeAll(reason)


def socketIOChat(hub: Hub) -> SocketIOResource:
    """The chat as events ``message`` with one argument, which are acknowledged when the broker has them."""
    resource = SocketIOResource(hub, CHAT, json=True, maxPayload=MAX_MESSAGE)

    def message(socket: Socket, said: Any = None, *rest: Any) -> "Deferred[dict[str, Any]] | dict[str, Any]":
        if not isinstance(said, dict) or not isinstance(said.get("text"), str):
            return {"error": "A message is an object with a text."}
        body = {"name": str(said.get("name") or "anonymous"), "text": said["text"]}
        published = hub.publish(CHAT, json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
        return published.addCallbacks(_published, _refused)

    resource.of("/").on("message")(message)
    return resource


def _published(receivers: int) -> dict[str, Any]:
    return {"receivers": receivers}


def _refused(failure: Failure) -> dict[str, Any]:
    failure.trap(BrokerUnavailable)
    return {"error": "The message broker is away, so nothing was published. Try again in a moment."}


class DemoFile(Data):
    """A part of the page, which may load nothing from anywhere else."""

    def render_GET(self, request: Any) -> bytes:
        request.setHeader(b"Content-Security-Policy", b"default-src 'self'")
        request.setHeader(b"Cache-Control", b"no-cache")
        body: bytes = super().render_GET(request)
        return body

    render_HEAD = render_GET


class Stats:
    """Publishes what the hub counts, once a second, to whoever listens."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.channel = f"demo:stats:{secrets.token_hex(4)}".encode()
        self._loop = LoopingCall(self._tell)
        self._loop.clock = hub.clock
        self._started = 0.0
        self._before = (0.0, 0, 0)

    def start(self) -> None:
        self._started = self._hub.clock.seconds()
        self._before = (self._started, *self._totals())
        self._loop.start(STATS_INTERVAL)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    def _totals(self) -> tuple[int, int]:
        return self._hub.counters.messages, self._hub.counters.deliveries

    def _tell(self) -> None:
        now = self._hub.clock.seconds()
        before, messagesBefore, deliveriesBefore = self._before
        messages, deliveries = self._totals()
        self._before = (now, messages, deliveries)
        elapsed = max(now - before, 1e-3)
        stats = self._hub.stats()
        report = {
            "subscribers": stats["subscribers"],
            "channels": stats["channels"],
            "messages_per_second": round((messages - messagesBefore) / elapsed, 1),
            "deliveries_per_second": round((deliveries - deliveriesBefore) / elapsed, 1),
            "messages": messages,
            "deliveries": deliveries,
            "uptime": round(now - self._started, 1),
        }
        # Nobody is harmed by a report that a broker did not take.
        self._hub.broker.publish(self.channel, json.dumps(report).encode()).addErrback(lambda _: None)
