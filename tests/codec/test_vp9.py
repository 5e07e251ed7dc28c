"""VP9: headers and superframes that libvpx writes, headers after the specification, and nonsense."""

from base64 import b64decode
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.vp9 import MAX_FRAMES, FrameHeader, joinSuperframe, parseFrameHeader, splitSuperframe
from realtime_tw.errors import LimitExceeded, ProtocolError

#: libvpx by ffmpeg, 34x18, -color_range pc -colorspace bt709: the beginnings of keyframes.
KEYFRAMES = {
    "yuv420p": "8249834250021001160438241c184a00",
    "yuv440p": "a24983425400420022c0870483830940",
    "yuv444p": "a24983425000420022c0470483830940",
    "gbrp": "a2498342e0021001160838241c184a00",
    "yuv420p10": "92498342280108008b011c120e0c2c00",
    "yuv422p12": "b124c1a15600108008b031c120e0c2e0",
}

#: The same encoder: a hidden frame of 93 bytes and a shown one of 28; and one of 253 and 34.
SUPERFRAME = b64decode(
    "hABAhQa2LgAAAoBwZ/AAAH8FA2atwiz55JaZZLvagET6DG0PXwHaFUfy9n5y3KTl/gOCZUU2REaEBA65XcgteTiDoi/6wJLyWcyML5kzF477v2"
    "1gfdryAR88zSkAhgBBDgx8X+AAAyOoAHoo6pFGwoQi4uTbvN7UAMFdHME="
)
LONGER_SUPERFRAME = b64decode(
    "hACASTrQtwAACnBxYAAAfjvO5luBB10euEWGhQ+Nor6zQ6pMvy0/7iMcFA5mJ9oGs6HGtRtJpAKdKE788rXUBgGqYy8+3v9btUd/XX6hfKCFDT"
    "XgzMhUo/sGlmN6uGngDmQOE89pOw27nIjD9DkvwD/+rv/mSL96s9v9b2wtIkd4q/zU0va6XG0l5cRh3k5Km22lvG7Myo9gGbDIJ7HqZy5Utkkm"
    "7EkMOcQJtwL7eKsChEq3HWl+QCQmXnSv3mUSKTvCp69YhdFBi1MElMtGqE7YK5gHkv+hfKMWFAOLpW6GS+eT3Fhl6Rr1XxdBVcSSldtXrazvew"
    "c+CI5wAIYAQJYcnF9gAAMjqAB81Mmr9Is2l1EizJT5++pbiiQiVoDJ/QAiAMk="
)


