"""The port and the site, byte by byte: first lines, deadlines, early answers, bodies in pieces."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from zope.interface import implementer
from zope.interface.verify import verifyObject

from realtime_tw.brokers.memory import MemoryBroker
from realtime_tw.hub import Hub
from realtime_tw.interfaces import IBodyReceiver, IStreamingResource
from realtime_tw.web.backlog import MESSAGE_COST, PAUSE_AT
from realtime_tw.web.connections import Connections
from realtime_tw.web.istream import IStreamReceiver, IStreamResource
from realtime_tw.web.publish import PublishResource
from realtime_tw.web.request import LINGER_BYTES, LINGER_SECONDS
from realtime_tw.web.site import HEADER_TIMEOUT, IDLE_TIMEOUT
from realtime_tw.web.subscribe import SSEResource, StreamResource
from tests.doubles import PausableTransport, Recorder, WebClient, tree


class Echo(Resource):
    """An ordinary resource that wants its body whole."""

    isLeaf = True

    def render(self, request: Any) -> bytes:
        return b"%b %b %b" % (request.method, request.args.get(b"q", [b"-"])[0], request.content.read())


@implementer(IStreamingResource)
class Collector(Resource):
    """Takes bodies as they come."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.events: list[object] = []
        self.request: Any = None

    def openBody(self, request: Any) -> IBodyReceiver:
        self.request = request
        return CollectingReceiver(self, request)

    def render(self, request: Any) -> bytes:
        return b"no body"


@implementer(IBodyReceiver)
class CollectingReceiver:
    def __init__(self, owner: Collector, request: Any) -> None:
        self._owner = owner
        self._request = request

    def dataReceived(self, data: bytes) -> None:
        self._owner.events.append(data)

    def chunkEnded(self) -> None:
        self._owner.events.append("chunk")

    def bodyEnded(self) -> None:
        self._owner.events.append("end")
        self._request.setHeader(b"Content-Length", b"2")
        self._request.write(b"ok")
        self._request.finish()

    def serverStopping(self) -> None:
        self._owner.events.append("stopping")

    def connectionLost(self, reason: Failure) -> None:
        self._owner.events.append("lost")


def status(transport: PausableTransport) -> bytes:
    """The first status line that was sent."""
    return bytes(transport.value().split(b"\r\n", 1)[0])


class PortTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.web = WebClient(tree(echo=Echo()))

    def test_http(self) -> None:
        transport = self.web.send(b"GET /echo?q=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(status(transport), b"HTTP/1.1 200 OK")
        self.assertTrue(transport.value().endswith(b"GET 1 "))

    def test_anySplitIsTheSame(self) -> None:
        data = b"\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        whole = self.web.send(data).value()
        for cut in range(1, len(data)):
            transport = self.web.send(data[:cut])
            self.web.send(data[cut:], transport)
            self.assertEqual(transport.value(), whole)

    def test_iceIsHTTP(self) -> None:
        transport = self.web.send(b"PUT /echo ICE/1.0\r\nContent-Length: 1\r\n\r\nx")
        self.assertEqual(status(transport), b"HTTP/1.0 200 OK")

    def test_rtspIsToldThatThereIsNone(self) -> None:
        transport = self.web.send(b"OPTIONS rtsp://x/ RTSP/1.0\r\nCSeq: 7\r\n\r\n")
        self.assertEqual(status(transport), b"RTSP/1.0 505 RTSP Version Not Supported")
        self.assertIn(b"\r\nCSeq: 7\r\n", transport.value())
        self.assertTrue(transport.disconnecting)

    def test_optionsStar(self) -> None:
        self.assertEqual(status(self.web.send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")), b"HTTP/1.1 200 OK")

    def test_silenceAndSlowFirstLines(self) -> None:
        transport = self.web.connect()
        for _ in range(int(HEADER_TIMEOUT)):
            self.web.send(b"G", transport)
            self.web.clock.advance(1)
        self.assertTrue(transport.aborted)

    def test_anEndlessFirstLine(self) -> None:
        transport = self.web.send(b"G" * 9000)
        self.web.send(b"G" * 9000, transport)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(status(transport), b"HTTP/1.1 431 Request Header Fields Too Large")

    def test_slowHeaders(self) -> None:
        transport = self.web.send(b"GET /echo HTTP/1.1\r\n")
        for number in range(int(HEADER_TIMEOUT)):
            self.web.send(b"X-%d: y\r\n" % number, transport)
            self.web.clock.advance(1)
        self.assertEqual(status(transport), b"HTTP/1.1 408 Request Timeout")
        self.assertTrue(transport.disconnecting)

    def test_keptAliveConnectionsGoAfterAWhile(self) -> None:
        transport = self.web.send(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
        self.web.clock.advance(IDLE_TIMEOUT - 1)
        self.assertFalse(transport.disconnecting)
        self.web.clock.advance(1)
        self.assertTrue(transport.disconnecting)

    def test_theNextRequestHasADeadlineOfItsOwn(self) -> None:
        transport = self.web.send(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
        self.web.clock.advance(IDLE_TIMEOUT - 1)
        self.web.send(b"GET /echo HTTP/1.1\r\n", transport)
        self.web.clock.advance(HEADER_TIMEOUT - 1)
        self.assertFalse(transport.disconnecting)
        self.web.clock.advance(1)
        self.assertIn(b"408", transport.value())

    def test_badRequests(self) -> None:
        for head, expected in (
            (b"GET /echo\r\n\r\n", b"400"),
            (b"GET /echo HTTP/3.0\r\n\r\n", b"400"),
            (b"GET /echo HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
            (b"GET /echo HTTP/1.1\r\nA: b\x00c\r\n\r\n", b"400"),
            (b"POST /echo HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
            (b"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
            (b"GET /echo HTTP/1.1\r\n" + b"A: b\r\n" * 5000, b"400"),
        ):
            transport = self.web.send(head)
            self.assertEqual(transport.value().split(b" ", 2)[1], expected, head[:60])
            self.assertTrue(transport.disconnecting)

    def test_limitsAreAnsweredInWords(self) -> None:
        for connections, expected in (
            (Connections(limit=0), b"HTTP/1.1 503 Service Unavailable"),
            (Connections(limitPerAddress=0), b"HTTP/1.1 429 Too Many Requests"),
        ):
            web = WebClient(tree(), connections)
            transport = web.send(b"GET / HTTP/1.1\r\n\r\n")
            self.assertEqual(status(transport), expected)
            self.assertIn(b"Retry-After", transport.value())
            rtsp = web.send(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            self.assertEqual(status(rtsp), b"RTSP/1.0 503 Service Unavailable")
            silent = web.connect()
            web.clock.advance(60)
            self.assertTrue(silent.aborted)

    def test_leasesAreGivenBack(self) -> None:
        for data in (b"", b"GET", b"GET /echo HTTP/1.1\r\n", b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\r\n\r\n"):
            transport = self.web.send(data)
            self.assertEqual(len(self.web.connections), 1)
            self.web.lose(transport)
            self.assertEqual(len(self.web.connections), 0, data)

    def test_draining(self) -> None:
        silent, idle = self.web.connect(), self.web.send(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
        busy = self.web.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
        self.web.connections.drain()
        self.assertEqual([silent.disconnecting, idle.disconnecting, busy.disconnecting], [True, True, False])
        self.web.send(b"bc", busy)
        self.assertTrue(busy.value().endswith(b"abc"))
        self.assertTrue(busy.disconnecting)


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.collector = Collector()
        self.web = WebClient(tree(echo=Echo(), body=self.collector), maxBody=10)

    def post(self, head: bytes, *pieces: bytes) -> PausableTransport:
        transport = self.web.send(b"POST /body HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        for piece in pieces:
            self.web.send(piece, transport)
        return transport

    def test_piecesArriveAtOnce(self) -> None:
        transport = self.post(b"Content-Length: 4", b"ab")
        self.assertEqual(self.collector.events, [b"ab"])
        self.web.send(b"cdGET /echo HTTP/1.1\r\nHost: x\r\n\r\n", transport)
        self.assertEqual(self.collector.events, [b"ab", b"cd", "end"])
        self.assertTrue(transport.value().endswith(b"GET - "))

    def test_chunkBorders(self) -> None:
        transport = self.post(b"Transfer-Encoding: chunked", b"3\r\nab", b"c\r\n1\r\nd\r\n0\r\n\r\n")
        self.assertEqual(self.collector.events, [b"ab", b"c", "chunk", b"d", "chunk", "end"])
        self.assertEqual(status(transport), b"HTTP/1.1 200 OK")

    @given(st.lists(st.binary(min_size=1, max_size=9), max_size=6), st.lists(st.integers(0, 200), max_size=8))
    def test_chunksForAnySplit(self, chunks: list[bytes], cuts: list[int]) -> None:
        self.setUp()
        wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        places = sorted({cut % (len(wire) + 1) for cut in cuts} | {0, len(wire)})
        self.post(b"Transfer-Encoding: chunked", *(wire[a:b] for a, b in pairwise(places)))
        got = b"".join(b"|" if event == "chunk" else event for event in self.collector.events if event != "end")  # type: ignore[misc]
        self.assertEqual(got, b"".join(chunk + b"|" for chunk in chunks))
        self.assertEqual(self.collector.events[-1], "end")

    def test_badChunks(self) -> None:
        transport = self.post(b"Transfer-Encoding: chunked", b"x\r\n")
        self.assertEqual(status(transport), b"HTTP/1.1 400 Bad Request")

    def test_untilTheConnectionCloses(self) -> None:
        for method in (b"SOURCE", b"PUT"):
            self.collector.events.clear()
            transport = self.web.send(method + b" /body HTTP/1.0\r\n\r\nab")
            self.web.send(b"cd", transport)
            self.web.lose(transport)
            self.assertEqual(self.collector.events, [b"ab", b"cd", "lost"])

    def test_aPostWithoutLengthHasNoBody(self) -> None:
        transport = self.web.send(b"POST /body HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(transport.value().endswith(b"no body"))

    def test_expect(self) -> None:
        transport = self.post(b"Expect: 100-continue\r\nContent-Length: 2")
        self.assertEqual(transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.web.send(b"ab", transport)
        self.assertIn(b"HTTP/1.1 200 OK", transport.value())

    def test_expectIsNotAnsweredAfterARefusal(self) -> None:
        transport = self.web.send(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n"
        )
        self.assertEqual(status(transport), b"HTTP/1.1 413 Request Entity Too Large")
        self.assertNotIn(b"100 Continue", transport.value())

    def test_tooLargeIsAnsweredWhileTheClientStillSends(self) -> None:
        transport = self.web.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        self.assertIn(b"the body may have 10 bytes", transport.value())
        self.assertIn(b"Connection: close", transport.value())
        self.assertFalse(transport.disconnecting)
        answer = transport.value()
        self.web.send(b"x" * 1000, transport)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(transport.value(), answer)

    def test_tooLargeInChunks(self) -> None:
        transport = self.web.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n")
        self.assertEqual(transport.value(), b"")
        self.web.send(b"x" * 11, transport)
        self.assertEqual(status(transport), b"HTTP/1.1 413 Request Entity Too Large")

    def test_lingeringEnds(self) -> None:
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"
        transport = self.web.send(head)
        self.web.clock.advance(LINGER_SECONDS)
        self.assertTrue(transport.disconnecting)
        transport = self.web.send(head)
        self.web.send(b"x" * (LINGER_BYTES + 1), transport)
        self.assertTrue(transport.disconnecting)
        transport = self.web.send(head)
        self.web.lose(transport)
        self.web.clock.advance(LINGER_SECONDS)
        self.assertFalse(transport.disconnecting)

    def test_aSlowBodyMayTakeItsTime(self) -> None:
        transport = self.post(b"Content-Length: 100")
        for _ in range(50):
            self.web.send(b"x", transport)
            self.web.clock.advance(IDLE_TIMEOUT - 1)
        self.assertFalse(transport.disconnecting)
        self.web.clock.advance(1)
        self.assertTrue(transport.disconnecting)

    def test_aPausedBodyIsNotIdle(self) -> None:
        transport = self.post(b"Content-Length: 100", b"x")
        self.collector.request.pauseBody()
        self.assertEqual(transport.producerState, "paused")
        self.web.clock.advance(10 * IDLE_TIMEOUT)
        self.assertFalse(transport.disconnecting)
        self.collector.request.resumeBody()
        self.assertEqual(transport.producerState, "producing")
        self.web.clock.advance(IDLE_TIMEOUT)
        self.assertTrue(transport.disconnecting)

    def test_lostInTheMiddle(self) -> None:
        transport = self.post(b"Content-Length: 100", b"x")
        self.web.lose(transport)
        self.assertEqual(self.collector.events, [b"x", "lost"])

    def test_stopping(self) -> None:
        self.post(b"Content-Length: 100", b"x")
        self.web.connections.drain()
        self.assertEqual(self.collector.events, [b"x", "stopping"])

    def test_aFailureInTheTreeIs500(self) -> None:
        class Broken(Resource):
            def getChild(self, path: bytes, request: object) -> Resource:
                raise RuntimeError("broken")

        web = WebClient(tree(broken=Broken()))
        transport = web.send(b"POST /broken/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        self.assertEqual(status(transport), b"HTTP/1.1 500 Internal Server Error")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_formsOfOrdinaryResources(self) -> None:
        transport = self.web.send(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: 3\r\n\r\nq=7"
        )
        self.assertTrue(transport.value().endswith(b"POST 7 q=7"))


class RealtimeResourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hubClock = Clock()
        self.broker = MemoryBroker(self.hubClock)
        self.hub = Hub(self.broker, self.hubClock)
        self.received = Recorder()
        self.broker.subscribe(b"in", self.received)
        self.web = WebClient(
            tree(
                sse=SSEResource(self.hub, "news", retry=5000, origins="https://a.example"),
                raw=StreamResource(self.hub, "news", prefix=b"<", suffix=b">"),
                publish=PublishResource(self.hub, "in", maxMessage=5),
                istream=IStreamResource(self.hub, "in", maxMessage=5, prefix=b"<"),
            )
        )

    def payloads(self) -> list[bytes]:
        self.hubClock.advance(0)
        return [event[1] for event in self.received.events if isinstance(event, tuple)]

    def test_interfaces(self) -> None:
        resource = IStreamResource(self.hub, "x")
        verifyObject(IStreamingResource, resource)
        transport = self.web.send(b"POST /istream HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        receiver = transport.protocol._channel.requests[0]._receiver
        self.assertIsInstance(receiver, IStreamReceiver)
        verifyObject(IBodyReceiver, receiver)

    def test_sseOnAKeptRequest(self) -> None:
        # Not a socket of the kernel: the request stays, and the client sees the same bytes.
        transport = self.web.send(b"GET /sse HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = transport.value().partition(b"\r\n\r\n")
        self.assertIn(b"Content-Type: text/event-stream", head)
        self.assertIn(b"Transfer-Encoding: chunked", head)
        self.assertEqual(body, b"d\r\nretry: 5000\n\n\r\n")
        self.hub.publish("news", b"x")
        self.hubClock.advance(0)
        self.assertTrue(transport.value().endswith(b"9\r\ndata: x\n\n\r\n"))
        self.web.lose(transport)
        self.assertEqual(self.hub.stats()["subscribers"], 0)

    def test_http10IsNotChunked(self) -> None:
        transport = self.web.send(b"GET /raw HTTP/1.0\r\n\r\n")
        self.hub.publish("news", b"x")
        self.hubClock.advance(0)
        self.assertTrue(transport.value().endswith(b"\r\n\r\n<x>"))
        self.assertNotIn(b"chunked", transport.value())
        self.hub.closeAll("stopping")
        self.assertTrue(transport.disconnecting)

    def test_headEndsAtOnce(self) -> None:
        transport = self.web.send(b"HEAD /sse HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(transport.value().endswith(b"\r\n\r\n"))
        self.assertEqual(self.hub.stats()["subscribers"], 0)

    def test_endsInOrder(self) -> None:
        transport = self.web.send(b"GET /raw HTTP/1.1\r\nHost: x\r\n\r\n")
        self.hub.closeAll("stopping")
        self.assertTrue(transport.value().endswith(b"0\r\n\r\n"))
        self.assertEqual(transport.value().count(b"0\r\n\r\n"), 1)

    def test_methods(self) -> None:
        for path, allowed in ((b"/sse", b"GET, HEAD, OPTIONS"), (b"/publish", b"POST, PUT, OPTIONS")):
            transport = self.web.send(b"DELETE %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            self.assertEqual(status(transport), b"HTTP/1.1 405 Method Not Allowed")
            self.assertIn(b"\r\nAllow: %b\r\n" % allowed, transport.value())

    def test_origins(self) -> None:
        get = b"GET /sse HTTP/1.1\r\nHost: x\r\nOrigin: %b\r\n\r\n"
        self.assertIn(
            b"Access-Control-Allow-Origin: https://a.example\r\n", self.web.send(get % b"https://a.example").value()
        )
        self.assertNotIn(b"Access-Control", self.web.send(get % b"https://b.example").value())
        preflight = self.web.send(
            b"OPTIONS /sse HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\n"
            b"Access-Control-Request-Headers: x-y\r\n\r\n"
        )
        self.assertEqual(status(preflight), b"HTTP/1.1 204 No Content")
        self.assertIn(b"Access-Control-Allow-Headers: x-y", preflight.value())

    def test_foreignPagesMayNotPublish(self) -> None:
        post = b"POST /publish HTTP/1.1\r\nHost: x\r\nOrigin: %b\r\nContent-Length: 1\r\n\r\n1"
        self.assertEqual(status(self.web.send(post % b"https://evil")), b"HTTP/1.1 403 Forbidden")
        self.assertEqual(status(self.web.send(post % b"http://[bad")), b"HTTP/1.1 403 Forbidden")
        self.assertEqual(status(self.web.send(post % b"http://X")), b"HTTP/1.1 200 OK")
        stream = post.replace(b"/publish", b"/istream")
        self.assertEqual(status(self.web.send(stream % b"https://evil")), b"HTTP/1.1 403 Forbidden")
        self.assertEqual(self.payloads(), [b"1"])

    def test_publish(self) -> None:
        transport = self.web.send(b"PUT /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n\0\xff123")
        self.assertTrue(transport.value().endswith(b'{"channel": "in", "receivers": 1}\n'))
        self.assertEqual(self.payloads(), [b"\0\xff123"])
        transport = self.web.send(b"POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n123456")
        self.assertEqual(status(transport), b"HTTP/1.1 413 Request Entity Too Large")
        self.assertEqual(len(self.payloads()), 1)

    def test_istreamPublishesChunks(self) -> None:
        transport = self.web.send(
            b"POST /istream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nde"
        )
        self.assertEqual(self.payloads(), [b"<abc"])
        self.web.send(b"fgh\r\n0\r\n\r\n", transport)
        self.assertEqual(self.payloads(), [b"<abc", b"<defgh"])
        self.assertTrue(transport.value().endswith(b'{"channel": "in", "messages": 2, "bytes": 8}\n'))

    def test_istreamRefusesLargeChunks(self) -> None:
        transport = self.web.send(
            b"POST /istream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n"
        )
        self.assertEqual(status(transport), b"HTTP/1.1 413 Request Entity Too Large")
        self.assertEqual(self.payloads(), [])

    def test_anIcecastSourceIsAnsweredFirst(self) -> None:
        transport = self.web.send(b"SOURCE /istream HTTP/1.0\r\n\r\n")
        self.assertEqual(status(transport), b"HTTP/1.0 200 OK")
        self.web.send(b"audio", transport)
        self.assertEqual(self.payloads(), [b"<audio"])
        self.web.lose(transport)

    def test_backPressure(self) -> None:
        from twisted.internet.defer import Deferred

        waiting: list[Deferred[int]] = []

        def publish(*arguments: object) -> Deferred[int]:
            waiting.append(Deferred())
            return waiting[-1]

        self.patch(self.broker, "publish", publish)
        transport = self.web.send(b"POST /istream HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(PAUSE_AT // (65536 + MESSAGE_COST)):
            self.web.send(b"x" * 65536, transport)
            self.assertEqual(transport.producerState, "producing")
        self.web.send(b"x" * 65536, transport)
        self.assertEqual(transport.producerState, "paused")
        for one in waiting:
            one.callback(1)
        self.assertEqual(transport.producerState, "producing")
        self.web.lose(transport)
