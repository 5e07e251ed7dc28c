"""One announced medium by itself: frames, their times, what is known of the track, reports, the end."""

from base64 import b64encode
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ProtocolError
from realtime_tw.media import Codec, Frame, Kind, Track
from realtime_tw.rtsp.clock import Timeline
from realtime_tw.rtsp.rtp import MAX_REORDER
from realtime_tw.rtsp.sdp import parseSDP
from realtime_tw.rtsp.stream import Stream, streamsOf
from tests.rtsp.depacketizers.test_h264 import IDR, OTHER_PPS, OTHER_SPS, PPS, SPS, P
from tests.rtsp.videopacketizers import vp8Frame

#: When the publisher announced: Unix time.
ANNOUNCED = 1_700_000_000

#: Seconds from 1900 to 1970, where NTP counts from.
NTP = 2_208_988_800

VP8 = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
OPUS = "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\n"
PCMU = "m=audio 0 RTP/AVP 0\r\n"
H264 = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"

KEYFRAME = b"\x10" + vp8Frame(True, b"key")
DELTA = b"\x10" + vp8Frame(False, b"delta")


def streams(*sections: str, reorder: int = 0) -> list[Stream]:
    medias = parseSDP(("v=0\r\n" + "".join(sections)).encode()).medias
    return streamsOf(medias, Timeline(ANNOUNCED, ANNOUNCED), reorder)


def stream(section: str, reorder: int = 0) -> Stream:
    (found,) = streams(section, reorder=reorder)
    return found


def h264(sps: bytes, pps: bytes) -> Stream:
    sets = b64encode(sps).decode() + "," + b64encode(pps).decode()
    return stream(f"{H264}a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\n")


def rtp(sequence: int, time: int, payload: bytes, kind: int = 96, marker: bool = True, source: int = 1) -> bytes:
    head = b"\x80" + bytes((kind | (0x80 if marker else 0),))
    return head + (sequence & 0xFFFF).to_bytes(2) + (time & 0xFFFFFFFF).to_bytes(4) + source.to_bytes(4) + payload


def senderReport(unix: float, time: int, source: int = 1) -> bytes:
    ntp = round((unix + NTP) * (1 << 32)) if unix else 0
    return b"\x80\xc8\0\6" + source.to_bytes(4) + ntp.to_bytes(8) + (time & 0xFFFFFFFF).to_bytes(4) + bytes(8)


def play(taken: Stream, packets: Iterable[bytes], arrival: float = ANNOUNCED) -> list[Frame]:
    return [frame for packet in packets for frame in taken.receive(packet, arrival)]


