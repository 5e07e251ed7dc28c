"""
The baseline: the server that one writes with Twisted Web when one does not think about fan-out.

``python -m benchmarks.fanout.plain_twisted PORT`` serves ``GET /events``, a Server-Sent Events stream, and
``POST /publish``, whose body becomes an event for every subscriber with a plain ``transport.write`` each. The
message source is thus the same as that of realtime_tw's embedded case: HTTP, into the same process. The event
is framed once per message, as a chunk, so what is compared is the writing and nothing else.
"""

# Much of Twisted is not annotated, and this is nothing but Twisted.
# mypy: disable-error-code="no-untyped-call"

import sys

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IReactorCore, IReactorTCP, ITransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site


class Events(Resource):
    """The stream, and everybody who is reading it."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self._transports: dict[Request, ITransport] = {}

    def render_GET(self, request: Request) -> int:
        """Answer with the head of a stream; the rest comes with the messages."""
        request.setHeader(b"content-type", b"text/event-stream")
        request.setHeader(b"cache-control", b"no-cache")
        request.write(b"")
        transport = request.channel.transport
        assert transport is not None
        self._transports[request] = transport
        request.notifyFinish().addErrback(self._left, request)
        return NOT_DONE_YET

    def _left(self, reason: Failure, request: Request) -> None:
        del self._transports[request]

    def publish(self, payload: bytes) -> None:
        """Write one event to everybody."""
        event = b"data: %b\n\n" % payload
        chunk = b"%x\r\n%b\r\n" % (len(event), event)
        for transport in list(self._transports.values()):
            transport.write(chunk)


class Publish(Resource):
    """Where messages come in."""

    isLeaf = True

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events

    def render_POST(self, request: Request) -> bytes:
        """Fan the body out."""
        assert request.content is not None
        self._events.publish(request.content.read())
        return b"ok\n"


def main(port: int) -> None:
    """Serve on 127.0.0.1 until a signal comes."""
    root = Resource()
    events = Events()
    root.putChild(b"events", events)
    root.putChild(b"publish", Publish(events))
    assert IReactorTCP.providedBy(reactor)
    assert IReactorCore.providedBy(reactor)
    TCP4ServerEndpoint(reactor, port, backlog=1024, interface="127.0.0.1").listen(Site(root))
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
