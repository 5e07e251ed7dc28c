"""
The resources inside Twisted Web sites that know nothing of them: the examples, and sites made to be difficult.

Each site is a real process; the difficult ones are the functions below, which this module runs when it is started as a
program.
"""

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.resource import EncodingResourceWrapper, IResource, Resource
from twisted.web.server import GzipEncoderFactory, Request, Site

from realtime_tw import (
    Hub,
    IStreamResource,
    PublishResource,
    RealtimeSite,
    SSEResource,
    StreamingRequest,
    StreamResource,
)
from tests.integration.support import PATIENCE, Server, freePort, until

ROOT = Path(__file__).parent.parent.parent


# The sites


def tree(hub: Hub) -> Resource:
    """Every resource, and ordinary ones beside them."""
    root = Resource()
    root.putChild(b"events", SSEResource(hub, "news"))
    root.putChild(b"stream", StreamResource(hub, ["news", b"other"], suffix=b"|"))
    root.putChild(b"publish", PublishResource(hub, "news"))
    root.putChild(b"in", IStreamResource(hub, "news"))
    root.putChild(b"watched", Watched(SSEResource(hub, "news"), hub))
    root.putChild(b"form", Form())
    root.putChild(b"text", EncodingResourceWrapper(Text(), [GzipEncoderFactory()]))
    root.putChild(b"gzipped", EncodingResourceWrapper(SSEResource(hub, "news"), [GzipEncoderFactory()]))
    root.putChild(b"stats", Stats(hub))
    return root


class Watched(Resource):
    """A wrapper that wants to know when a request is over, as those that keep statistics do."""

    isLeaf = True

    def __init__(self, wrapped: IResource, hub: Hub) -> None:
        super().__init__()
        self._wrapped = wrapped
        self._hub = hub

    def render(self, request: Request) -> Any:
        def ended(result: object) -> None:
            self._hub.publish("other", b"finished" if result is None else b"lost")

        request.notifyFinish().addBoth(ended)
        return self._wrapped.render(request)


class Form(Resource):
    """What every form handler does."""

    isLeaf = True

    def render_POST(self, request: Request) -> bytes:
        found = {name.decode(): [value.decode() for value in values] for name, values in request.args.items()}
        return json.dumps(found).encode()


class Text(Resource):
    """Something worth compressing."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        return b"text " * 1000


class Stats(Resource):
    """How many subscribers there are."""

    isLeaf = True

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub

    def render_GET(self, request: Request) -> bytes:
        return b"%d" % self._hub.stats()["subscribers"]


def stock(hub: Hub) -> Site:
    """A site that has never heard of us."""
    return Site(tree(hub))


def streaming(hub: Hub) -> Site:
    """The same, with requests that stream."""
    return Site(tree(hub), requestFactory=StreamingRequest)


def realtime(hub: Hub) -> Site:
    """Ours."""
    return RealtimeSite(tree(hub))


def guarded(hub: Hub) -> Site:
    """Behind twisted.web.guard."""
    from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
    from twisted.cred.portal import IRealm, Portal
    from zope.interface import implementer

    @implementer(IRealm)
    class Realm:
        def requestAvatar(self, avatarId: object, mind: object, *interfaces: object) -> Any:
            return IResource, tree(hub), lambda: None

    portal = Portal(Realm(), [InMemoryUsernamePasswordDatabaseDontUse(joe=b"secret")])
    return RealtimeSite(HTTPAuthSessionWrapper(portal, [BasicCredentialFactory(b"realm")]))


def main(reactor: Any, name: str, port: str) -> Deferred[None]:
    site = globals()[name](Hub())
    serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1").listen(site)
    return Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])


# Running them


class Program(Server):
    """A Python program that serves HTTP on the port that it is given."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.port = freePort()
        self.log = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *arguments, str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        self.waitUntilListening()


Start = Callable[..., Program]


