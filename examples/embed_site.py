"""
A Twisted Web site that you may have already, with a live page added to it.

    python examples/embed_site.py [PORT]

The site is a plain ``twisted.web.server.Site``; the lines between the two rules are all that is new. Publish with the
form, with ``curl -d hello http://127.0.0.1:8080/publish``, or in your own code with ``hub.publish("news", b"hello")``.
"""

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

PAGE = b"""<!doctype html>
<title>Embedded</title>
<form><input name="text" autocomplete="off"> <button>Publish</button></form>
<ul></ul>
<script>
  const form = document.querySelector("form");
  form.onsubmit = (event) => {
    event.preventDefault();
    fetch("/publish", {method: "POST", body: form.text.value});
    form.reset();
  };
  new EventSource("/events").onmessage = (event) => {
    const item = document.createElement("li");
    item.textContent = event.data;
    document.querySelector("ul").prepend(item);
  };
</script>
"""


def main(reactor: Any, port: str = "8080") -> Deferred[None]:
    root = Resource()
    root.putChild(b"", Data(b"<!doctype html><p>The site as it was. <a href=/live>What is new</a>", "text/html"))

    # ----------------------------------------------------------------------------------------------------------------
    from realtime_tw import Hub, PublishResource, SSEResource

    hub = Hub()  # or Hub.fromURL("redis://127.0.0.1:6379"), for several processes and other programs
    root.putChild(b"live", Data(PAGE, "text/html"))
    root.putChild(b"events", SSEResource(hub, "news"))
    root.putChild(b"publish", PublishResource(hub, "news"))
    # ----------------------------------------------------------------------------------------------------------------

    reactor.listenTCP(int(port), Site(root), interface="127.0.0.1")
    print(f"http://127.0.0.1:{port}/", flush=True)
    return Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
