"""What becomes of media: the envelope with its retained description, uwsgi-realtime's payloads, and UDP."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.brokers.memory import MemoryBroker
from realtime_tw.codec.envelope import SourceEnd, SourceFrame, decode
from realtime_tw.errors import BrokerUnavailable, ProtocolError
from realtime_tw.hub import Hub
from realtime_tw.interfaces import IReceiver
from realtime_tw.media import Codec, Frame, Kind, Tracks
from realtime_tw.rtsp.clock import Timeline
from realtime_tw.rtsp.outputs import ForwardingOutput, FramesOutput, PayloadsOutput, Selection
from realtime_tw.rtsp.sdp import parseSDP
from realtime_tw.rtsp.stream import Stream, streamsOf
from realtime_tw.web.backlog import MESSAGE_COST, PAUSE_AT
from tests.doubles import Recorder
from tests.rtsp.test_server import rtp

SDP = (
    b"v=0\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/48000/2\r\n"
    b"a=fmtp:97 mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1190\r\n"
    b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
)
KEYFRAME = b"\x10\x10\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00"
UNIT = b"\x00\x10\x00\x20sond"


class Publisher:
    """Records what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def pause(self) -> None:
        self.events.append("pause")

    def resume(self) -> None:
        self.events.append("resume")

    def takenOver(self) -> None:
        self.events.append("taken over")

    def failed(self, reason: str) -> None:
        self.events.append(reason)


class OutputCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.broker = MemoryBroker(self.clock)
        self.hub = Hub(self.broker, self.clock)
        self.publisher = Publisher()
        self.recorder = Recorder()
        self.broker.subscribe(b"cam", IReceiver(self.recorder))
        self.timeline = Timeline(1_700_000_000, 0)

    def streams(self, sdp: bytes = SDP) -> list[Stream]:
        return streamsOf(parseSDP(sdp).medias, self.timeline)

    def messages(self) -> list[bytes]:
        """What was published since the last call."""
        self.clock.advance(0)
        found = [event[1] for event in self.recorder.events if isinstance(event, tuple)]
        self.recorder.events.clear()
        return found

    def send(self, output: Any, stream: Stream, packet: bytes, arrival: float = 0) -> Sequence[Frame]:
        frames = stream.receive(packet, arrival)
        if frames:
            output.frames(stream, frames)
        return frames


