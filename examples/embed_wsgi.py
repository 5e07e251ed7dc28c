"""
A WSGI application (Django, Flask, your own) with realtime endpoints next to it, in one process and on one port.

    python examples/embed_wsgi.py [PORT]

The application runs in the reactor's threads, as ``WSGIResource`` does it, and never holds a live connection: browsers
get their events from ``/events``, and the application publishes to them with one call.
"""

import sys
from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.threads import blockingCallFromThread
from twisted.web.resource import IResource, Resource
from twisted.web.wsgi import WSGIResource

from realtime_tw import Hub, RealtimeSite, SSEResource

FORM = """<!doctype html>
<title>WSGI</title>
<form method="post"><input name="text" autocomplete="off"> <button>Send</button></form>
<p>{note}</p>
<ul></ul>
<script>
  new EventSource("/events").onmessage = (event) => {{
    const item = document.createElement("li");
    item.textContent = event.data;
    document.querySelector("ul").prepend(item);
  }};
</script>
"""


class Application:
    """The WSGI application: an ordinary one, except that it knows the hub."""

    def __init__(self, hub: Hub, reactor: Any) -> None:
        self._hub = hub
        self._reactor = reactor

    def __call__(self, environ: dict[str, Any], startResponse: Any) -> Iterable[bytes]:
        note = "Nothing sent yet."
        if environ["REQUEST_METHOD"] == "POST":
            fields = parse_qs(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0)).decode())
            text = fields.get("text", [""])[0]
            # WSGI runs in a thread, the hub in the reactor's.
            publish: Any = self._hub.publish
            receivers = blockingCallFromThread(self._reactor, publish, "news", text.encode())
            note = f"“{escape(text)}” went to {receivers} receiver(s)."
        body = FORM.format(note=note).encode()
        startResponse("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
        return [body]


class Root(Resource):
    """The realtime endpoints by name; everything else is the application's."""

    def __init__(self, application: IResource) -> None:
        super().__init__()
        self._application = application

    def getChild(self, path: bytes, request: Any) -> IResource:
        # Give the segment back: it is part of the application's PATH_INFO.
        request.postpath.insert(0, request.prepath.pop())
        return self._application


def main(reactor: Any, port: str = "8080") -> Deferred[None]:
    hub = Hub()
    application = Application(hub, reactor)
    root = Root(WSGIResource(reactor, reactor.getThreadPool(), application))
    root.putChild(b"events", SSEResource(hub, "news"))
    reactor.listenTCP(int(port), RealtimeSite(root), interface="127.0.0.1")
    print(f"http://127.0.0.1:{port}/", flush=True)
    return Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
