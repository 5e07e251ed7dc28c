"""
An Engine.IO server that echoes every message, text as text and binary as binary.

    python examples/engineio_echo.py [--port 3000]

Its settings are those that the protocol's public test suite expects; the path is /engine.io/.
"""

import argparse
from typing import Any

from twisted.internet import reactor
from twisted.web.resource import Resource

from realtime_tw import RealtimeSite
from realtime_tw.socketio.engine import EngineIOResource
from realtime_tw.socketio.session import Session


class Echo:
    """What is spoken over one session."""

    def __init__(self, session: Session, request: Any) -> None:
        self._session = session

    def opened(self) -> None: ...

    def messageReceived(self, data: str | bytes) -> None:
        if isinstance(data, bytes):
            self._session.sendBinary(data)
        else:
            self._session.send(data.encode())

    def wireChanged(self) -> None: ...

    def closed(self, reason: str) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--ping-interval", type=int, default=300, metavar="MS")
    parser.add_argument("--ping-timeout", type=int, default=200, metavar="MS")
    options = parser.parse_args()
    engine = EngineIOResource(
        Echo,
        pingInterval=options.ping_interval / 1000,
        pingTimeout=options.ping_timeout / 1000,
        maxPayload=1_000_000,
        origins="*",
    )
    root = Resource()
    root.putChild(b"engine.io", engine)
    site: Any = RealtimeSite(root)
    reactor.listenTCP(options.port, site, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
