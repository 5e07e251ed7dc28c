"""
realtime_tw: realtime endpoints for any web site.

Three ways in: ``twistd realtime --routes routes.ini``; the resources below inside an existing Twisted Web site; the
modules of ``realtime_tw.codec``, ``realtime_tw.rtsp`` and ``realtime_tw.routing`` as libraries without I/O.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from realtime_tw.errors import BrokerUnavailable, ConfigError, LimitExceeded, ProtocolError, RealtimeError
from realtime_tw.model import Message

if TYPE_CHECKING:
    from realtime_tw.hub import Hub
    from realtime_tw.rtsp.outputs import ForwardingOutput, FramesOutput, PayloadsOutput
    from realtime_tw.rtsp.server import Publication, RTSPFactory, RTSPRefusal
    from realtime_tw.rtsp.tunnel import RTSPTunnelResource
    from realtime_tw.socketio.engine import EngineIOResource
    from realtime_tw.socketio.resource import SocketIOResource
    from realtime_tw.web.istream import IStreamResource
    from realtime_tw.web.publish import PublishResource
    from realtime_tw.web.request import StreamingRequest
    from realtime_tw.web.site import RealtimeSite
    from realtime_tw.web.subscribe import SSEResource, StreamResource
    from realtime_tw.web.websocket import WebSocketResource

__version__ = version("realtime_tw")

__all__ = [
    "BrokerUnavailable",
    "ConfigError",
    "EngineIOResource",
    "ForwardingOutput",
    "FramesOutput",
    "Hub",
    "IStreamResource",
    "LimitExceeded",
    "Message",
    "PayloadsOutput",
    "ProtocolError",
    "Publication",
    "PublishResource",
    "RTSPFactory",
    "RTSPRefusal",
    "RTSPTunnelResource",
    "RealtimeError",
    "RealtimeSite",
    "SSEResource",
    "SocketIOResource",
    "StreamResource",
    "StreamingRequest",
    "WebSocketResource",
    "__version__",
]

_LAZY = {
    "EngineIOResource": "realtime_tw.socketio.engine",
    "ForwardingOutput": "realtime_tw.rtsp.outputs",
    "FramesOutput": "realtime_tw.rtsp.outputs",
    "Hub": "realtime_tw.hub",
    "IStreamResource": "realtime_tw.web.istream",
    "PayloadsOutput": "realtime_tw.rtsp.outputs",
    "Publication": "realtime_tw.rtsp.server",
    "PublishResource": "realtime_tw.web.publish",
    "RTSPFactory": "realtime_tw.rtsp.server",
    "RTSPRefusal": "realtime_tw.rtsp.server",
    "RTSPTunnelResource": "realtime_tw.rtsp.tunnel",
    "RealtimeSite": "realtime_tw.web.site",
    "SSEResource": "realtime_tw.web.subscribe",
    "SocketIOResource": "realtime_tw.socketio.resource",
    "StreamResource": "realtime_tw.web.subscribe",
    "StreamingRequest": "realtime_tw.web.request",
    "WebSocketResource": "realtime_tw.web.websocket",
}


def __getattr__(name: str) -> object:
    """Import what needs Twisted when it is asked for: the pure modules are usable without."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