class FramesTests(OutputCase):
    def open(self, takeover: bool = False, publisher: Publisher | None = None) -> tuple[FramesOutput, list[Stream]]:
        output = FramesOutput(self.hub, "cam", takeover)
        streams = self.streams()
        output.open(publisher or self.publisher, streams)
        output.begin(streams)
        return output, streams

    def retained(self) -> bytes | None:
        value: bytes | None = self.successResultOf(self.broker.retained(b"cam"))
        return value

    def test_aSource(self) -> None:
        output, (audio, video) = self.open()
        self.assertEqual(self.messages(), [])
        self.send(output, video, rtp(1, 0, KEYFRAME))
        self.send(output, audio, rtp(1, 0, UNIT, 97))
        described, picture, sound = map(decode, self.messages())
        assert isinstance(described, Tracks)
        assert isinstance(picture, SourceFrame)
        assert isinstance(sound, SourceFrame)
        self.assertEqual(
            [(track.id, track.kind, track.codec) for track in described.tracks],
            [
                (1, Kind.AUDIO, Codec.AAC),
                (2, Kind.VIDEO, Codec.VP8),
            ],
        )
        self.assertEqual(described.tracks[0].config, b"\x11\x90")
        self.assertEqual((described.tracks[1].width, described.tracks[1].height), (320, 240))
        self.assertEqual(described.epoch, 1_700_000_000_000 - 1000)
        self.assertEqual({picture.source, sound.source}, {described.source})
        self.assertEqual((picture.frame.pts, sound.frame), (90000, Frame(1, 48000, 48000, True, b"sond")))
        self.assertEqual(decode(self.retained() or b""), described)
        output.close()
        (end,) = self.messages()
        self.assertEqual(decode(end), SourceEnd(described.source))
        self.assertIsNone(self.retained())
        output.close()
        self.assertEqual(self.messages(), [])

    def test_nothingIsSaidOfASourceThatSentNothing(self) -> None:
        output, _ = self.open()
        output.close()
        self.assertEqual(self.messages(), [])

    def test_describedAgainWhenSomethingIsNew(self) -> None:
        output, (_, video) = self.open()
        self.send(output, video, rtp(1, 0, KEYFRAME))
        self.send(output, video, rtp(2, 3600, KEYFRAME))
        self.assertEqual(len(self.messages()), 3)
        self.send(output, video, rtp(3, 7200, KEYFRAME.replace(b"\x40\x01", b"\x80\x02")))
        described = decode(self.messages()[0])
        assert isinstance(described, Tracks)
        self.assertEqual(described.tracks[1].width, 640)

    def test_theSendersClock(self) -> None:
        output, (_, video) = self.open()
        self.send(output, video, rtp(1, 0, KEYFRAME))
        self.messages()
        seconds = 1_700_000_500 + 2_208_988_800
        report = b"\x80\xc8\0\x06\0\0\0\1" + seconds.to_bytes(4) + bytes(16)
        for _ in range(2):
            video.control(report, 0)
            output.control(video, report)
        (again,) = self.messages()
        described = decode(again)
        assert isinstance(described, Tracks)
        self.assertEqual(described.epoch, 1_700_000_499_000)

    def test_oneAtATime(self) -> None:
        first, _ = self.open()
        second = FramesOutput(self.hub, "cam")
        self.assertEqual(self.assertRaises(ProtocolError, second.open, Publisher(), self.streams()).status, 409)
        second.close()
        self.assertEqual(self.publisher.events, [])
        first.close()
        self.open()

    def test_takeover(self) -> None:
        first, (_, video) = self.open()
        self.send(first, video, rtp(1, 0, KEYFRAME))
        newer = Publisher()
        second, (_, other) = self.open(True, newer)
        self.assertEqual(self.publisher.events, ["taken over"])
        self.send(second, other, rtp(1, 0, KEYFRAME))
        self.messages()
        first.close()
        self.assertEqual(self.messages(), [])
        self.assertIsNotNone(self.retained())
        self.assertRaises(ProtocolError, FramesOutput(self.hub, "cam").open, Publisher(), self.streams())

    def test_theBrokerIsAway(self) -> None:
        real = self.broker.publish

        def refuse(channel: bytes, payload: bytes, retain: bool = False) -> Deferred[int]:
            return fail(BrokerUnavailable("away"))

        output, (_, video) = self.open()
        self.patch(self.broker, "publish", refuse)
        self.send(output, video, rtp(1, 0, KEYFRAME))
        self.patch(self.broker, "publish", real)
        # The description went with it, and is sent again.
        self.send(output, video, rtp(2, 3600, KEYFRAME))
        described, frame = map(decode, self.messages())
        self.assertIsInstance(described, Tracks)
        self.assertIsInstance(frame, SourceFrame)
        self.assertEqual(self.publisher.events, [])

    def test_theBrokerIsSlow(self) -> None:
        waiting: list[Deferred[int]] = []

        def publish(channel: bytes, payload: bytes, retain: bool = False) -> Deferred[int]:
            waiting.append(Deferred())
            return waiting[-1]

        output, (_, video) = self.open()
        self.patch(self.broker, "publish", publish)
        frame = Frame(2, 0, 0, True, b"x" * MESSAGE_COST)
        for _ in range(PAUSE_AT // (2 * MESSAGE_COST)):
            output.frames(video, [frame])
        self.assertEqual(self.publisher.events, ["pause"])
        for each in waiting:
            each.callback(1)
        self.assertEqual(self.publisher.events, ["pause", "resume"])


class PayloadsTests(OutputCase):
    def open(self, selections: dict[Kind, Selection], prefixed: bool = False) -> tuple[PayloadsOutput, list[Stream]]:
        output = PayloadsOutput(self.hub, "cam", selections, prefixed)
        streams = self.streams()
        output.open(self.publisher, streams)
        for stream in streams:
            if output.wantsPackets(stream):
                stream.passPackets()
        output.begin(streams)
        return output, streams

    def test_payloads(self) -> None:
        output, (audio, video) = self.open(
            {Kind.VIDEO: Selection(Codec.VP8, 0), Kind.AUDIO: Selection(Codec.AAC, 2)}, True
        )
        self.send(output, video, rtp(1, 0, KEYFRAME))
        self.send(output, audio, rtp(1, 0, UNIT, 97))
        picture, sound = self.messages()
        self.assertEqual(picture, b"\0" + (1000).to_bytes(8) + KEYFRAME[1:])
        # ADTS: LC, 48 kHz, two channels, 7 + 4 bytes.
        self.assertEqual(sound, b"\2" + (1000).to_bytes(8) + bytes.fromhex("fff14c80017ffc") + b"sond")

    def test_packets(self) -> None:
        output, (audio, video) = self.open({Kind.VIDEO: Selection(None, 0)})
        packet = rtp(1, 0, KEYFRAME)
        self.send(output, video, packet)
        self.send(output, audio, rtp(1, 0, UNIT, 97))
        self.assertEqual(self.messages(), [packet])

    def test_whatADTSCannotExpress(self) -> None:
        # 960 samples a frame.
        streams = self.streams(SDP.replace(b"config=1190", b"config=1194"))
        output = PayloadsOutput(self.hub, "cam", {Kind.AUDIO: Selection(Codec.AAC, 2)})
        self.assertEqual(self.assertRaises(ProtocolError, output.open, self.publisher, streams).status, 415)
        output, (audio, _) = self.open({Kind.AUDIO: Selection(Codec.AAC, 2)})
        output.frames(audio, [Frame(1, 0, 0, True, bytes(9000)), Frame(1, 0, 0, True, b"sond")])
        self.assertEqual([payload[-4:] for payload in self.messages()], [b"sond"])

    def test_anotherCodecThanTheRoutes(self) -> None:
        error = self.assertRaises(ProtocolError, self.open, {Kind.VIDEO: Selection(Codec.H264, 0)})
        self.assertEqual((error.status, str(error)), (415, "video is vp8 and not h264"))
        self.assertRaises(ProtocolError, self.open, {Kind.OTHER: Selection(None, 0)})


class FakeUDP:
    """The part of a reactor that forwarding uses."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.stopped = False

    def resolve(self, host: str) -> Deferred[str]:
        return succeed("192.0.2.7") if host == "known" else fail(OSError("no such host"))

    def listenUDP(self, port: int, protocol: object) -> "FakeUDP":
        return self

    def write(self, data: bytes, address: tuple[str, int]) -> None:
        if len(data) > 100:
            raise OSError("too long")
        self.sent.append((data, address))

    def stopListening(self) -> None:
        self.stopped = True


class ForwardingTests(OutputCase):
    def open(self, rtcp: bool = False, host: str = "known") -> tuple[ForwardingOutput, list[Stream]]:
        self.reactor = FakeUDP()
        output = ForwardingOutput(self.reactor, [(host, 5000), ("known", 6000)], rtcp)
        streams = self.streams()
        output.open(self.publisher, streams)
        for stream in streams:
            self.assertTrue(output.wantsPackets(stream))
            stream.passPackets()
        output.begin(streams)
        output.begin(streams)
        return output, streams

    def test_packets(self) -> None:
        output, (audio, video) = self.open()
        first, second = rtp(1, 0, UNIT, 97), rtp(9, 0, KEYFRAME)
        self.send(output, audio, first)
        self.send(output, video, second)
        self.send(output, video, rtp(10, 0, bytes(1000)))
        output.control(video, b"rtcp")
        self.assertEqual(self.reactor.sent, [(first, ("192.0.2.7", 5000)), (second, ("192.0.2.7", 6000))])
        output.close()
        self.assertTrue(self.reactor.stopped)

    def test_rtcp(self) -> None:
        output, (_, video) = self.open(True)
        output.control(video, b"rtcp")
        output.control(video, b"")
        self.assertEqual(self.reactor.sent, [(b"rtcp", ("192.0.2.7", 6001))])

    def test_anAddressThatNobodyKnows(self) -> None:
        self.open(host="nobody")
        self.assertEqual(self.publisher.events, ["the address to forward to is unknown"])
