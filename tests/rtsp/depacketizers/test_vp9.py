"""VP9 from packets: those of ffmpeg and GStreamer, every form of descriptor, spatial layers, loss, and nonsense."""

from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.vp9 import joinSuperframe, splitSuperframe
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import MAX_FRAME
from realtime_tw.rtsp.depacketizers.vp9 import VP9Depacketizer
from tests.rtsp.videopacketizers import (
    STEP,
    VP9_STYLES,
    Packet,
    VP9Style,
    captured,
    damaged,
    deliver,
    flood,
    losses,
    noise,
    vp9Frame,
    vp9Packets,
)

#: ffmpeg -f lavfi -i testsrc2=size=32x32:rate=25 -c:v libvpx-vp9 -g 3 -b:v 20k -strict experimental -f rtp rtp://...
FFMPEG = captured("""
0 0
CIJJg0IAAfAB9jA4JBwZQAAAYFBgH80AAHd//5OQwILfRT7Ph1DzzIqd/3K2V1sy1zobpiul8BQKbyp+s5J9/FHQhk9bFPhxFXTVffBRy+S49VUn
fECZPbc3kJ0Qf+vy5RhQydNhV52evw3WerH3eYaZy7keqF238o97W5nb0HIRCeh2vvLhph3c
0 1
BLFO+011chd2JbO/gBht+JyVyzpCzYPVg/P2/u/oAfay8Ptw7nOlAZJTffqGb00MCUuhcP+rSKVXzuSbYlv049N6KvTX3fA9zZbgbRVpGSUywrkH
HU/RQkOEeHq69RkTCc+lEN/SIQVVGRr3Zisqc6X9LVTxTgEPqBeJRXwA
3600 1
DIYAQJKcfFTgAANwAABqY9GzYgBtkboAAijBbgANPoAAfXCg
7200 1
DIYAQJKcgFUgAANwAABDQA==
""")

#: videotestsrc ! video/x-raw,format=I420,width=32,height=32 ! vp9enc keyframe-max-dist=3 ! rtpvp9pay picture-id-mode=2
GSTREAMER = captured("""
0 1
jtnlGAAgACABBAGCSYNCIAHwAfYQOCQcGUAAACAgAH8a3J/JYYewRipZlaiBbR8IujmapkycQQu+f6OLIOODJys2nQT3/sK8/1ASA7rKCFLGAA==
2999 1
zNnmhgBAkpwQVOAAAyAAAE1mAA==
5999 1
zNnnhgBAkpwQVSAAAyAAAEyoAA==
9000 1
jtnoGAAgACABBAGCSYNCIAHwAfY+OCQcGUAAACAgAH8a3J7Wx/1mv6DtJUT2KuzHcGjMZ+DQU25A+HhgO3XsnRjwKG6FhLY8veA1Xr24mBsA
""")

#: What its vp9enc gave to rtpvp9pay.
GSTREAMER_FRAMES = [
    b64decode("gkmDQiAB8AH2EDgkHBlAAAAgIAB/GtyfyWGHsEYqWZWogW0fCLo5mqZMnEELvn+jiyDjgycrNp0E9/7CvP9QEgO6yghSxgA="),
    b64decode("hgBAkpwQVOAAAyAAAE1mAA=="),
    b64decode("hgBAkpwQVSAAAyAAAEyoAA=="),
    b64decode("gkmDQiAB8AH2PjgkHBlAAAAgIAB/Gtye1sf9Zr+g7SVE9irsx3BozGfg0FNuQPh4YDt17J0Y8ChuhYS2PL3gNV69uJgbAA=="),
]

#: Of libvpx: a hidden frame and a shown one.
SUPERFRAME = b64decode(
    "hABAhQa2LgAAAoBwZ/AAAH8FA2atwiz55JaZZLvagET6DG0PXwHaFUfy9n5y3KTl/gOCZUU2REaEBA65XcgteTiDoi/6wJLyWcyML5kzF477v2"
    "1gfdryAR88zSkAhgBBDgx8X+AAAyOoAHoo6pFGwoQi4uTbvN7UAMFdHME="
)

KEY = vp9Frame(True, b"key" * 30)
INTER = vp9Frame(False, b"inter" * 20)
#: An inter frame that tells its own size, 128x96: a higher layer of a key picture.
LAYER = bytes.fromhex("86 00 00 00 00 3f 80 2f 80") + b"layer" * 20
LAYERED = VP9Style(True, b"\x91\x11", True)

