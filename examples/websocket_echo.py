"""
A WebSocket server that echoes every message, text as text and binary as binary.

    python examples/websocket_echo.py [PORT]

The usual target of WebSocket fuzzing suites: any path, messages of up to 16 MiB in any number of fragments, and
permessage-deflate with every parameter that a client may offer.
"""

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.web.server import Site

from realtime_tw.web.websocket import WebSocketResource
from realtime_tw.web.wsconnection import Limits, WebSocketConnection

#: Bytes of one message, and of all that may wait for a client that sends faster than it reads.
MAX_MESSAGE, BUFFER = 16 << 20, 64 << 20


def echo(connection: WebSocketConnection, payload: bytes, isBinary: bool) -> None:
    connection.send(payload, isBinary)


def main(reactor: Any, port: str = "9001") -> Deferred[None]:
    limits = Limits(maxMessage=MAX_MESSAGE, buffer=BUFFER, compress=True)
    root = WebSocketResource(on_message=echo, limits=limits, origins="*", clock=reactor)
    reactor.listenTCP(int(port), Site(root), interface="127.0.0.1")
    print(f"ws://127.0.0.1:{port}/", flush=True)
    return Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
