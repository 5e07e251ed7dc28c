"""TLS: HTTP/2 with several streams on one connection, and HTTP/1.1, both with every action."""

import contextlib
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived
from httpx_sse import EventSource
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from realtime_tw import Hub, RealtimeSite, SSEResource
from realtime_tw.brokers.memory import MemoryBroker
from tests.conftest import program
from tests.integration.certificates import Certificate
from tests.integration.support import PATIENCE, Redis, Server, ServerFactory, Subscription, freePort, turns, until

RULES = (
    "^/events/(\\w+)$ sse:subscribe=$1",
    "^/beats$ sse:subscribe=news,heartbeat=1s",
    "^/stream$ stream:subscribe=news",
    "^/publish$ publish:channel=news,max_message=100k",
    "^/in$ istream:publish=news",
    "^/teapot$ return:418",
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"))


class Secure:
    """
    A server with a TLS port.

    :ivar url: where it is.
    """

    def __init__(self, twistd: ServerFactory, redis: Redis, certificate: Certificate) -> None:
        self.port = freePort()
        self.certificate = certificate
        self.url = f"https://127.0.0.1:{self.port}"
        self.server: Server = twistd.withRedis(redis, *RULES, arguments=["--listen", certificate.endpoint(self.port)])

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP/2 client that trusts the certificate."""
        options = {"http2": True, "verify": self.certificate.context(), "timeout": PATIENCE, **options}
        return httpx.Client(base_url=self.url, **options)

    @contextlib.contextmanager
    def connection(self, data: bytes) -> Iterator[ssl.SSLSocket]:
        """An HTTP/1.1 connection that has sent ``data``."""
        with (
            socket.create_connection(("127.0.0.1", self.port), PATIENCE) as plain,
            self.certificate.context("http/1.1").wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(data)
            yield secure


@pytest.fixture
def secure(twistd: ServerFactory, redis: Redis, certificate: Certificate) -> Secure:
    return Secure(twistd, redis, certificate)


def connections(client: httpx.Client) -> int:
    """How many connections a client has open."""
    transport: Any = client._transport
    return len(transport._pool.connections)


def subscribers(redis: Redis, channel: str) -> object:
    """How many connections Redis knows to listen to a channel."""
    answer = redis.command("PUBSUB", "NUMSUB", channel)
    assert isinstance(answer, list)
    return answer[1]


def test_severalEventStreamsShareOneConnection(secure: Secure, redis: Redis) -> None:
    with secure.client() as client, contextlib.ExitStack() as stack:
        responses = [stack.enter_context(client.stream("GET", f"/events/{name}")) for name in ("a", "b", "c")]
        sources = [EventSource(response).iter_sse() for response in responses]
        for response in responses:
            assert response.http_version == "HTTP/2"
            assert response.headers["Content-Type"] == "text/event-stream"
            # HTTP/2 has frames of its own, and forbids both of these.
            assert "Transfer-Encoding" not in response.headers
            assert "Connection" not in response.headers
        for number in range(20):
            redis.commands([("PUBLISH", channel, f"{channel} {number}\nline") for channel in ("a", "b", "c")])
            assert [next(source).data for source in sources] == [f"{name} {number}\nline" for name in ("a", "b", "c")]
        assert connections(client) == 1


def test_aLostConnectionEndsItsStreams(secure: Secure, redis: Redis) -> None:
    with secure.client() as client, client.stream("GET", "/events/a"), client.stream("GET", "/events/b"):
        assert subscribers(redis, "a") == subscribers(redis, "b") == 1
    until(lambda: subscribers(redis, "a") == subscribers(redis, "b") == 0, "both subscriptions to end")


def test_bytesArriveUnchangedAndInOrder(secure: Secure, redis: Redis) -> None:
    payloads = [bytes(range(256)), b"x" * 300_000, b"\r\n0\r\n\r\n", b"end"]
    with secure.client() as client, client.stream("GET", "/stream") as response:
        redis.commands([("PUBLISH", "news", payload) for payload in payloads])
        received = b""
        for data in response.iter_raw():
            received += data
            if received.endswith(b"end"):
                break
        assert received == b"".join(payloads)


def test_heartbeatsFillTheSilence(secure: Secure) -> None:
    with secure.client() as client, client.stream("GET", "/beats") as response:
        received = b""
        for data in response.iter_raw():
            received += data
            if received.count(b":\n\n") == 2:
                break
        assert received == b": ok\n\n:\n\n:\n\n"


def test_publishing(secure: Secure, redis: Redis) -> None:
    with Subscription(redis, "news") as subscription, secure.client() as client:
        for method in ("POST", "PUT"):
            for body in (bytes(range(256)), b"", b"x" * 100_000):
                answer = client.request(method, "/publish", content=body)
                assert answer.http_version == "HTTP/2"
                assert answer.json() == {"channel": "news", "receivers": 1}
                assert subscription.payload() == body
        assert connections(client) == 1


def test_errors(secure: Secure, redis: Redis) -> None:
    with secure.client() as client:
        assert client.get("/nothing").status_code == 404
        assert client.get("/teapot").status_code == 418
        refused = client.request("DELETE", "/events/a")
        assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
        assert client.post("/publish", content=b"x", headers={"Origin": "https://evil.example"}).status_code == 403
        assert client.head("/events/a").status_code == 200
        # After all of that the connection is still good.
        assert client.post("/publish", content=b"x").json() == {"channel": "news", "receivers": 0}
        assert connections(client) == 1


@pytest.mark.parametrize("sized", [True, False])
def test_aBodyOverTheLimitIsRefused(secure: Secure, redis: Redis, sized: bool) -> None:
    body = b"x" * 150_000
    with Subscription(redis, "news") as subscription, secure.client() as client:
        answer = client.post("/publish", content=body if sized else iter([body]))
        assert answer.status_code == 413
        assert client.post("/publish", content=b"small").status_code == 200
        assert subscription.payload() == b"small"


def test_aBodyIsPublishedWhileItArrives(secure: Secure, redis: Redis) -> None:
    with Subscription(redis, "news") as subscription, secure.client() as client:
        received = []

        def pieces() -> Iterator[bytes]:
            for piece in (b"one", bytes(range(256)), b"three"):
                yield piece
                # Published before the next piece is sent.
                received.append(subscription.payload())

        answer = client.post("/in", content=pieces())
        assert received == [b"one", bytes(range(256)), b"three"]
        assert answer.json() == {"channel": "news", "messages": 3, "bytes": 264}
        large = client.post("/in", content=b"y" * 500_000)
        assert large.json()["bytes"] == 500_000
        assert b"".join(subscription.payloads(500_000)) == b"y" * 500_000


def test_withoutItsBrokerThePublisherIsToldToTryAgain(secure: Secure, redis: Redis) -> None:
    redis.kill()
    secure.server.logged("next attempt in")
    with secure.client() as client:
        for path in ("/publish", "/in"):
            answer = client.post(path, content=b"x")
            assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


def test_aStoppingServerEndsItsStreamsInOrder(secure: Secure) -> None:
    with secure.client() as client, client.stream("GET", "/events/a") as response:
        parts = response.iter_raw()
        assert next(parts) == b": ok\n\n"
        secure.server.process.terminate()
        # A connection that was cut would raise RemoteProtocolError here.
        assert b"".join(parts).startswith(b"retry: ")
    secure.server.process.wait(PATIENCE)


def test_curlSpeaksHTTP2(secure: Secure, redis: Redis, certificate: Certificate) -> None:
    command = [program("curl"), "-sS", "--http2", "--max-time", str(PATIENCE), "--cacert", str(certificate.certificate)]
    with subprocess.Popen([*command, "-N", f"{secure.url}/stream"], stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        until(lambda: subscribers(redis, "news") == 1, "the subscription")
        posted = subprocess.run(
            [*command, "-w", "%{http_version}", "-d", "hello", f"{secure.url}/publish"], capture_output=True, check=True
        )
        body, _, version = posted.stdout.partition(b"\n")
        assert version == b"2"
        assert json.loads(body) == {"channel": "news", "receivers": 1}
        assert reader.stdout.read(5) == b"hello"
        reader.terminate()


def readUntil(connection: ssl.SSLSocket, received: bytes, wanted: bytes) -> bytes:
    """Read until ``wanted`` is there, and return everything."""
    for _ in turns(lambda: f"without {wanted!r}"):
        if wanted in received:
            break
        data = connection.recv(1 << 16)
        assert data, f"the connection ended without {wanted!r}: {received!r}"
        received += data
    return received


def test_http11OverTLSIsServedInChunks(secure: Secure, redis: Redis) -> None:
    with secure.connection(b"GET /events/a HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
        received = readUntil(connection, b"", b": ok\n\n")
        redis.publish("a", "hello")
        received = readUntil(connection, received, b"hello\n\n\r\n")
        secure.server.process.terminate()
        # The reader would raise where TLS was not ended in order.
        while data := connection.recv(1 << 16):
            received += data
    secure.server.process.wait(PATIENCE)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"\r\ntransfer-encoding: chunked" in head.lower()
    assert body.startswith(b"6\r\n: ok\n\n\r\nd\r\ndata: hello\n\n\r\n")
    assert body.endswith(b"\r\n0\r\n\r\n")


def test_http11OverTLSPublishesAndIsForgottenWhenItCloses(secure: Secure, redis: Redis) -> None:
    with (
        Subscription(redis, "news") as subscription,
        secure.connection(b"POST /in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n") as connection,
    ):
        connection.sendall(b"3\r\none\r\n")
        assert subscription.payload() == b"one"
        connection.sendall(b"0\r\n\r\n")
        readUntil(connection, b"", b'"messages": 1')
    with secure.connection(b"GET /events/a HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        readUntil(connection, b"", b": ok\n\n")
        assert subscribers(redis, "a") == 1
    until(lambda: subscribers(redis, "a") == 0, "the subscription to end")


def test_theFilesOwnTLSListenerIsServed(twistd: ServerFactory, certificate: Certificate) -> None:
    port = freePort()
    twistd.start(
        f"[uwsgi]\nbroker = memory:\nhttps-socket = 127.0.0.1:{port},{certificate.certificate},{certificate.key}\n"
        "route = ^/hello$ send:hello\n"
    )
    answer = httpx.get(f"https://127.0.0.1:{port}/hello", verify=certificate.context())
    assert (answer.status_code, answer.content) == (200, b"hello")


# What would take minutes, on a clock of the test's own


class SecureTransport(StringTransport):
    """A transport in memory on which TLS has agreed on HTTP/2."""

    negotiatedProtocol = b"h2"


class Peer:
    """An HTTP/2 client and a site in one process."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.hub = Hub(MemoryBroker(self.clock), self.clock)
        root = Resource()
        root.putChild(b"events", SSEResource(self.hub, "news", heartbeat=0, buffer=1 << 24))
        site = RealtimeSite(root, reactor=self.clock)
        self.transport = SecureTransport()
        self._server: Any = site.buildProtocol(None)
        self._server.makeConnection(self.transport)
        self._client: Any = H2Connection(H2Configuration(client_side=True))
        self._client.initiate_connection()
        self.received = b""
        self._acknowledged = 0
        self.exchange()

    def get(self, stream: int) -> None:
        """Open an event stream."""
        headers = [(":method", "GET"), (":path", "/events"), (":scheme", "https"), (":authority", "x")]
        self._client.send_headers(stream, headers, end_stream=True)
        assert any(isinstance(event, ResponseReceived) for event in self.exchange())

    def reset(self, stream: int) -> None:
        """Have enough of a stream, as a browser does that closes its EventSource."""
        self._client.reset_stream(stream)
        self.exchange()

    def exchange(self) -> list[object]:
        """Carry bytes both ways; returns what the client makes of them."""
        self._server.dataReceived(self._client.data_to_send())
        for _ in range(20):
            self.clock.advance(0)
        data = self.transport.value()
        self.transport.clear()
        events = [*self._client.receive_data(data)]
        self.received += b"".join(event.data for event in events if isinstance(event, DataReceived))
        return events

    def read(self) -> None:
        """Let the server send more, for as long as it has more to send on the first stream."""
        while len(self.received) > self._acknowledged:
            size, self._acknowledged = len(self.received) - self._acknowledged, len(self.received)
            self._client.increment_flow_control_window(size)
            self._client.increment_flow_control_window(size, 1)
            self.exchange()

    def wait(self) -> None:
        """Two hours of silence."""
        for _ in range(120):
            self.clock.advance(60)

    @property
    def isClosed(self) -> bool:
        return bool(self.transport.disconnecting or self.transport.disconnected)

    def loseConnection(self) -> None:
        self._server.connectionLost(Failure(ConnectionLost()))


def test_anIdleConnectionWithoutStreamsIsClosed() -> None:
    peer = Peer()
    peer.wait()
    assert peer.isClosed


def test_aSilentStreamOutlivesTheIdleTimeout() -> None:
    peer = Peer()
    peer.get(1)
    peer.wait()
    assert not peer.isClosed
    peer.hub.publish("news", b"at last")
    peer.exchange()
    assert peer.received == b": ok\n\ndata: at last\n\n"


def test_theIdleTimeoutIsBackWhenTheLastStreamHasEnded() -> None:
    peer = Peer()
    peer.get(1)
    peer.get(3)
    peer.reset(1)
    assert peer.hub.stats()["subscribers"] == 1
    peer.wait()
    assert not peer.isClosed
    peer.reset(3)
    assert peer.hub.stats()["subscribers"] == 0
    peer.wait()
    assert peer.isClosed


def test_aPeerThatReadsNothingCostsNothingAndGoesOnWhenItReads() -> None:
    peer = Peer()
    peer.get(1)
    timers = len(peer.clock.getDelayedCalls())
    peer.hub.publish("news", b"x" * 500_000)
    peer.exchange()
    assert len(peer.received) == 65_535
    # Twisted's own connection would ask the reactor for another turn, for ever.
    assert len(peer.clock.getDelayedCalls()) == timers == 0
    peer.read()
    peer.hub.publish("news", b"end")
    peer.exchange()
    peer.read()
    assert peer.received == b": ok\n\ndata: " + b"x" * 500_000 + b"\n\ndata: end\n\n"


def test_aLostConnectionLeavesNoTimerBehind() -> None:
    peer = Peer()
    peer.get(1)
    peer.get(3)
    peer.loseConnection()
    assert peer.hub.stats()["subscribers"] == 0
    assert peer.clock.getDelayedCalls() == []


def test_theCertificateIsTrustedByNobodyElse(secure: Secure, tmp_path: Path) -> None:
    other = Certificate(tmp_path)
    with pytest.raises(httpx.ConnectError), httpx.Client(verify=other.context()) as client:
        client.get(secure.url)