@pytest.fixture
def program(logs: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts programs, ends them with SIGTERM, and sees that this is all it takes."""
    programs: list[Program] = []

    def start(*arguments: str) -> Program:
        started = Program([*arguments], logs / f"{tmp_path.name}-{len(programs)}.log")
        programs.append(started)
        return started

    yield start
    for started in programs:
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(PATIENCE) == 0


@pytest.fixture(params=["stock", "streaming", "realtime"])
def site(request: pytest.FixtureRequest, program: Start) -> Server:
    return program(__file__, request.param)


# The examples


def test_aPlainSiteGainsALivePage(program: Start) -> None:
    server = program("examples/embed_site.py")
    assert b"The site as it was" in server.get("/").body
    page = server.get("/live")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html")
    with server.stream("/events") as one, server.stream("/events") as two:
        one.readUntil(b": ok\n\n")
        two.readUntil(b": ok\n\n")
        published = server.request("POST", "/publish", b"hello\nworld", {"Origin": f"http://127.0.0.1:{server.port}"})
        assert json.loads(published.body) == {"channel": "news", "receivers": 1}
        assert one.readUntil(b"world\n\n") == two.readUntil(b"world\n\n") == b": ok\n\ndata: hello\ndata: world\n\n"
    assert server.get("/nothing").status == 404


def test_aWSGIApplicationServesNextToTheEvents(program: Start) -> None:
    server = program("examples/embed_wsgi.py")
    assert b"Nothing sent yet." in server.get("/").body
    assert b"Nothing sent yet." in server.get("/any/path?x=1").body
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with server.stream("/events") as stream:
        stream.readUntil(b": ok\n\n")
        answer = server.request("POST", "/a/b", b"text=%3Ch1%3E+hi", form)
        assert "“&lt;h1&gt; hi” went to 1 receiver(s).".encode() in answer.body
        assert stream.readUntil(b"hi\n\n") == b": ok\n\ndata: <h1> hi\n\n"
        # The application answers while the stream is open.
        assert server.get("/").status == 200


# Every resource in every site


def test_everyResourceWorksInEverySite(site: Server) -> None:
    with site.stream("/events") as events, site.stream("/stream") as stream:
        events.readUntil(b": ok\n\n")
        until(lambda: site.get("/stats").body == b"2", "both subscribers")
        assert json.loads(site.request("POST", "/publish", b"one").body)["receivers"] == 1
        answer = site.request("POST", "/in", b"two")
        assert json.loads(answer.body) == {"channel": "news", "messages": 1, "bytes": 3}
        assert events.readUntil(b"two\n\n") == b": ok\n\ndata: one\n\ndata: two\n\n"
        assert stream.readUntil(b"two|") == b"one|two|"
    until(lambda: site.get("/stats").body == b"0", "both subscribers to be gone")
    assert site.request("PUT", "/events", b"x").headers["Allow"] == "GET, HEAD, OPTIONS"


def test_aWrapperThatWaitsForTheEndIsTold(site: Server) -> None:
    with site.stream("/stream") as stream:
        until(lambda: site.get("/stats").body == b"1", "the stream")
        with site.stream("/watched") as watched:
            assert watched.response.getheader("Content-Type") == "text/event-stream"
            watched.readUntil(b": ok\n\n")
            site.request("POST", "/publish", b"seen")
            watched.readUntil(b"data: seen\n\n")
            assert site.get("/stats").body == b"2"
        assert stream.readUntil(b"lost|") == b"seen|lost|"
    until(lambda: site.get("/stats").body == b"0", "both subscribers to be gone")
    # HEAD ends in order.
    with site.stream("/stream") as stream:
        until(lambda: site.get("/stats").body == b"1", "the stream")
        assert site.request("HEAD", "/watched").status == 200
        stream.readUntil(b"finished|")


def test_oneConnectionMayAskForOtherThingsFirst(site: Server) -> None:
    get = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
    with site.client(get % b"/text" + get % b"/stats" + get % b"/events") as client:
        client.readUntil(b": ok\n\n")
        assert client.received.count(b"HTTP/1.1 200 OK\r\n") == 3
        site.request("POST", "/publish", b"after all of that")
        client.readUntil(b"data: after all of that\n\n")


@pytest.mark.parametrize("name", ["streaming", "realtime"])
def test_chunksArePublishedWhileTheBodyGoesOn(program: Start, name: str) -> None:
    server = program(__file__, name)
    with server.stream("/stream") as stream, server.client() as client:
        until(lambda: server.get("/stats").body == b"1", "the stream")
        client.send(b"POST /in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        stream.readUntil(b"one|")
        client.send(b"3\r\ntwo\r\n5\r\nth")
        stream.readUntil(b"two|")
        client.send(b"ree\r\n0\r\n\r\n")
        assert stream.readUntil(b"three|") == b"one|two|three|"
        client.readUntil(b'"messages": 3')


def test_aStockSitePublishesABodyWhenItIsComplete(program: Start) -> None:
    server = program(__file__, "stock")
    with server.stream("/stream") as stream:
        until(lambda: server.get("/stats").body == b"1", "the stream")
        pieces = iter([b"one", b"two"])
        answer = server.request("POST", "/in", pieces, {"Transfer-Encoding": "chunked"}, chunked=True)
        assert json.loads(answer.body) == {"channel": "news", "messages": 1, "bytes": 6}
        assert stream.readUntil(b"two|") == b"onetwo|"


# Ordinary resources in our site


def test_formsAreStillParsed(site: Server) -> None:
    body, kind = b"a=1&b=%20x+y&a=2", "application/x-www-form-urlencoded"
    answer = site.request("POST", "/form?q=z", body, {"Content-Type": kind})
    assert json.loads(answer.body) == {"q": ["z"], "a": ["1", "2"], "b": [" x y"]}
    multipart = b'--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--B--\r\n'
    answer = site.request("POST", "/form", multipart, {"Content-Type": "multipart/form-data; boundary=B"})
    assert json.loads(answer.body) == {"file": ["content"]}
    chunked = {"Content-Type": kind, "Transfer-Encoding": "chunked"}
    answer = site.request("POST", "/form", iter([b"a=", b"1"]), chunked, chunked=True)
    assert json.loads(answer.body) == {"a": ["1"]}


def test_responsesAreStillCompressed(site: Server) -> None:
    answer = site.get("/text", {"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.body) == b"text " * 1000
    plain = site.get("/text")
    assert "Content-Encoding" not in plain.headers
    assert plain.body == b"text " * 1000


def test_aStreamIsNotHeldBackByACompressorAroundIt(site: Server) -> None:
    with site.stream("/gzipped", headers={"Accept-Encoding": "gzip"}) as stream:
        assert stream.response.getheader("Content-Encoding") is None
        stream.readUntil(b": ok\n\n")
        site.request("POST", "/publish", b"hello")
        assert stream.readUntil(b"hello\n\n") == b": ok\n\ndata: hello\n\n"


def test_aGuardedSiteLetsInWhoeverMayCome(program: Start) -> None:
    server = program(__file__, "guarded")
    refused = server.get("/events")
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"].lower().startswith("basic")
    credentials = {"Authorization": "Basic am9lOnNlY3JldA=="}
    with server.stream("/events", headers=credentials) as stream:
        stream.readUntil(b": ok\n\n")
        assert server.request("POST", "/publish", b"hello", credentials).status == 200
        stream.readUntil(b"data: hello\n\n")
    with server.client() as client:
        client.send(b"POST /in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n")
        client.send(b"Authorization: Basic am9lOnNlY3JldA==\r\n\r\n3\r\none\r\n0\r\n\r\n")
        client.readUntil(b'"bytes": 3')
