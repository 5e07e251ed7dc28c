"""RTSP through HTTP without a network: the two halves, what opens no tunnel, holding up, and every way to end."""

from base64 import b64encode
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.rtsp.messages import encodeInterleaved, encodeRequest
from realtime_tw.rtsp.server import TIMEOUT, Announcement, Publication, RTSPFactory
from realtime_tw.rtsp.tunnel import MAX_COOKIE, MEDIA_TYPE, RTSPTunnelResource, TunnelledConnection
from realtime_tw.web import upgrade
from realtime_tw.web.connections import Connections
from realtime_tw.web.request import LINGER_SECONDS
from tests.doubles import PausableTransport, WebClient
from tests.rtsp.test_server import SDP, TCP, Output, rtp

URL = "rtsp://127.0.0.1/cam"


class TunnelTransport(PausableTransport):
    """As TCP, it does not mind when there is no producer to be unregistered."""

    def unregisterProducer(self) -> None:
        self.producer = None
        self.streaming = None


def head(method: str = "GET", cookie: str | None = "c1", **headers: str) -> bytes:
    given = {"x-sessioncookie": cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"{method} /cam HTTP/1.0", "Host: x"]
    lines += [f"{name}: {value}" for name, value in given.items() if value is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


GET = head(Accept=MEDIA_TYPE.decode())
#: As QuickTime, ffmpeg and GStreamer send it.
POST = head("POST", Content_Type=MEDIA_TYPE.decode(), Content_Length="32767")


def request(method: str, body: bytes = b"", url: str = URL, **headers: str) -> bytes:
    named = {"CSeq": "1", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return encodeRequest(method, url, named, body)


def encoded(*messages: bytes) -> bytes:
    """Each in base64 by itself."""
    return b"".join(map(b64encode, messages))


class TunnelCase(SynchronousTestCase):
    def setUp(self) -> None:
        # Only exact TCP transports are taken away from HTTP; a test's stand-in is made one.
        self.patch(upgrade, "isDirect", lambda transport: True)
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.output = Output()
        self.tunnels: dict[bytes, TunnelledConnection] = {}
        factory = RTSPFactory(self.route, self.clock)
        self.connections = Connections()
        self.web = WebClient(RTSPTunnelResource(factory, self.tunnels), self.connections)

    def route(self, announcement: Announcement) -> Publication:
        self.announcement = announcement
        return Publication(self.output)

    def tearDown(self) -> None:
        """Whatever happened: nothing is left once every connection is gone."""
        for lease in tuple(self.connections._leases):
            owner: Any = lease.owner
            owner.abort()
        self.assertEqual(self.tunnels, {})
        self.assertEqual(len(self.connections), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.web.clock.getDelayedCalls(), [])

    def connect(self, data: bytes) -> Any:
        """A client's connection, on which this is the first it says."""
        address = IPv4Address("TCP", "192.0.2.1", 50000)
        transport = TunnelTransport(peerAddress=address, hostAddress=IPv4Address("TCP", "127.0.0.1", 80))
        transport.protocol = self.web.factory.buildProtocol(address)
        transport.protocol.makeConnection(transport)

        def abort() -> None:
            if transport.connected:
                self.web.lose(transport)

        transport.abortConnection = abort  # type: ignore[method-assign]
        self.web.send(data, transport)
        return transport

    def open(self, get: bytes = GET, post: bytes = POST) -> tuple[Any, Any]:
        """Both connections of a tunnel."""
        outward = self.connect(get)
        self.assertTrue(outward.value().startswith(b"HTTP/1.0 200 OK\r\nContent-Type: " + MEDIA_TYPE), outward.value())
        outward.clear()
        inward = self.connect(post)
        self.assertEqual(inward.value(), b"")
        return outward, inward

    def ask(self, outward: Any, inward: Any, message: bytes) -> bytes:
        self.web.send(encoded(message), inward)
        said: bytes = outward.value()
        outward.clear()
        return said

    def record(self) -> tuple[Any, Any]:
        outward, inward = self.open()
        messages = [
            request("ANNOUNCE", SDP, Content_Type="application/sdp"),
            request("SETUP", url=f"{URL}/streamid=0", Transport=TCP),
            request("RECORD"),
        ]
        self.assertEqual(self.ask(outward, inward, b"".join(messages)).count(b"RTSP/1.0 200 OK"), 3)
        return outward, inward

    def refused(self, data: bytes, status: int) -> bytes:
        transport = self.connect(data)
        said: bytes = transport.value()
        self.assertIn(f" {status} ".encode(), said.partition(b"\r\n")[0])
        self.web.lose(transport)
        return said


class TalkTests(TunnelCase):
    def test_request(self) -> None:
        outward, inward = self.open()
        self.assertIn(b"Public: OPTIONS", self.ask(outward, inward, request("OPTIONS")))
        self.assertEqual(inward.value(), b"")

    def test_headsOfTheAnswer(self) -> None:
        transport = self.connect(GET)
        said = transport.value()
        # No length: it lasts as long as the connection.
        self.assertNotIn(b"Content-Length", said)
        self.assertIn(b"Cache-Control: no-store\r\n", said)
        self.assertTrue(said.endswith(b"\r\n\r\n"))

    def test_publishing(self) -> None:
        _, inward = self.record()
        self.assertEqual(self.announcement.path, "/cam")
        self.assertEqual(self.announcement.peer.host, "192.0.2.1")
        packet = rtp(1, 5, b"\x10\x10\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00")
        self.web.send(encoded(encodeInterleaved(0, packet)), inward)
        self.assertEqual(len(self.output.received), 1)

    def test_paddingInTheMiddleAndAnyPieces(self) -> None:
        messages = [request("OPTIONS", url=URL + "x" * number) for number in range(5)]
        text = encoded(*messages)
        self.assertIn(b"=", text.rstrip(b"="))
        for size in (1, 2, 3, 5, 64):
            outward, inward = self.open()
            for at in range(0, len(text), size):
                self.web.send(text[at : at + size], inward)
            self.assertEqual(outward.value().count(b"RTSP/1.0 200 OK"), 5, size)
            self.web.lose(outward)

    def test_wordsRightBehindTheHead(self) -> None:
        outward, _ = self.open(post=POST + encoded(request("OPTIONS")))
        self.assertIn(b"RTSP/1.0 200 OK", outward.value())

    def test_longerThanItsLength(self) -> None:
        for length in ("1", "20", "32767"):
            outward, inward = self.open(post=head("POST", Content_Length=length))
            for _ in range(500):
                self.assertIn(b"RTSP/1.0 200 OK", self.ask(outward, inward, request("OPTIONS")), length)
            self.web.lose(outward)

    def test_inChunks(self) -> None:
        post = head("POST", Transfer_Encoding="chunked").replace(b"HTTP/1.0", b"HTTP/1.1")
        outward, inward = self.open(post=post)
        text = encoded(request("OPTIONS"))
        self.web.send(b"3\r\n" + text[:3] + b"\r\n%x\r\n" % (len(text) - 3) + text[3:] + b"\r\n", inward)
        self.assertIn(b"RTSP/1.0 200 OK", outward.value())

    def test_whatIsSaidOnTheGetIsIgnored(self) -> None:
        outward, inward = self.open()
        self.web.send(request("ANNOUNCE", SDP, Content_Type="application/sdp"), outward)
        self.assertEqual(outward.value(), b"")
        self.assertIn(b" 200 OK", self.ask(outward, inward, request("OPTIONS")))

    def test_severalTunnels(self) -> None:
        pairs = []
        for name in ("a", "b", "c"):
            pairs.append(self.open(GET.replace(b"c1", name.encode()), POST.replace(b"c1", name.encode())))
        self.assertEqual(sorted(self.tunnels), [b"a", b"b", b"c"])
        for number, (_, inward) in enumerate(pairs):
            self.web.send(encoded(request("OPTIONS", CSeq=str(number))), inward)
        for number, (outward, _) in enumerate(pairs):
            self.assertIn(b"CSeq: %d\r\n" % number, outward.value())

    def test_reports(self) -> None:
        outward, inward = self.record()
        self.web.send(encoded(encodeInterleaved(0, rtp(1, 5, b"\x10\x11\0\0abc"))), inward)
        self.clock.pump([1] * 10)
        self.assertTrue(outward.value().startswith(b"$\1"))


class RefusalTests(TunnelCase):
    def test_postWithoutATunnel(self) -> None:
        self.assertIn(b"no such tunnel", self.refused(POST, 404))
        self.refused(head("POST", None, Content_Length="32767"), 404)
        self.web.clock.advance(LINGER_SECONDS)

    def test_postWithoutABody(self) -> None:
        self.connect(GET)
        for cookie in ("c1", "c2"):
            self.refused(head("POST", cookie, Content_Length="0", Accept=MEDIA_TYPE.decode()), 400)
        self.assertEqual(list(self.tunnels), [b"c1"])

    def test_getWithoutAccept(self) -> None:
        self.refused(head(), 400)
        self.refused(head(Accept="text/html"), 400)
        self.assertEqual(self.tunnels, {})

    def test_accept(self) -> None:
        self.open(head(Accept="Application/X-RTSP-Tunnelled, */*;q=0.1"))

    def test_cookies(self) -> None:
        accept = MEDIA_TYPE.decode()
        self.refused(head(cookie=None, Accept=accept), 400)
        self.refused(head(cookie="", Accept=accept), 400)
        self.refused(head(cookie="x" * (MAX_COOKIE + 1), Accept=accept), 400)
        self.connect(head(cookie="x" * MAX_COOKIE, Accept=accept))
        self.assertEqual(list(self.tunnels), [b"x" * MAX_COOKIE])

    def test_otherMethods(self) -> None:
        for method in ("PUT", "DELETE", "OPTIONS", "HEAD"):
            self.assertIn(b"Allow: GET, POST\r\n", self.refused(head(method), 405))

    def test_aCookieThatIsTaken(self) -> None:
        outward, inward = self.open()
        self.refused(GET, 400)
        self.assertIn(b" 200 OK", self.ask(outward, inward, request("OPTIONS")))
        self.web.lose(outward)
        self.open()

    def test_whatIsNotBase64(self) -> None:
        outward, inward = self.record()
        self.web.send(b"!!!!", inward)
        self.assertFalse(outward.connected)
        self.assertEqual(self.output.events[-1], "closed")

    def test_whatIsNotRTSP(self) -> None:
        outward, inward = self.record()
        self.assertIn(b"RTSP/1.0 400 ", self.ask(outward, inward, b"nonsense\r\n\r\n"))
        self.assertTrue(outward.disconnecting)
        self.assertEqual(self.output.events[-1], "closed")
        self.web.send(encoded(request("OPTIONS")), inward)
        self.assertEqual(outward.value(), b"")


class PauseTests(TunnelCase):
    def test_thePostIsHeldUp(self) -> None:
        outward, inward = self.record()
        self.output.publisher.pause()
        self.assertEqual((inward.producerState, outward.producerState), ("paused", "producing"))
        self.clock.pump([1] * (int(TIMEOUT) + 10))
        self.web.clock.advance(1000)
        self.assertTrue(outward.connected)
        self.output.publisher.resume()
        self.assertEqual(inward.producerState, "producing")
        # What it has said meanwhile is only read now.
        self.clock.pump([1] * (int(TIMEOUT) - 10))
        self.assertFalse(outward.disconnecting)
        self.assertIn(b" 200 OK", self.ask(outward, inward, request("GET_PARAMETER")))

    def test_withoutAPost(self) -> None:
        _, inward = self.record()
        self.web.lose(inward)
        self.output.publisher.pause()
        self.output.publisher.resume()

    def test_afterThePostHasEnded(self) -> None:
        post = head("POST", Transfer_Encoding="chunked").replace(b"HTTP/1.0", b"HTTP/1.1")
        outward, inward = self.open(post=post)
        text = encoded(request("ANNOUNCE", SDP, Content_Type="application/sdp"))
        self.web.send(b"%x\r\n" % len(text) + text + b"\r\n0\r\n\r\n", inward)
        self.assertIn(b" 200 OK", outward.value())
        self.output.publisher.pause()
        self.output.publisher.resume()

    def test_aNewPostIsHeldUpAsWell(self) -> None:
        _, inward = self.record()
        self.output.publisher.pause()
        self.web.lose(inward)
        another = self.connect(POST)
        self.assertEqual(another.producerState, "paused")
        self.output.publisher.resume()
        self.assertEqual(another.producerState, "producing")


class EndTests(TunnelCase):
    def test_theGetIsLost(self) -> None:
        outward, inward = self.record()
        self.web.lose(outward)
        self.assertEqual(self.output.events[-1], "closed")
        self.assertEqual(self.tunnels, {})
        # The POST is answered, and its connection is not kept.
        self.assertTrue(inward.value().startswith(b"HTTP/1.0 200 "), inward.value())
        self.assertTrue(inward.disconnecting)
        self.web.send(encoded(request("OPTIONS")), inward)
        self.web.clock.advance(LINGER_SECONDS)

    def test_thePostIsLost(self) -> None:
        outward, inward = self.record()
        self.web.lose(inward)
        # The client may open another; if it does not, the silence ends it.
        self.assertEqual(list(self.tunnels), [b"c1"])
        another = self.connect(POST)
        self.assertIn(b" 200 OK", self.ask(outward, another, request("GET_PARAMETER")))
        self.web.lose(another)
        self.clock.pump([1] * (int(TIMEOUT) + 2))
        self.assertTrue(outward.disconnecting)
        self.assertEqual(self.output.events[-1], "closed")

    def test_aSecondPostTakesThePlaceOfTheFirst(self) -> None:
        outward, inward = self.record()
        another = self.connect(POST)
        self.assertTrue(inward.value().startswith(b"HTTP/1.0 200 "))
        self.web.send(encoded(request("GET_PARAMETER", CSeq="77")), inward)
        self.assertEqual(outward.value(), b"")
        self.assertIn(b"CSeq: 78\r\n", self.ask(outward, another, request("GET_PARAMETER", CSeq="78")))
        self.web.lose(inward)
        self.assertIn(b"CSeq: 79\r\n", self.ask(outward, another, request("GET_PARAMETER", CSeq="79")))
        self.output.publisher.pause()
        self.assertEqual(another.producerState, "paused")
        self.output.publisher.resume()

    def test_aBodyThatEndsLeavesTheTunnel(self) -> None:
        post = head("POST", Transfer_Encoding="chunked").replace(b"HTTP/1.0", b"HTTP/1.1")
        outward, inward = self.open(post=post)
        text = encoded(request("OPTIONS"))
        self.web.send(b"%x\r\n" % len(text) + text + b"\r\n0\r\n\r\n", inward)
        self.assertIn(b" 200 OK", outward.value())
        outward.clear()
        self.assertIn(b" 200 ", inward.value())
        another = self.connect(POST)
        self.assertIn(b" 200 OK", self.ask(outward, another, request("OPTIONS")))

    def test_theServerStops(self) -> None:
        outward, inward = self.record()
        done = self.connections.drain()
        self.assertNoResult(done)
        # RTCP BYE on the channel of the reports, and then the end.
        self.assertTrue(outward.value().startswith(b"$\1"))
        self.assertTrue(outward.disconnecting)
        self.assertTrue(inward.value().startswith(b"HTTP/1.0 200 "))
        self.web.lose(outward)
        self.web.clock.advance(LINGER_SECONDS)
        self.web.lose(inward)
        self.successResultOf(done)

    def test_theServerCannotWait(self) -> None:
        self.record()
        self.assertEqual(self.connections.abort(), 2)
        self.assertEqual(len(self.connections), 0)
        self.assertEqual(self.output.events[-1], "closed")

    def test_aClientThatDoesNotReadItsLastWords(self) -> None:
        outward, inward = self.record()
        self.ask(outward, inward, b"nonsense\r\n\r\n")
        self.assertTrue(outward.connected)
        self.clock.advance(5)
        self.assertFalse(outward.connected)
