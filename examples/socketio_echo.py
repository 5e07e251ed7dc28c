"""
A Socket.IO server that answers events with their own arguments.

    python examples/socketio_echo.py [--port 3000]

Its settings are those that the protocol's public test suite expects; the path is /socket.io/.
"""

import argparse
from typing import Any

from twisted.internet import reactor
from twisted.web.resource import Resource

from realtime_tw import RealtimeSite
from realtime_tw.socketio.client import Socket
from realtime_tw.socketio.engine import EngineIOResource
from realtime_tw.socketio.server import SocketIOServer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--ping-interval", type=int, default=300, metavar="MS")
    parser.add_argument("--ping-timeout", type=int, default=200, metavar="MS")
    options = parser.parse_args()
    server = SocketIOServer(connectTimeout=1.0)
    for name in ("/", "/custom"):
        namespace = server.of(name)

        @namespace.connected
        def connected(socket: Socket) -> None:
            socket.emit("auth", socket.handshake.auth)

        @namespace.on("message")
        def message(socket: Socket, *args: Any) -> None:
            socket.emit("message-back", *args)

        @namespace.on("message-with-ack")
        def acknowledge(socket: Socket, *args: Any) -> tuple[Any, ...]:
            return args

    engine = EngineIOResource(
        server,
        pingInterval=options.ping_interval / 1000,
        pingTimeout=options.ping_timeout / 1000,
        maxPayload=1_000_000,
        origins="*",
    )
    root = Resource()
    root.putChild(b"socket.io", engine)
    site: Any = RealtimeSite(root)
    reactor.listenTCP(options.port, site, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
