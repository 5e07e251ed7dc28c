"""VP8 from packets: those of ffmpeg and GStreamer, every form of descriptor, loss, and nonsense."""

from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import MAX_FRAME
from realtime_tw.rtsp.depacketizers.vp8 import VP8Depacketizer
from tests.rtsp.videopacketizers import (
    STEP,
    VP8_EXTENSIONS,
    Packet,
    captured,
    damaged,
    deliver,
    flood,
    losses,
    noise,
    vp8Frame,
    vp8Packets,
)

#: ffmpeg -f lavfi -i testsrc2=size=32x32:rate=25 -c:v libvpx -g 3 -b:v 20k -f rtp rtp://127.0.0.1:9000?pkt_size=150
FFMPEG = captured("""
0 0
kICAANAHAJ0BKiAAIAAERwiFhYiZhIgdggJ1uiTp/qvGcuOcEjA0Bn/YPYB/WbgLCvCTMvIkRwJP+F2St8UGBxFmPogdp1hWf9oygP7bozYFLwIQ
VHkNeaSjtRKkY8jXqUKMn/fHG8h+cB5EOM31uzGQ51LFt1YlZIykssneMAMeZG8VYNWw1DVp
0 0
gICAAAo5+SfiDpstD9b/k4Ntmx59g5Oz9gTyt9P6unIllW6+H4V3xfh7fk5E3pJyTctOsDDrpAhA8Lv1RpFAQ4fgmsfVArufVYbCwzxVE0U5a6/c
ilWzTy1JznGKdrz3OttPpDhW9C57YbbdcHuaw5zd/M4CGD9EMTfNHEN83xhlaPdb7j810n9p
0 1
gICAAJv2lEt8r/ojX8utSBF0wwtOKFCofZ4OwrWeE2qK/PCm1RX54W2cOUFlBiAN6Hm5vQr31u6MpNsW7oydAA==
3600 1
kICAAfEBABQRIAAYDYxNUBG7kAOLQMaJU/wA
7200 1
kICAAtEBABERFAAYAB5AL/QAvEcAxZQA
""")

#: videotestsrc ! video/x-raw,format=I420,width=32,height=32 ! vp8enc keyframe-max-dist=3 ! rtpvp8pay picture-id-mode=1
GSTREAMER = captured("""
0 1
kIBusAMAnQEqIAAgAAlHCIWFiJmEiB2CADOBh+9dCnFFcjDRkk9FhcAA/u0HIawMzD1kj/cpVQdZI0LCQ4r+Jtt9nyOpz/7l+Mh0rHtOqvFUaLqR
7eJL4tLV7TvDN6AxLYWp239UAA==
2999 1
kIBv8QEAOxDsABgAMCgv9AAsiVQAygHzqCVguX3j+PZB3AA=
5999 1
kIBwEQIAOxDsABgAKkAv9ABVdfH6AMTw9XnppcMA
9000 1
kIBxsAMAnQEqIAAgAAlHCIWFiJmEiB2CADOBh+9e4luoAIlkN/jdRVQA/tJ9TnnMxemV9w83n4kCqKT6HcfgpYTtfvwJi5naE080abw7E+utM1hu
Z4+ouq9/ySpUMlM3UuuLfoaTiksA
""")

#: What its vp8enc gave to rtpvp8pay.
GSTREAMER_FRAMES = [
    b64decode(
        "sAMAnQEqIAAgAAlHCIWFiJmEiB2CADOBh+9dCnFFcjDRkk9FhcAA/u0HIawMzD1kj/cpVQdZI0LCQ4r+Jtt9nyOpz/7l+Mh0rHtOqvFUaLqR7e"
        "JL4tLV7TvDN6AxLYWp239UAA=="
    ),
    b64decode("8QEAOxDsABgAMCgv9AAsiVQAygHzqCVguX3j+PZB3AA="),
    b64decode("EQIAOxDsABgAKkAv9ABVdfH6AMTw9XnppcMA"),
    b64decode(
        "sAMAnQEqIAAgAAlHCIWFiJmEiB2CADOBh+9e4luoAIlkN/jdRVQA/tJ9TnnMxemV9w83n4kCqKT6HcfgpYTtfvwJi5naE080abw7E+utM1huZ4"
        "+ouq9/ySpUMlM3UuuLfoaTiksA"
    ),
]

KEY = vp8Frame(True, b"key" * 30)
INTER = vp8Frame(False, b"inter" * 20)

#: What a frame is made of: whether it is a keyframe, how long it is, the descriptor's form, the size of its packets.
frames = st.tuples(st.booleans(), st.integers(0, 60), st.sampled_from(VP8_EXTENSIONS), st.integers(1, 50))


