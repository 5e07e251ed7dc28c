"""
The demo: one page that shows every capability in a browser, on a resource tree made with the embedding API.

Each later capability adds its panel to the page and its endpoints here.
"""

import json
import os
import secrets
from importlib.resources import files
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.web.resource import Resource
from twisted.web.static import Data

from realtime_tw.hub import Hub
from realtime_tw.web.publish import PublishResource
from realtime_tw.web.subscribe import SSEResource

CHANNEL = b"demo"

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
    The page and its endpoints: ``/events``, ``/publish`` and ``/stats``.

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
        self.putChild(b"publish", PublishResource(hub, CHANNEL, maxMessage=1 << 16))
        self.putChild(b"stats", SSEResource(hub, self.stats.channel, retained=False))


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
