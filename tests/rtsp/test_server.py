"""The RTSP server without a network: the state machine, every refusal, what goes where, and every way to end."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ProtocolError
from realtime_tw.media import Frame
from realtime_tw.rtsp.messages import Interleaved, Response, encodeInterleaved, encodeRequest
from realtime_tw.rtsp.outputs import Publisher
from realtime_tw.rtsp.parser import RTSPParser
from realtime_tw.rtsp.rtcp import Goodbye, ReceiverReport, parseRTCP
from realtime_tw.rtsp.server import REPORT_INTERVAL, Announcement, Publication, RTSPConnection, RTSPFactory, RTSPRefusal
from realtime_tw.rtsp.stream import Stream
from tests.doubles import PausableTransport

URL = "rtsp://127.0.0.1/cam"

SDP = (
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n"
    b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\na=control:streamid=0\r\n"
    b"m=audio 0 RTP/AVP 0\r\na=control:streamid=1\r\n"
)

TCP = "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"


def rtp(sequence: int, time: int, payload: bytes, kind: int = 96, marker: bool = True) -> bytes:
    """An RTP packet."""
    first = b"\x80" + bytes([kind | (0x80 if marker else 0)])
    return first + sequence.to_bytes(2) + time.to_bytes(4) + b"\0\0\0\1" + payload


class Output:
    """Records what it is given."""

    def __init__(self, refusal: ProtocolError | None = None, packets: bool = False) -> None:
        self.events: list[Any] = []
        self.received: list[Frame] = []
        self.controls: list[bytes] = []
        self._refusal = refusal
        self._packets = packets

    def open(self, publisher: Publisher, streams: Sequence[Stream]) -> None:
        if self._refusal is not None:
            raise self._refusal
        self.publisher = publisher
        self.events.append("open")

    def begin(self, streams: Sequence[Stream]) -> None:
        self.events.append(("begin", [stream.track.id for stream in streams]))

    def wantsPackets(self, stream: Stream) -> bool:
        return self._packets

    def frames(self, stream: Stream, frames: Sequence[Frame]) -> None:
        self.received += frames

    def control(self, stream: Stream, packet: bytes) -> None:
        self.controls.append(packet)

    def close(self) -> None:
        self.events.append("closed")


class ServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.output = Output()
        self.announcements: list[Announcement] = []
        self.refusal: ProtocolError | None = None
        self.timeout = 60.0
        self.factory = RTSPFactory(self.route, self.clock)
        self.cseq = 0
        self.connect()

    def route(self, announcement: Announcement) -> Publication:
        self.announcements.append(announcement)
        if self.refusal is not None:
            raise self.refusal
        return Publication(self.output, self.timeout)

    def connect(self) -> None:
        address = IPv4Address("TCP", "192.0.2.1", 1000)
        self.transport = PausableTransport(peerAddress=address, hostAddress=address)
        protocol = self.factory.buildProtocol(address)
        assert isinstance(protocol, RTSPConnection)
        self.protocol = protocol
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)

    def sent(self) -> list[Any]:
        """What the server has said since the last call."""
        events = RTSPParser().receive(self.transport.value())
        self.transport.clear()
        return list(events)

    def ask(self, method: str, url: str = URL, body: bytes = b"", **headers: str) -> Response:
        self.cseq += 1
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.protocol.dataReceived(encodeRequest(method, url, {"CSeq": str(self.cseq), **named}, body))
        (response,) = self.sent()
        assert isinstance(response, Response)
        self.assertEqual(response.headers.get("CSeq"), str(self.cseq))
        return response

    def announce(self, sdp: bytes = SDP, **headers: str) -> Response:
        return self.ask("ANNOUNCE", body=sdp, Content_Type="application/sdp", **headers)

    def record(self) -> str:
        """All the way to RECORD; returns the session's id."""
        self.assertEqual(self.announce().status, 200)
        first = self.ask("SETUP", f"{URL}/streamid=0", Transport=TCP)
        self.assertEqual(first.headers.get("Transport"), "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record")
        session = first.headers.get("Session") or ""
        self.assertTrue(session.endswith(f";timeout={self.timeout:.0f}"))
        identity = session.partition(";")[0]
        second = self.ask("SETUP", f"{URL}/streamid=1", Transport="RTP/AVP/TCP;unicast", Session=identity)
        self.assertEqual(second.headers.get("Transport"), "RTP/AVP/TCP;unicast;interleaved=2-3;mode=record")
        self.assertEqual(self.ask("RECORD", Session=identity).status, 200)
        return identity

    def test_theWholeWay(self) -> None:
        public = self.ask("OPTIONS").headers.get("Public") or ""
        self.assertIn("ANNOUNCE", public)
        self.record()
        (announcement,) = self.announcements
        self.assertEqual((announcement.method, announcement.path, announcement.url), ("ANNOUNCE", "/cam", URL))
        self.assertEqual(self.output.events, ["open", ("begin", [1, 2])])
        self.protocol.dataReceived(
            encodeInterleaved(0, rtp(1, 5, b"\x10\x10\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00"))
            + encodeInterleaved(2, rtp(1, 5, b"abcd", 0))
            + encodeInterleaved(1, b"\x80\xc9\x00\x01\x00\x00\x00\x01")
            + encodeInterleaved(9, b"nobody's")
        )
        self.assertEqual(
            [(frame.track, frame.pts, frame.data[-4:]) for frame in self.output.received],
            [(1, 90000, b"\x40\x01\xf0\x00"), (2, 8000, b"abcd")],
        )
        self.assertEqual(len(self.output.controls), 1)
        self.assertEqual(self.ask("TEARDOWN").status, 200)
        self.assertEqual(self.output.events[-1], "closed")
        # The connection may be used again.
        self.assertEqual(self.announce().status, 200)

    def test_pausing(self) -> None:
        identity = self.record()
        self.assertEqual(self.ask("PAUSE").status, 200)
        self.protocol.dataReceived(encodeInterleaved(2, rtp(1, 5, b"abcd", 0)))
        self.assertEqual(self.output.received, [])
        self.assertEqual(self.ask("PAUSE").status, 455)
        self.assertEqual(self.ask("RECORD", Session=identity).status, 200)
        self.protocol.dataReceived(encodeInterleaved(2, rtp(2, 5, b"abcd", 0)))
        self.assertEqual(len(self.output.received), 1)

    def test_refusals(self) -> None:
        for method in ("SETUP", "RECORD", "PAUSE", "TEARDOWN"):
            self.assertEqual(self.ask(method).status, 455, method)
            self.assertEqual(self.ask(method, Session="x").status, 454, method)
        self.assertEqual(self.ask("DESCRIBE").status, 404)
        self.assertEqual(self.ask("PLAY").status, 405)
        self.assertEqual(self.ask("SET").status, 501)
        self.assertEqual(self.ask("GET_PARAMETER").status, 200)
        self.assertEqual(self.ask("GET_PARAMETER", body=b"packets_received\r\n").status, 451)
        self.assertEqual(self.ask("SET_PARAMETER", body=b"a: b\r\n").status, 451)
        self.assertEqual(self.ask("ANNOUNCE", body=SDP, Content_Type="text/plain").status, 415)
        self.assertEqual(self.announce(b"").status, 400)
        self.assertEqual(self.announce(b"v=0\r\ns=x\r\n").status, 400)
        self.assertEqual(self.announce(b"v=0\r\nm=video 0 udp 96\r\n").status, 415)
        self.assertEqual(self.announce().status, 200)
        self.assertEqual(self.announce().status, 455)
        self.assertEqual(self.ask("RECORD").status, 455)
        self.assertEqual(self.ask("SETUP", URL, Transport=TCP).status, 459)
        self.assertEqual(self.ask("SETUP", f"{URL}/streamid=7", Transport=TCP).status, 404)
        first = f"{URL}/streamid=0"
        self.assertEqual(self.ask("SETUP", first).status, 400)
        self.assertEqual(self.ask("SETUP", first, Transport="RTP/AVP/UDP;unicast;client_port=1-2").status, 461)
        self.assertEqual(self.ask("SETUP", first, Transport="RTP/AVP;unicast;client_port=1-2").status, 461)
        self.assertEqual(self.ask("SETUP", first, Transport=TCP).status, 200)
        self.assertEqual(self.ask("SETUP", first, Transport=TCP).status, 455)
        self.assertEqual(self.ask("SETUP", f"{URL}/streamid=1", Transport=TCP).status, 400)
        self.assertEqual(self.ask("RECORD", Session="another").status, 454)
        # Not all of what was announced need be sent.
        self.assertEqual(self.ask("RECORD").status, 200)
        self.assertEqual(self.output.events[-1], ("begin", [1]))
        self.assertEqual(self.ask("SETUP", f"{URL}/streamid=1", Transport=TCP).status, 455)

    def test_whatCannotBeRead(self) -> None:
        for bad, status in (
            (b"OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\n", 505),
            (b"nonsense\r\n\r\n", 400),
            (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\n", 413),
        ):
            self.connect()
            self.protocol.dataReceived(bad)
            self.assertEqual([response.status for response in self.sent()], [status])
            self.assertTrue(self.transport.disconnecting)
            self.protocol.dataReceived(b"more")
        self.connect()
        self.protocol.dataReceived(b"OPTIONS * RTSP/1.0\r\n\r\n")
        self.assertEqual([response.status for response in self.sent()], [400])
        self.assertFalse(self.transport.disconnecting)

    def test_garbageBehindAGoodStart(self) -> None:
        self.record()
        self.protocol.dataReceived(encodeInterleaved(2, rtp(1, 5, b"abcd", 0)) + b"\0\1\2 garbage\r\n\r\n")
        self.assertEqual(len(self.output.received), 1)
        self.assertEqual([response.status for response in self.sent()], [400])
        self.assertEqual(self.output.events[-1], "closed")

    def test_aRouteThatRefuses(self) -> None:
        self.refusal = RTSPRefusal(401, "who are you?", [("WWW-Authenticate", 'Basic realm="x"')])
        for method in ("ANNOUNCE", "DESCRIBE"):
            answer = self.ask(method, body=SDP)
            self.assertEqual((answer.status, answer.body), (401, b"who are you?\n"))
            self.assertEqual(answer.headers.get("WWW-Authenticate"), 'Basic realm="x"')
        self.refusal = None
        self.assertEqual(self.announce().status, 200)

    def test_anOutputThatRefuses(self) -> None:
        self.output = Output(ProtocolError("taken", 409))
        answer = self.announce()
        self.assertEqual((answer.status, answer.body), (455, b"taken\n"))
        self.assertEqual(self.output.events, ["closed"])
        self.output = Output()
        self.assertEqual(self.announce().status, 200)

    def test_packetsInThePlaceOfFrames(self) -> None:
        self.output = Output(packets=True)
        self.record()
        packet = rtp(1, 5, b"whatever", marker=False)
        self.protocol.dataReceived(encodeInterleaved(0, packet))
        self.assertEqual([frame.data for frame in self.output.received], [packet])

    def test_reports(self) -> None:
        self.record()
        self.protocol.dataReceived(encodeInterleaved(2, rtp(1, 5, b"abcd", 0)))
        self.clock.pump([1] * int(2 * REPORT_INTERVAL))
        report = self.sent()[0]
        self.assertEqual((type(report), report.channel), (Interleaved, 3))
        receiver = parseRTCP(report.payload)[0]
        assert isinstance(receiver, ReceiverReport)
        self.assertEqual(receiver.blocks[0].ssrc, 1)

    def test_silence(self) -> None:
        self.record()
        self.clock.pump([1] * 50)
        self.ask("GET_PARAMETER")
        self.clock.pump([1] * 50)
        self.protocol.dataReceived(encodeInterleaved(2, rtp(1, 5, b"abcd", 0)))
        self.clock.pump([1] * 50)
        self.assertFalse(self.transport.disconnecting)
        self.clock.pump([1] * 12)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.output.events[-1], "closed")

    def test_aPublisherThatIsHeldUpIsNotSilent(self) -> None:
        self.timeout = 5
        self.record()
        self.output.publisher.pause()
        self.assertEqual(self.transport.producerState, "paused")
        self.clock.pump([1] * 20)
        self.assertFalse(self.transport.disconnecting)
        self.output.publisher.resume()
        self.assertEqual(self.transport.producerState, "producing")
        self.clock.pump([1] * 7)
        self.assertTrue(self.transport.disconnecting)

    def test_goodbye(self) -> None:
        for name in ("drain", "takenOver"):
            self.connect()
            self.output = Output()
            self.record()
            getattr(self.protocol, name)()
            for event, channel in zip(self.sent(), (1, 3), strict=True):
                self.assertEqual(event.channel, channel)
                self.assertIsInstance(parseRTCP(event.payload)[-1], Goodbye)
            self.assertEqual(self.output.events[-1], "closed")
            self.assertTrue(self.transport.disconnecting)

    def test_aLostConnectionLeavesNothing(self) -> None:
        self.record()
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.output.events[-1], "closed")
        self.assertEqual(self.clock.getDelayedCalls(), [])