def stream(parts: list[tuple[bool, int, bytes, int]]) -> list[tuple[bytes, list[Packet]]]:
    made = []
    for place, (keyframe, length, extension, size) in enumerate(parts):
        frame = vp8Frame(keyframe, bytes([place]) * length)
        made.append((frame, vp8Packets(frame, place * STEP, size, extension)))
    return made


class VP8DepacketizerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.receiver = VP8Depacketizer()

    def test_ffmpeg(self) -> None:
        units = deliver(self.receiver, FFMPEG)
        self.assertEqual([(unit.time, unit.keyframe) for unit in units], [(0, True), (3600, False), (7200, False)])
        # Its descriptors have four bytes.
        self.assertEqual(units[0].data, b"".join(packet.payload[4:] for packet in FFMPEG[:3]))
        self.assertEqual([unit.data for unit in units[1:]], [packet.payload[4:] for packet in FFMPEG[3:5]])
        self.assertEqual((self.receiver.width, self.receiver.height), (32, 32))
        self.assertEqual((self.receiver.discarded, self.receiver.config), (0, b""))

    def test_gstreamer(self) -> None:
        units = deliver(self.receiver, GSTREAMER)
        self.assertEqual([unit.data for unit in units], GSTREAMER_FRAMES)
        self.assertEqual([unit.keyframe for unit in units], [True, False, False, True])
        self.assertEqual([unit.time for unit in units], [0, 2999, 5999, 9000])

    def test_nothingBeforeTheFirstKeyframe(self) -> None:
        self.assertEqual(deliver(self.receiver, [*FFMPEG[1:5], *vp8Packets(INTER, 1)]), [])
        self.assertEqual(deliver(self.receiver, vp8Packets(KEY, 2)), [AccessUnit(2, True, KEY)])
        self.assertEqual(self.receiver.discarded, 0)

    def test_lossBetweenFramesWaitsForAKeyframe(self) -> None:
        deliver(self.receiver, vp8Packets(KEY, 0))
        [packet] = vp8Packets(INTER, 2)
        self.assertEqual(self.receiver.receive(*packet, True), ())
        self.assertEqual(deliver(self.receiver, vp8Packets(INTER, 3)), [])
        [packet] = vp8Packets(KEY, 4)
        self.assertEqual(self.receiver.receive(*packet, True), [AccessUnit(4, True, KEY)])
        self.assertEqual(deliver(self.receiver, vp8Packets(INTER, 5)), [AccessUnit(5, False, INTER)])

    def test_lostMarkerIsSeenByTheTime(self) -> None:
        packets = [packet._replace(marker=False) for packet in vp8Packets(KEY, 0, 20) + vp8Packets(INTER, 1, 20)]
        self.assertEqual(deliver(self.receiver, packets), [AccessUnit(0, True, KEY)])
        self.assertEqual(deliver(self.receiver, vp8Packets(INTER, 2)), [AccessUnit(1, False, INTER), (2, False, INTER)])

    def test_endThatMayBeMissingIsNotConfirmedByALaterPacket(self) -> None:
        packets = vp8Packets(KEY, 0, 20)
        self.assertEqual(deliver(self.receiver, packets[:-1]), [])
        [packet] = vp8Packets(INTER, 1)
        self.assertEqual(self.receiver.receive(*packet, True), ())
        self.assertEqual(self.receiver.discarded, 1)

    def test_furtherPartitionsBelongToTheFrame(self) -> None:
        # S is set at the beginning of each partition; only partition 0 begins a frame.
        packets = [Packet(b"\x10" + KEY, 0, False), Packet(b"\x11second", 0, False), Packet(b"\x17last", 0, True)]
        self.assertEqual(deliver(self.receiver, packets), [AccessUnit(0, True, KEY + b"secondlast")])

    def test_reservedAndNonReferenceBitsMeanNothing(self) -> None:
        packets = [Packet(b"\x78" + KEY, 0, False), Packet(b"\x68more", 0, True)]
        self.assertEqual(deliver(self.receiver, packets), [AccessUnit(0, True, KEY + b"more")])

    def test_twoFramesOfOneTime(self) -> None:
        # A hidden frame may have the time of the shown one.
        units = deliver(self.receiver, [*vp8Packets(KEY, 0), *vp8Packets(INTER, 0)])
        self.assertEqual(units, [AccessUnit(0, True, KEY), AccessUnit(0, False, INTER)])

    def test_twoBeginningsWithoutMarker(self) -> None:
        first = vp8Packets(KEY, 0)[0]._replace(marker=False)
        self.assertEqual(deliver(self.receiver, [first, *vp8Packets(INTER, 0)]), [])
        self.assertEqual(self.receiver.discarded, 1)
        self.assertEqual(deliver(self.receiver, [first, *vp8Packets(KEY, 0)]), [AccessUnit(0, True, KEY)])

    def test_packetsAfterTheMarker(self) -> None:
        # What follows cannot be trusted either.
        deliver(self.receiver, vp8Packets(KEY, 0))
        self.assertEqual(deliver(self.receiver, [Packet(b"\x00more", 0, True), *vp8Packets(INTER, 1)]), [])

    def test_emptyPacketsMeanNothing(self) -> None:
        packets = vp8Packets(KEY, 0, 20)
        packets[1:1] = [Packet(b"", 0, False)]
        self.assertEqual(deliver(self.receiver, packets), [AccessUnit(0, True, KEY)])

    def test_descriptorCutShort(self) -> None:
        for extension in VP8_EXTENSIONS[1:]:
            descriptor = b"\x90" + extension
            for length in range(1, len(descriptor) + 1):
                receiver = VP8Depacketizer()
                deliver(receiver, vp8Packets(KEY, 0, 20)[:2])
                self.assertEqual(receiver.receive(descriptor[:length], 0, True, False), ())
                self.assertEqual(receiver.discarded, 1, descriptor[:length].hex())
                self.assertEqual(deliver(receiver, vp8Packets(INTER, 1)), [])

    def test_frameThatIsNone(self) -> None:
        deliver(self.receiver, vp8Packets(KEY, 0))
        # Its first partition is longer than the frame.
        self.assertEqual(deliver(self.receiver, vp8Packets(INTER[:-1], 1)), [])
        self.assertEqual(self.receiver.discarded, 1)
        self.assertEqual(deliver(self.receiver, vp8Packets(INTER, 2)), [])

    def test_flushGivesUpWhatMayBeCut(self) -> None:
        deliver(self.receiver, vp8Packets(KEY, 0, 20)[:-1])
        self.assertEqual((self.receiver.flush(), self.receiver.discarded), ((), 1))
        self.assertEqual(deliver(self.receiver, vp8Packets(KEY, 0, 20)[-1:]), [])

    def test_pauseBetweenFrames(self) -> None:
        deliver(self.receiver, vp8Packets(KEY, 0))
        self.assertEqual((self.receiver.flush(), self.receiver.discarded), ((), 0))
        self.assertEqual(deliver(self.receiver, vp8Packets(INTER, 1)), [AccessUnit(1, False, INTER)])

    def test_sizeChanges(self) -> None:
        deliver(self.receiver, vp8Packets(KEY, 0))
        self.assertEqual((self.receiver.width, self.receiver.height), (64, 48))
        deliver(self.receiver, vp8Packets(vp8Frame(True, b"", 1920, 1080), 1))
        self.assertEqual((self.receiver.width, self.receiver.height), (1920, 1080))

    def test_endlessFrame(self) -> None:
        flood(VP8Depacketizer, b"\x10" + KEY, lambda _: b"\x00a", MAX_FRAME // 64)

    def test_largestFrame(self) -> None:
        frame = vp8Frame(True, b"a" * 500_000) + bytes(15_000_000)
        self.assertEqual(deliver(self.receiver, vp8Packets(frame, 0, 1400)), [AccessUnit(0, True, frame)])
        self.assertEqual(len(deliver(self.receiver, vp8Packets(frame, 1, 1400))), 1)
        self.assertEqual(deliver(self.receiver, vp8Packets(frame + bytes(2_000_000), 2, 1400)), [])
        self.assertEqual(self.receiver.discarded, 1)

    @given(st.lists(frames, max_size=8))
    def test_roundTrip(self, parts: list[tuple[bool, int, bytes, int]]) -> None:
        parts = [(True, *part[1:]) if not place else part for place, part in enumerate(parts)]
        made = stream(parts)
        units = deliver(VP8Depacketizer(), [packet for _, packets in made for packet in packets])
        expected = [(place * STEP, part[0], made[place][0]) for place, part in enumerate(parts)]
        self.assertEqual(units, expected)

    @given(st.lists(frames, max_size=8), losses)
    def test_anyLossLeavesWholeFramesThatCanBeDecoded(
        self, parts: list[tuple[bool, int, bytes, int]], missing: set[int]
    ) -> None:
        made = stream(parts)
        expected = []
        decodable = False
        place = 0
        for number, (frame, packets) in enumerate(made):
            whole = missing.isdisjoint(range(place, place + len(packets)))
            decodable = whole and (decodable or parts[number][0])
            place += len(packets)
            if decodable:
                expected.append(AccessUnit(number * STEP, parts[number][0], frame))
        packets = [packet for _, packets in made for packet in packets]
        self.assertEqual(damaged(VP8Depacketizer(), packets, missing), expected)

    @given(noise([b"\x10" + KEY, b"\x90\x80\x80\x01" + KEY, b"\x00", b"\x80\xf0", b"\x10" + INTER[:3]]))
    def test_nothingIsRaised(self, packets: list[tuple[Packet, bool]]) -> None:
        receiver = VP8Depacketizer()
        for packet, lost in packets:
            receiver.receive(*packet, lost)
        receiver.flush()