class Bits(NamedTuple):
    """Writes what a :class:`~realtime_tw.codec.bits.BitReader` reads."""

    text: str = ""

    def put(self, value: int, count: int) -> "Bits":
        return Bits(self.text + format(value, f"0{count}b"))

    def data(self) -> bytes:
        padded = self.text + "0" * (-len(self.text) % 8)
        return int(padded, 2).to_bytes(len(padded) // 8, "big")


class FrameHeaderTests(SynchronousTestCase):
    def test_keyframesOfEveryProfile(self) -> None:
        for name, rest in (
            ("yuv420p", (8, 2, True, 1, 1)),
            ("yuv440p", (8, 2, True, 0, 1)),
            ("yuv444p", (8, 2, True, 0, 0)),
            ("gbrp", (8, 7, True, 0, 0)),
            ("yuv420p10", (10, 2, True, 1, 1)),
            ("yuv422p12", (12, 2, True, 1, 0)),
        ):
            profile = {"yuv420p": 0, "yuv420p10": 2, "yuv422p12": 3}.get(name, 1)
            expected = FrameHeader(profile, False, True, False, True, False, 34, 18, *rest)
            self.assertEqual(parseFrameHeader(bytes.fromhex(KEYFRAMES[name])), expected, name)

    def test_studioRangeOfGStreamer(self) -> None:
        # vp9enc, 64x48: BT.601, not the full range.
        header = parseFrameHeader(bytes.fromhex("82498342 2003f002f60838241c"))
        self.assertEqual((header.width, header.height, header.colorSpace, header.fullRange), (64, 48, 1, False))

    def test_interFrameTakesItsSizeFromAReference(self) -> None:
        self.assertEqual(parseFrameHeader(bytes.fromhex("860040929c2849400003700000")), FrameHeader(0))

    def test_hiddenInterFrame(self) -> None:
        self.assertEqual(parseFrameHeader(SUPERFRAME), FrameHeader(0, shown=False))

    def test_interFrameWithItsOwnSize(self) -> None:
        # Shown, error resilient; 8 bits of what it refreshes, 3 references, found in none of them.
        bits = Bits().put(0b10_00_0_1_1_1, 8).put(0xFF, 8).put(0b0000_0010_0100, 12).put(0, 3)
        data = bits.put(639, 16).put(359, 16).put(0, 8).data()
        self.assertEqual(parseFrameHeader(data), FrameHeader(0, errorResilient=True, width=640, height=360))

    def test_sizeFromTheThirdReference(self) -> None:
        bits = Bits().put(0b10_00_0_1_1_1, 8).put(0xFF, 8).put(0, 12).put(0b001, 3)
        self.assertEqual(parseFrameHeader(bits.data()), FrameHeader(0, errorResilient=True))

    def test_intraOnlyOfProfile0(self) -> None:
        # Hidden, not error resilient: intra_only, two bits of contexts, sync code, what it refreshes, size.
        bits = Bits().put(0b10_00_0_1_0_0, 8).put(0b1_00, 3).put(0x498342, 24).put(0x01, 8).put(319, 16).put(239, 16)
        expected = FrameHeader(0, False, False, True, False, False, 320, 240, 8, 1, False, 1, 1)
        self.assertEqual(parseFrameHeader(bits.data()), expected)

    def test_intraOnlyOfProfile3HasTheLongestHeader(self) -> None:
        bits = Bits().put(0b10_11_0_0_1_0_0, 9).put(0b1_00, 3).put(0x498342, 24).put(0b1_010_1_1_0_0, 8)
        data = bits.put(0x01, 8).put(319, 16).put(239, 16).data()
        expected = FrameHeader(3, False, False, True, False, False, 320, 240, 12, 2, True, 1, 0)
        self.assertEqual(parseFrameHeader(data), expected)

    def test_showExistingFrame(self) -> None:
        self.assertEqual(parseFrameHeader(b"\x8a"), FrameHeader(0, showExisting=True))
        self.assertEqual(parseFrameHeader(b"\xb4\x80"), FrameHeader(3, showExisting=True))
        # The last bit of what is shown is missing.
        with self.assertRaises(ProtocolError):
            parseFrameHeader(b"\xb4")

    def test_nonsense(self) -> None:
        for data in (
            b"",
            b"\x42" + bytes(16),
            # Profile above 3.
            b"\xb8" + bytes(16),
            # A keyframe and an intra-only frame with another sync code.
            bytes.fromhex("82498343 5002100116"),
            Bits().put(0b10_00_0_1_0_0, 8).put(0b1_00, 3).put(0x498343, 24).put(0, 60).data(),
            # sRGB in profiles 0 and 2.
            bytes.fromhex("82498342 e002100116"),
            Bits().put(0b10_01_0_0_1_0, 8).put(0x498342, 24).put(0b0_111_0000, 8).put(0, 40).data(),
            # 4:2:0 in profile 1, and its reserved bit.
            Bits().put(0b10_10_0_0_1_0, 8).put(0x498342, 24).put(0b010_0_1_1_0_0, 8).put(0, 40).data(),
            Bits().put(0b10_10_0_0_1_0, 8).put(0x498342, 24).put(0b010_0_0_0_1_0, 8).put(0, 40).data(),
        ):
            with self.assertRaises(ProtocolError):
                parseFrameHeader(data)

    def test_cutShort(self) -> None:
        data = bytes.fromhex(KEYFRAMES["yuv422p12"])
        self.assertEqual(parseFrameHeader(data[:10]), parseFrameHeader(data))
        for length in range(9):
            with self.assertRaises(ProtocolError):
                parseFrameHeader(data[:length])

    @given(st.binary(max_size=40))
    def test_nothingElseIsRaised(self, data: bytes) -> None:
        try:
            header = parseFrameHeader(data)
        except ProtocolError:
            return
        if header.keyframe:
            self.assertTrue(header.width and header.height and header.bitDepth in (8, 10, 12))


class SuperframeTests(SynchronousTestCase):
    def test_ofLibvpx(self) -> None:
        for data, sizes in ((SUPERFRAME, [93, 28]), (LONGER_SUPERFRAME, [253, 34])):
            frames = splitSuperframe(data)
            self.assertEqual(list(map(len, frames)), sizes)
            self.assertEqual([parseFrameHeader(frame).shown for frame in frames], [False, True])
            self.assertEqual(b"".join(frames), data[: sum(sizes)])

    def test_joinedAsLibvpxDoes(self) -> None:
        self.assertEqual(joinSuperframe(splitSuperframe(SUPERFRAME)), SUPERFRAME)

    def test_indexOfTwoBytes(self) -> None:
        data = joinSuperframe([bytes(256), bytes(3)])
        self.assertEqual(data[259:], bytes.fromhex("c9 0001 0300 c9"))
        self.assertEqual(splitSuperframe(data), [bytes(256), bytes(3)])

    def test_oneFrameHasNoIndex(self) -> None:
        self.assertEqual(joinSuperframe([b"frame"]), b"frame")
        self.assertEqual(splitSuperframe(b"frame"), [b"frame"])

    def test_indexOfOneFrameIsTakenOff(self) -> None:
        self.assertEqual(splitSuperframe(b"frame" + bytes.fromhex("c0 05 c0")), [b"frame"])

    def test_byteOfAnIndexByChance(self) -> None:
        # No room for the index; and another byte where it would begin.
        for data in (
            b"\xc1",
            b"ab\xc1",
            b"frame" + bytes.fromhex("c0 0101 c1"),
            b"frame" + bytes.fromhex("e1 0203 e1"),
        ):
            self.assertEqual(splitSuperframe(data), [data])

    def test_indexThatAsksForMoreThanThereIs(self) -> None:
        for index in ("c1 0501 c1", "c1 0600 c1", "c8 ff00 c8", "d8 ffffffff d8"):
            with self.assertRaises(ProtocolError):
                splitSuperframe(b"frame" + bytes.fromhex(index))

    def test_layerWithoutFrame(self) -> None:
        self.assertEqual(splitSuperframe(b"frame" + bytes.fromhex("c2 020003 c2")), [b"fr", b"ame"])

    def test_nothingInside(self) -> None:
        for data in (b"", bytes.fromhex("c1 0000 c1")):
            with self.assertRaises(ProtocolError):
                splitSuperframe(data)

    def test_moreFramesThanAnIndexHolds(self) -> None:
        self.assertEqual(len(splitSuperframe(joinSuperframe([b"a"] * MAX_FRAMES))), 8)
        for frames in ([b"a"] * (MAX_FRAMES + 1), []):
            with self.assertRaises(LimitExceeded):
                joinSuperframe(frames)

    @given(st.lists(st.binary(min_size=1, max_size=300), min_size=2, max_size=MAX_FRAMES))
    def test_roundTrip(self, frames: list[bytes]) -> None:
        self.assertEqual(splitSuperframe(joinSuperframe(frames)), frames)

    @given(st.builds(bytes.__add__, st.binary(), st.sampled_from([b"", b"\xc0\x01\xc0", b"\xc9", b"\xdf"])))
    def test_nothingElseIsRaised(self, data: bytes) -> None:
        try:
            frames = splitSuperframe(data)
        except ProtocolError:
            return
        self.assertTrue(all(frames))
        self.assertTrue(data.startswith(b"".join(frames)))