#: What a picture is made of: whether it is a keyframe, the lengths of its layers, the descriptor's form, the size of
#: its packets.
pictures = st.tuples(
    st.booleans(),
    st.lists(st.integers(0, 60), min_size=1, max_size=3),
    st.sampled_from(VP9_STYLES),
    st.integers(1, 50),
)
Part = tuple[bool, list[int], VP9Style, int]


def stream(parts: list[Part]) -> list[tuple[bytes, list[Packet]]]:
    """Superframes and their packets."""
    made = []
    for place, (keyframe, lengths, style, size) in enumerate(parts):
        frames = []
        for layer, length in enumerate(lengths):
            frames.append(vp9Frame(keyframe and not layer, bytes([place]) * length + b"."))
        made.append((joinSuperframe(frames), vp9Packets(frames, place * STEP, size, style, keyframe)))
    return made


class VP9DepacketizerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.receiver = VP9Depacketizer()

    def test_ffmpeg(self) -> None:
        units = deliver(self.receiver, FFMPEG)
        self.assertEqual([(unit.time, unit.keyframe) for unit in units], [(0, True), (3600, False), (7200, False)])
        # Its descriptors have one byte, and never say that a frame is predicted.
        self.assertEqual(units[0].data, FFMPEG[0].payload[1:] + FFMPEG[1].payload[1:])
        self.assertEqual([unit.data for unit in units[1:]], [packet.payload[1:] for packet in FFMPEG[2:4]])
        self.assertEqual((self.receiver.width, self.receiver.height), (32, 32))
        self.assertEqual((self.receiver.discarded, self.receiver.config), (0, b""))

    def test_gstreamer(self) -> None:
        units = deliver(self.receiver, GSTREAMER)
        self.assertEqual([unit.data for unit in units], GSTREAMER_FRAMES)
        self.assertEqual([unit.keyframe for unit in units], [True, False, False, True])
        self.assertEqual([unit.time for unit in units], [0, 2999, 5999, 9000])

    def test_superframeOfTheEncoderStaysAsItIs(self) -> None:
        packets = [*vp9Packets([KEY], 0), *vp9Packets([SUPERFRAME], 1, 50)]
        self.assertEqual(deliver(self.receiver, packets), [AccessUnit(0, True, KEY), (1, False, SUPERFRAME)])

    def test_layersBecomeTheEncodersSuperframe(self) -> None:
        packets = [*vp9Packets([KEY], 0), *vp9Packets(splitSuperframe(SUPERFRAME), 1, 50, LAYERED)]
        self.assertEqual(deliver(self.receiver, packets)[1], AccessUnit(1, False, SUPERFRAME))

    def test_layerThatIsASuperframe(self) -> None:
        packets = vp9Packets([KEY, SUPERFRAME], 0, 50, LAYERED, True)
        expected = joinSuperframe([KEY, *splitSuperframe(SUPERFRAME)])
        self.assertEqual(deliver(self.receiver, packets), [AccessUnit(0, True, expected)])

    def test_sizeIsThatOfTheHighestLayer(self) -> None:
        deliver(self.receiver, vp9Packets([KEY, LAYER], 0, 50, LAYERED, True))
        self.assertEqual((self.receiver.width, self.receiver.height), (128, 96))
        deliver(self.receiver, vp9Packets([KEY], 1, keyframe=True))
        self.assertEqual((self.receiver.width, self.receiver.height), (64, 48))
        self.assertEqual(len(deliver(self.receiver, vp9Packets([LAYER], 2))), 1)
        self.assertEqual((self.receiver.width, self.receiver.height), (64, 48))

    def test_decodingBeginsWithTheLowestLayer(self) -> None:
        [packet] = vp9Packets([KEY], 0, style=LAYERED, keyframe=True)
        # The same as layer 1.
        higher = packet._replace(payload=packet.payload[:3] + b"\x02" + packet.payload[4:])
        self.assertEqual(deliver(self.receiver, [higher]), [])
        self.assertEqual(len(deliver(self.receiver, [packet])), 1)

    def test_frameWithoutEndBit(self) -> None:
        packets = vp9Packets([KEY, INTER], 0, 50)
        packets = [
            packet._replace(payload=bytes([packet.payload[0] & 0xFB]) + packet.payload[1:]) for packet in packets
        ]
        self.assertEqual(deliver(self.receiver, packets), [AccessUnit(0, True, joinSuperframe([KEY, INTER]))])

    def test_moreAfterTheEndOfAFrame(self) -> None:
        packets = [Packet(b"\x0c" + KEY, 0, False), Packet(b"\x04more", 0, True)]
        self.assertEqual(deliver(self.receiver, packets), [])
        self.assertEqual(self.receiver.discarded, 1)

    def test_tooManyLayers(self) -> None:
        self.assertEqual(deliver(self.receiver, vp9Packets([KEY, *[INTER] * 8], 0)), [])
        self.assertEqual(self.receiver.discarded, 1)
        # And a superframe among them, which is counted only when it is known.
        self.assertEqual(deliver(self.receiver, vp9Packets([KEY, *[SUPERFRAME] * 4], 0)), [])
        self.assertEqual(self.receiver.discarded, 2)
        frames = [KEY, *[INTER] * 7]
        self.assertEqual(deliver(self.receiver, vp9Packets(frames, 0))[0].data, joinSuperframe(frames))

    def test_nothingBeforeTheFirstKeyframe(self) -> None:
        self.assertEqual(deliver(self.receiver, [*FFMPEG[1:4], *vp9Packets([INTER], 1)]), [])
        self.assertEqual(deliver(self.receiver, vp9Packets([KEY], 2)), [AccessUnit(2, True, KEY)])
        self.assertEqual(self.receiver.discarded, 0)

    def test_lossBetweenFramesWaitsForAKeyframe(self) -> None:
        deliver(self.receiver, vp9Packets([KEY], 0))
        [packet] = vp9Packets([INTER], 2)
        self.assertEqual(self.receiver.receive(*packet, True), ())
        self.assertEqual(deliver(self.receiver, vp9Packets([INTER], 3)), [])
        [packet] = vp9Packets([KEY], 4)
        self.assertEqual(self.receiver.receive(*packet, True), [AccessUnit(4, True, KEY)])

    def test_lostMarkerIsSeenByTheTime(self) -> None:
        packets = [packet._replace(marker=False) for packet in vp9Packets([KEY, INTER], 0, 20)]
        self.assertEqual(deliver(self.receiver, packets), [])
        expected = [AccessUnit(0, True, joinSuperframe([KEY, INTER])), AccessUnit(1, False, INTER)]
        self.assertEqual(deliver(self.receiver, vp9Packets([INTER], 1)), expected)

    def test_emptyPacketsMeanNothing(self) -> None:
        packets = vp9Packets([KEY], 0, 20)
        packets[1:1] = [Packet(b"", 0, False)]
        self.assertEqual(deliver(self.receiver, packets), [AccessUnit(0, True, KEY)])

    def test_descriptorCutShort(self) -> None:
        # Everything that there is: 15-bit PictureID, layers, references, structure.
        for descriptor in (
            bytes.fromhex("fe 9111 02 0304 58 00100010 00200020 00400040 02 0c010203 20"),
            bytes.fromhex("ee 11 02 07 18 00100010 01 04 01"),
            bytes.fromhex("d4 9111 03 05 06"),
        ):
            for length in range(1, len(descriptor) + 1):
                receiver = VP9Depacketizer()
                deliver(receiver, vp9Packets([KEY], 0, 20)[:2])
                self.assertEqual(receiver.receive(descriptor[:length], 0, True, False), ())
                self.assertEqual(receiver.discarded, 1, descriptor[:length].hex())
                self.assertEqual(deliver(receiver, vp9Packets([INTER], 1)), [])

    def test_fourReferences(self) -> None:
        deliver(self.receiver, vp9Packets([KEY], 0))
        self.assertEqual(deliver(self.receiver, [Packet(bytes.fromhex("dc 11 03 05 07 06") + INTER, 1, True)]), [])
        self.assertEqual(deliver(self.receiver, vp9Packets([INTER], 2)), [])

    def test_referencesOnlyInFlexibleModeOfPredictedFrames(self) -> None:
        for first in (b"\x9c\x11", b"\xcc\x11"):
            receiver = VP9Depacketizer()
            self.assertEqual(deliver(receiver, [Packet(first + KEY, 0, True)]), [AccessUnit(0, True, KEY)])

    def test_frameThatIsNone(self) -> None:
        deliver(self.receiver, vp9Packets([KEY], 0))
        self.assertEqual(deliver(self.receiver, vp9Packets([b"\x42" + INTER], 1)), [])
        self.assertEqual(self.receiver.discarded, 1)
        self.assertEqual(deliver(self.receiver, vp9Packets([INTER], 2)), [])

    def test_shownAgain(self) -> None:
        deliver(self.receiver, vp9Packets([KEY], 0))
        self.assertEqual(deliver(self.receiver, vp9Packets([b"\x88"], 1)), [AccessUnit(1, False, b"\x88")])

    def test_flushOfAWholeFrameWithoutMarker(self) -> None:
        deliver(self.receiver, [packet._replace(marker=False) for packet in vp9Packets([KEY], 0, 20)])
        self.assertEqual(self.receiver.flush(), (AccessUnit(0, True, KEY),))
        # There may have been another layer.
        self.assertEqual(deliver(self.receiver, vp9Packets([INTER], 1)), [])

    def test_flushGivesUpWhatIsCut(self) -> None:
        deliver(self.receiver, vp9Packets([KEY, INTER], 0, 20)[:-1])
        self.assertEqual((self.receiver.flush(), self.receiver.discarded), ((), 1))
        self.assertEqual(self.receiver.flush(), ())

    def test_pauseBetweenFrames(self) -> None:
        deliver(self.receiver, vp9Packets([KEY], 0))
        self.assertEqual((self.receiver.flush(), self.receiver.discarded), ((), 0))
        self.assertEqual(deliver(self.receiver, vp9Packets([INTER], 1)), [AccessUnit(1, False, INTER)])

    def test_endlessFrame(self) -> None:
        flood(VP9Depacketizer, b"\x08" + KEY, lambda _: b"\x00a", MAX_FRAME // 64)

    def test_endlessPicture(self) -> None:
        flood(VP9Depacketizer, b"\x0c" + KEY, lambda _: b"\x0ca", 8)

    def test_layersAreCountedTogether(self) -> None:
        # Each of them is allowed alone.
        frames = [KEY + bytes(9_000_000), INTER + bytes(9_000_000)]
        self.assertEqual(deliver(self.receiver, vp9Packets(frames, 0, 1400)), [])
        self.assertEqual(self.receiver.discarded, 1)
        for time in (1, 2):
            self.assertEqual(len(deliver(self.receiver, vp9Packets(frames[:1], time, 1400))), 1)

    def test_whatEndsLikeAnIndexThatLeavesNothingOfTheFrame(self) -> None:
        # Found by fuzzing: such frames were joined to one that no decoder could begin with.
        depacketizer = VP9Depacketizer()
        self.assertEqual(list(depacketizer.receive(b"\x0c" + KEY + b"\xc0\x02\xc0", 0, True, False)), [])
        self.assertEqual(depacketizer.discarded, 1)

    @given(st.lists(pictures, max_size=6))
    def test_roundTrip(self, parts: list[Part]) -> None:
        made = stream(parts)
        receiver = VP9Depacketizer()
        units = deliver(receiver, vp9Packets([KEY], -1) + [packet for _, packets in made for packet in packets])
        self.assertEqual([unit.data for unit in units], [KEY, *[data for data, _ in made]])
        self.assertEqual(receiver.discarded, 0)

    @given(st.lists(pictures, max_size=6), losses)
    def test_anyLossLeavesWholePicturesThatCanBeDecoded(self, parts: list[Part], missing: set[int]) -> None:
        parts = [(keyframe, lengths, style, size + 20) for keyframe, lengths, style, size in parts]
        made = stream(parts)
        expected = []
        decodable = False
        place = 0
        for number, (data, packets) in enumerate(made):
            whole = missing.isdisjoint(range(place, place + len(packets)))
            decodable = whole and (decodable or parts[number][0])
            place += len(packets)
            if decodable:
                expected.append(AccessUnit(number * STEP, parts[number][0], data))
        packets = [packet for _, packets in made for packet in packets]
        self.assertEqual(damaged(VP9Depacketizer(), packets, missing), expected)

    @given(noise([b"\x08" + KEY, b"\x0c" + INTER, b"\x04", b"\xfe\x91\x11\x00", b"\x8a\x11\xff", b"\x0a\x08"]))
    def test_nothingIsRaised(self, packets: list[tuple[Packet, bool]]) -> None:
        receiver = VP9Depacketizer()
        for packet, lost in packets:
            receiver.receive(*packet, lost)
        receiver.flush()