class FrameTests(SynchronousTestCase):
    def test_frames(self) -> None:
        taken = stream(VP8)
        self.assertEqual(taken.receive(rtp(1, 1000, KEYFRAME[:8], marker=False), ANNOUNCED), ())
        # The second piece: no start of a partition.
        (frame,) = taken.receive(rtp(2, 1000, b"\0" + KEYFRAME[8:]), ANNOUNCED)
        self.assertEqual(frame, Frame(1, 90000, 90000, True, KEYFRAME[1:]))
        (frame,) = taken.receive(rtp(3, 4600, DELTA), ANNOUNCED + 0.04)
        self.assertEqual(frame, Frame(1, 93600, 93600, False, DELTA[1:]))

    def test_idsAreInTheOrderOfTheDescription(self) -> None:
        found = streams(OPUS, VP8, PCMU)
        self.assertEqual([each.track.id for each in found], [1, 2, 3])
        self.assertEqual([each.track.kind for each in found], [Kind.AUDIO, Kind.VIDEO, Kind.AUDIO])
        self.assertEqual(streams(), [])

    def test_notOverRTP(self) -> None:
        for protocol in ("udp", "TCP/BFCP"):
            with self.assertRaises(ProtocolError) as caught:
                streams(VP8, f"m=application 0 {protocol} 99\r\n")
            self.assertEqual(caught.exception.status, 415)
        self.assertEqual(len(streams("m=video 0 RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n")), 1)

    def test_onlyItsPayloadType(self) -> None:
        taken = stream("m=audio 0 RTP/AVP 97 0 13\r\na=rtpmap:97 opus/48000/2\r\n")
        self.assertEqual(play(taken, [rtp(1, 0, b"\xfcx", 0), rtp(2, 0, b"\xfcx", 13)]), [])
        self.assertEqual(len(play(taken, [rtp(3, 0, b"\xfcx", 97)])), 1)

    def test_unknownCodecsArePackets(self) -> None:
        taken = stream("m=video 0 RTP/AVP 96 97\r\na=rtpmap:96 raw/90000\r\na=rtpmap:97 rtx/90000\r\n")
        self.assertEqual((taken.track.codec, taken.track.name), (Codec.RTP, "RAW"))
        packets = [rtp(1, 5, b"x"), rtp(2, 5, b"y", 97, False)]
        self.assertEqual([frame.data for frame in play(taken, packets)], packets)
        self.assertEqual(play(taken, [rtp(3, 5, b"z", 98)]), [])

    def test_withoutAnyNumberOrName(self) -> None:
        taken = stream("m=video 0 RTP/AVP x-format\r\n")
        self.assertEqual((taken.track.codec, taken.track.name), (Codec.RTP, "x-format"))
        self.assertEqual(play(taken, [rtp(1, 5, b"x")]), [])

    def test_passPackets(self) -> None:
        taken = stream("m=video 0 RTP/AVP 96 97\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\n")
        taken.passPackets()
        self.assertEqual(taken.track, Track(1, Kind.VIDEO, Codec.RTP, 90000, name="VP8"))
        # With an extension and padding: as they came.
        packets = [rtp(1, 5, b"whatever", marker=False), b"\xb0" + rtp(2, 5, b"\0\0\0\1abcdx\2", 97)[1:]]
        frames = play(taken, packets)
        self.assertEqual([(frame.track, frame.data) for frame in frames], [(1, packet) for packet in packets])
        self.assertTrue(frames[0].dts < frames[1].dts)

    def test_loss(self) -> None:
        taken = stream(VP8)
        frames = play(taken, [rtp(1, 0, KEYFRAME), rtp(3, 7200, DELTA), rtp(4, 10800, DELTA), rtp(5, 14400, KEYFRAME)])
        self.assertEqual([frame.pts for frame in frames], [90000, 90000 + 14400])

    def test_reorderWindow(self) -> None:
        packets = [rtp(1, 0, KEYFRAME), rtp(3, 7200, DELTA), rtp(2, 3600, DELTA), rtp(4, 10800, DELTA)]
        self.assertEqual([frame.pts for frame in play(stream(VP8, 2), packets)], [90000, 93600, 97200, 100800])
        self.assertEqual(len(play(stream(VP8), packets)), 1)

    def test_bFrames(self) -> None:
        taken = h264(OTHER_SPS, OTHER_PPS)
        order = (0, 4, 2, 1, 3, 8, 6, 5, 7)
        packets = [rtp(place, number * 3600, P if number else IDR) for place, number in enumerate(order)]
        frames = play(taken, packets)
        self.assertEqual([(frame.pts - 90000) // 3600 for frame in frames], list(order))
        self.assertTrue(all(frame.dts <= frame.pts for frame in frames))
        steps = [later.dts - frame.dts for frame, later in pairwise(frames)]
        self.assertEqual(steps, [3600] * 8)

    def test_withoutBFramesBothTimesAreEqual(self) -> None:
        taken = h264(SPS, PPS)
        frames = play(taken, [rtp(number, number * 3600, P if number else IDR) for number in range(5)])
        self.assertEqual([frame.dts for frame in frames], [frame.pts for frame in frames])
        self.assertEqual(len(frames), 5)

    def test_soundThatStepsBackIsNotTakenForBFrames(self) -> None:
        taken = stream(OPUS)
        times = [0, 960, 1920, 1400, 3840, 4800]
        frames = play(taken, [rtp(number, time, b"\xfcabc", 97) for number, time in enumerate(times)])
        self.assertEqual([frame.pts - 48000 for frame in frames], [0, 960, 1920, 1921, 3840, 4800])
        self.assertEqual([frame.dts for frame in frames], [frame.pts for frame in frames])

    @given(st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=20))
    def test_neverRaises(self, packets: list[tuple[bytes, bool]]) -> None:
        for section in (VP8, OPUS, H264, PCMU):
            taken = stream(section, MAX_REORDER)
            for number, (data, isRTP) in enumerate(packets):
                taken.receive(rtp(number, number, data) if isRTP else data, number)
                taken.control(data, number)
            taken.flush()
            taken.report(0)


class TrackTests(SynchronousTestCase):
    def test_whatFramesTell(self) -> None:
        taken = stream(VP8)
        before = taken.track
        self.assertEqual((before.width, before.height), (0, 0))
        play(taken, [rtp(1, 0, KEYFRAME)])
        self.assertEqual((taken.track.width, taken.track.height), (64, 48))
        known = taken.track
        play(taken, [rtp(2, 3600, DELTA), rtp(3, 7200, KEYFRAME)])
        self.assertIs(taken.track, known)

    def test_parameterSetsAmongThePackets(self) -> None:
        taken = stream(H264)
        self.assertEqual(taken.track.config, b"")
        frames = play(taken, [rtp(1, 0, SPS, marker=False), rtp(2, 0, PPS, marker=False), rtp(3, 0, IDR)])
        self.assertEqual(len(frames), 1)
        self.assertEqual((taken.track.config[:1], taken.track.width, taken.track.height), (b"\1", 322, 242))

    def test_depthOfReorderingFromParameterSetsAmongThePackets(self) -> None:
        taken = stream(H264)
        frames = play(taken, [rtp(1, 0, OTHER_SPS, marker=False), rtp(2, 0, OTHER_PPS, marker=False), rtp(3, 0, IDR)])
        frames += play(taken, [rtp(4, 7200, P), rtp(5, 3600, P), rtp(6, 14400, P), rtp(7, 10800, P)])
        # Nothing is shown later than its sender wanted.
        self.assertEqual([(frame.pts - 90000) // 3600 for frame in frames], [0, 2, 1, 4, 3])
        self.assertTrue(frames[0].dts < frames[0].pts)


class TimeTests(SynchronousTestCase):
    def test_tracksBeginWhereTheyArrive(self) -> None:
        video, sound = streams(VP8, OPUS)
        self.assertEqual(video.timeline.epoch, 0)
        (picture,) = video.receive(rtp(1, 123456, KEYFRAME), ANNOUNCED)
        (noise,) = sound.receive(rtp(1, 987, b"\xfcx", 97), ANNOUNCED + 0.5)
        self.assertEqual((picture.pts, noise.pts), (90000, 72000))
        self.assertEqual(video.timeline.epoch, (ANNOUNCED - 1) * 1000)

    def test_theFirstPacketCountsAndNotTheFirstFrame(self) -> None:
        video, sound = streams(VP8, OPUS)
        video.receive(rtp(1, 0, KEYFRAME[:8], marker=False), ANNOUNCED)
        (noise,) = sound.receive(rtp(1, 0, b"\xfcx", 97), ANNOUNCED + 1)
        (picture,) = video.receive(rtp(2, 0, b"\0" + KEYFRAME[8:]), ANNOUNCED + 3)
        self.assertEqual((picture.pts, noise.pts), (90000, 96000))

    def test_reportsBeforeTheFirstPacketsAlign(self) -> None:
        video, sound = streams(VP8, OPUS)
        video.control(senderReport(ANNOUNCED, 1000, 1), ANNOUNCED)
        sound.control(senderReport(ANNOUNCED, 5000, 2), ANNOUNCED)
        (picture,) = video.receive(rtp(1, 1000, KEYFRAME, source=1), ANNOUNCED)
        # Sent 100 ms after the picture, but it took another second to come.
        (noise,) = sound.receive(rtp(1, 5000 + 4800, b"\xfcx", 97, source=2), ANNOUNCED + 1.1)
        self.assertEqual((picture.pts, noise.pts), (90000, 48000 + 4800))

    def test_reportsThatComeLaterMoveSlowly(self) -> None:
        video, sound = streams(VP8, PCMU)
        video.receive(rtp(1, 0, KEYFRAME), ANNOUNCED)
        # In truth it is of the same moment.
        (first,) = sound.receive(rtp(1, 0, b"abcd", 0, source=2), ANNOUNCED + 0.2)
        self.assertEqual(first.pts, 8000 + 1600)
        video.control(senderReport(ANNOUNCED, 0), ANNOUNCED + 0.3)
        sound.control(senderReport(ANNOUNCED, 0, 2), ANNOUNCED + 0.3)
        frames = play(sound, [rtp(number, number * 160, b"abcd", 0, source=2) for number in range(2, 3000)])
        steps = {later.pts - frame.pts for frame, later in pairwise(frames)}
        self.assertEqual(steps, {159, 160})
        self.assertEqual(frames[-1].pts, 8000 + 2999 * 160)

    def test_theSendersClock(self) -> None:
        taken = stream(VP8)
        taken.control(senderReport(ANNOUNCED - 40, 0), ANNOUNCED)
        taken.receive(rtp(1, 0, KEYFRAME), ANNOUNCED)
        self.assertEqual(taken.timeline.epoch, (ANNOUNCED - 41) * 1000)

    def test_aSenderWithoutAClock(self) -> None:
        video, sound = streams(VP8, OPUS)
        for taken in (video, sound):
            taken.control(senderReport(0, 0), ANNOUNCED)
        (picture,) = video.receive(rtp(1, 0, KEYFRAME), ANNOUNCED)
        (noise,) = sound.receive(rtp(1, 4800, b"\xfcx", 97), ANNOUNCED)
        self.assertEqual((picture.pts, noise.pts), (90000, 48000))
        self.assertEqual(video.timeline.epoch, (ANNOUNCED - 1) * 1000)

    def test_reportsOfOthersMeanNothing(self) -> None:
        taken = stream(VP8)
        taken.receive(rtp(1, 0, KEYFRAME), ANNOUNCED)
        taken.control(senderReport(ANNOUNCED - 40, 0, 99), ANNOUNCED)
        taken.control(b"\x80\xc8", ANNOUNCED)
        taken.control(b"", ANNOUNCED)
        self.assertEqual(taken.timeline.epoch, (ANNOUNCED - 1) * 1000)

    def test_anotherSourceGoesOn(self) -> None:
        taken = stream(PCMU)
        play(taken, [rtp(number, number * 160, b"abcd", 0) for number in range(50)])
        (before,) = taken.receive(rtp(50, 50 * 160, b"abcd", 0), ANNOUNCED + 1)
        frames = [
            frame
            for number in range(3)
            for frame in taken.receive(
                rtp(900 + number, 77777 + number * 160, b"abcd", 0, source=5), ANNOUNCED + 1.02 + number * 0.02
            )
        ]
        self.assertEqual([frame.pts - before.pts for frame in frames], [160, 320, 480])

    def test_reportsOfTheSourceBeforeMeanNothing(self) -> None:
        video, sound = streams(VP8, PCMU)
        for taken, packet in ((video, rtp(1, 0, KEYFRAME)), (sound, rtp(1, 0, b"abcd", 0))):
            taken.control(senderReport(ANNOUNCED, 0), ANNOUNCED)
            taken.receive(packet, ANNOUNCED)
        # Another one, of five seconds later, which was two seconds on its way; its times are far from those before.
        first = 72000
        packets = [rtp(number, first + number * 1600, b"abcd", 0, source=7) for number in range(2500)]
        (frame, *_) = play(sound, packets[:2], ANNOUNCED + 7)
        self.assertEqual(frame.pts, 8000 + 56000)
        sound.control(senderReport(ANNOUNCED + 5, first, 7), ANNOUNCED + 7)
        frames = play(sound, packets[2:], ANNOUNCED + 7)
        self.assertEqual(frames[-1].pts, 8000 + 40000 + 2499 * 1600)


class EndTests(SynchronousTestCase):
    def test_flush(self) -> None:
        taken = stream(VP8, 8)
        self.assertEqual(taken.flush(), ())
        play(taken, [rtp(1, 0, KEYFRAME), rtp(3, 7200, KEYFRAME)])
        (frame,) = taken.flush()
        self.assertEqual((frame.pts, frame.data), (90000 + 7200, KEYFRAME[1:]))
        self.assertEqual(taken.flush(), ())
        # And on it goes.
        (frame,) = taken.receive(rtp(4, 10800, KEYFRAME), ANNOUNCED + 9)
        self.assertEqual(frame.pts, 90000 + 10800)

    def test_theClockIsSetAfterAPause(self) -> None:
        # What is flushed has no arrival of its own, and must not be taken for the arrival of 1970.
        taken = stream(VP8, 8)
        play(taken, [rtp(1, 90000, KEYFRAME), rtp(3, 97200, KEYFRAME)])
        taken.flush()
        (frame,) = taken.receive(rtp(4, 90000 - 10**8, KEYFRAME), ANNOUNCED + 10)
        self.assertTrue(90000 < frame.pts <= 90000 * 11 + 7200, frame.pts)

    def test_report(self) -> None:
        taken = stream(VP8)
        self.assertIsNone(taken.report(ANNOUNCED))
        taken.receive(rtp(1, 0, KEYFRAME), ANNOUNCED)
        taken.control(senderReport(ANNOUNCED, 0), ANNOUNCED + 1)
        taken.receive(rtp(3, 7200, KEYFRAME), ANNOUNCED)
        block = taken.report(ANNOUNCED + 3)
        assert block is not None
        self.assertEqual((block.ssrc, block.lost, block.highest & 0xFFFF), (1, 1, 3))
        self.assertEqual(block.delay, 2 << 16)
