"""
A Socket.IO application for the tests of clients and of clusters: every part of the Python API that they can see.

POST /emit takes {"event", "args", "room", "skip"} as JSON, GET /stats tells what there is.
"""

import argparse
import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.web.resource import Resource

from realtime_tw import Hub, RealtimeSite
from realtime_tw.socketio.client import Socket
from realtime_tw.socketio.resource import SocketIOResource
from realtime_tw.socketio.server import ConnectionRefused


class Emit(Resource):
    def __init__(self, io: SocketIOResource) -> None:
        super().__init__()
        self._io = io

    def render_POST(self, request: Any) -> bytes:
        order = json.load(request.content)
        self._io.emit(order["event"], *order["args"], room=order.get("room", ""), skip=order.get("skip", ""))
        return b"ok"


class Stats(Resource):
    def __init__(self, io: SocketIOResource) -> None:
        super().__init__()
        self._io = io

    def render_GET(self, request: Any) -> bytes:
        calls = [call for call in reactor.getDelayedCalls() if "realtime_tw.socketio" in repr(call)]
        report = {
            "sessions": len(self._io.sessions),
            "sockets": len(self._io.of("/").sockets),
            "rooms": len(self._io.of("/")._rooms),
            "timers": len(calls),
        }
        return json.dumps(report).encode()


def install(io: SocketIOResource) -> None:
    for name in ("/", "/custom", "/private"):
        namespace = io.of(name)

        @namespace.connected
        def connected(socket: Socket) -> None:
            socket.emit("auth", socket.handshake.auth)

        @namespace.on("message")
        def message(socket: Socket, *args: Any) -> None:
            socket.emit("message-back", *args)

        @namespace.on("message-with-ack")
        def acknowledge(socket: Socket, *args: Any) -> tuple[Any, ...]:
            return args

        @namespace.on("ask-me")
        def ask(socket: Socket, *args: Any) -> "Deferred[tuple[Any, ...]]":
            return socket.call("question", *args, timeout=20).addCallback(tuple)

        @namespace.on("join")
        def join(socket: Socket, room: str) -> None:
            socket.join(room)
            socket.data["joined"] = room

        @namespace.on("throw-me-out")
        def leave(socket: Socket, close: bool) -> None:
            socket.disconnect(close)

    @io.of("/private").authorize
    def authorize(socket: Socket) -> None:
        if "secret" not in (socket.handshake.auth.get("token"), socket.handshake.query.get("token")):
            raise ConnectionRefused("not you", {"wanted": "token"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ping-interval", type=int, default=300, metavar="MS")
    parser.add_argument("--ping-timeout", type=int, default=20_000, metavar="MS")
    parser.add_argument("--redis", metavar="URL")
    options = parser.parse_args()
    io = SocketIOResource(
        Hub.fromURL(options.redis) if options.redis else None,
        emitter="socket.io" if options.redis else None,
        pingInterval=options.ping_interval / 1000,
        pingTimeout=options.ping_timeout / 1000,
        origins="*",
    )
    install(io)
    root = Resource()
    root.putChild(b"socket.io", io)
    root.putChild(b"emit", Emit(io))
    root.putChild(b"stats", Stats(io))
    serverFromString(reactor, f"tcp:{options.port}:interface=127.0.0.1").listen(RealtimeSite(root))
    reactor.run()


if __name__ == "__main__":
    main()
