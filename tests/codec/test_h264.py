"""
H264 parameter sets and forms. The configurations are what ffmpeg 5.1 wrote into MP4 files for streams of libx264; the
sizes and the reordering are what ffprobe and trace_headers of ffmpeg say about the same bytes.
"""

import contextlib

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.h264 import (
    MAX_NALS,
    MAX_PARAMETER_SET,
    annexB,
    avcConfig,
    fromAnnexB,
    isIntraSlice,
    lengthPrefixed,
    parameterSetId,
    parseAVCConfig,
    parseSPS,
    recoveryFrameCount,
    splitAnnexB,
    splitLengthPrefixed,
    toAnnexB,
)
from realtime_tw.errors import LimitExceeded, ProtocolError
from tests.rtsp.packetizers import escape

#: Configuration, profile, constraints, level, chroma format, bit depth, width, height, frames only, reordering.
FILES = {
    "constrained baseline": (
        "0142c00dffe100196742c00dda05421e2223011000000300100000030320f142aa01000468ce0fc8",
        (66, 0xC0, 13, 1, 8, 322, 242, True, 0),
    ),
    "high, B frames": (
        "0164000dffe1001b6764000dacd94150878888c044000003000400000300c83c50a65801000468ef8fcbfdf8f800",
        (100, 0, 13, 1, 8, 322, 242, True, 2),
    ),
    "high, zerolatency": (
        "0164000dffe100196764000dacb40a843c44460220000003002000000651e2855401000468ef0fcbfdf8f800",
        (100, 0, 13, 1, 8, 322, 242, True, 0),
    ),
    "high, 1920x1080": (
        "01640028ffe1001f67640028acd940780227e5ffc16a41e404000003000400000300c83c60c65801000468ef8fcbfdf8f800",
        (100, 0, 40, 1, 8, 1920, 1080, True, 2),
    ),
    "high, HRD and colours": (
        "0164000dffe100296764000dacd94150878888c3adc04080a940000003004000000c9808007a10001e84e4c30078a14cb001000468efbcb0"
        "fdf8f800",
        (100, 0, 13, 1, 8, 322, 242, True, 2),
    ),
    "high, interlaced": (
        "01640015ffe1001967640015acd941510f3c98088000000300800000190f8a14cb01000468fe8fcbfdf8f800",
        (100, 0, 21, 1, 8, 324, 244, False, 2),
    ),
    "high, grey": (
        "0164000dffe1001a6764000df36505421e3e3f016c800000030080000019078a14cb01000468ef8fcbfcf8f800",
        (100, 0, 13, 0, 8, 322, 242, True, 2),
    ),
    "high 10": (
        "016e000dffe1001b676e000da6cd94150878888c0440000003004000000c83c50a658001000468ef8fcbfdfafa00",
        (110, 0, 13, 1, 10, 322, 242, True, 2),
    ),
    "high 4:2:2": (
        "017a000dffe1001b677a000db6cd9415087888fc0440000003004000000c83c50a658001000468ef8fcbfefafa00",
        (122, 0, 13, 2, 10, 322, 242, True, 2),
    ),
    "high 4:4:4": (
        "01f4000dffe1001a67f4000d919b282a10f1f1f808800000030080000019078a14cb01000668ef8f192190fff8f800",
        (244, 0, 13, 3, 8, 322, 242, True, 2),
    ),
}

#: SPS with what libx264 does not write: scaling lists, order types 1 and 2, both HRDs, cropped fields. Then width,
#: height, reordering, chroma format.
WRITTEN = {
    "fields, cropped": (
        "6764001eacd94151269917fe000800076a020203e000000300200000065a11007d2007d1003e9003e8bffffe84401f4801f4400fa400fa2f"
        "ffff76850a2160",
        (330, 272, 3, 1),
    ),
    "fields of 4:2:2 with scaling lists and order type 1": (
        "677a001ebd423154e9d3a74d08c553a74e9d342342a226050282a24d322ffc0010000ed4040407c0000003004000000cb42200fa400fa200"
        "7d2007d17ffffd08803e9003e8801f4801f45ffffeed0a148b",
        (330, 280, 1, 2),
    ),
    "4:4:4 with twelve scaling lists": (
        "67f4001e91a8462a9d3a74e9a118aa74e9d3a68462a9d3a74e9d3a74e9d3a74e9d3a74e9d3a74e9a118aa74e9d3a74e9d3a74e9d3a74e9d3"
        "a74e9d3a742a226050282a11e990bff80020001da808080f800000030080000019684401f4801f4400fa400fa2fffffa11007d2007d1003e"
        "9003e8bffffdda142a58",
        (333, 265, 0, 3),
    ),
    "separate colour planes, order type 2": (
        "67f4001e93a8462a9d3a74e9a118aa74e9d3a68462a9d3a74e9d3a74e9d3a74e9d3a74e9d3a74e9a118aa74e9d3a74e9d3a74e9d3a74e9d3"
        "a74e9d3a76505423d3217ff00040003b5010101f00000300010000030032d08803e9003e8801f4801f45fffff42200fa400fa2007d2007d1"
        "7ffffbb428532c",
        (333, 265, 2, 3),
    ),
    "grey, cropped": (
        "6764001ef508c553a74e9d3423154e9d3a74d08eca0a847a642ffe000800076a020203e000000300200000065a11007d2007d1003e9003e8"
        "bffffe84401f4801f4400fa400fa2fffff76850a6580",
        (333, 265, 2, 0),
    ),
    "main, order type 1": (
        "674d001ed0a8898140a0a8477fe000800076a020203e00000300020000030065a11007d2007d1003e9003e8bffffe84401f4801f4400fa40"
        "0fa2fffff76850a458",
        (336, 272, 1, 1),
    ),
    "main without VUI": ("674d001eeca0a84720", (336, 272, None, 1)),
    "high intra without VUI": ("6764101eacd941508e40", (336, 272, 0, 1)),
    "main without VUI, order type 2": ("674d001ed941508e40", (336, 272, 0, 1)),
    "baseline without VUI": ("6742001eeca0a84720", (336, 272, 0, 1)),
}

SPS_NAL = bytes.fromhex("6764000dacb40a843c44460220000003002000000651e28554")
PPS_NAL = bytes.fromhex("68ef0fcb")

#: Anything but zeros at its end, as the trailing bits of every NAL unit ensure.
NALS = st.binary(min_size=1, max_size=40).map(lambda content: escape(content + b"\x80"))


class ParameterSetTests(SynchronousTestCase):
    def test_filesOfFfmpeg(self) -> None:
        for name, (config, expected) in FILES.items():
            spsList, ppsList = parseAVCConfig(bytes.fromhex(config))
            sps = parseSPS(spsList[0])
            sequence = (sps.profile, sps.constraints, sps.level, sps.chromaFormat, sps.bitDepthLuma)
            self.assertEqual((*sequence, sps.width, sps.height, sps.frameMbsOnly, sps.reorder), expected, name)
            self.assertEqual((sps.id, sps.bitDepthChroma), (0, sps.bitDepthLuma))
            self.assertEqual(avcConfig(spsList, ppsList).hex(), config, name)

    def test_whatLibx264DoesNotWrite(self) -> None:
        for name, (nal, expected) in WRITTEN.items():
            sps = parseSPS(bytes.fromhex(nal))
            self.assertEqual((sps.width, sps.height, sps.reorder, sps.chromaFormat), expected, name)

    def test_VUIThatIsCutShortDoesNotCostTheSize(self) -> None:
        whole = bytes.fromhex(FILES["high, B frames"][0])[8:35]
        self.assertEqual(parseSPS(whole).reorder, 2)
        for size in range(14, 26):
            sps = parseSPS(whole[:size])
            self.assertEqual((sps.width, sps.height, sps.reorder), (322, 242, None))
        for size in range(11):
            with self.assertRaises(ProtocolError):
                parseSPS(whole[:size])

    def test_pictureOfNothing(self) -> None:
        # 16 by 16 samples of Baseline, and 16 of them cropped.
        digits = f"{66:08b}{0:08b}{30:08b}" + "1" + "1" + "1" + "1" + "1" + "0" + "1" + "1" + "1" + "1"
        for offsets, width in (("1" + "1" + "1" + "1", 16), ("0001000" + "1" + "1" + "1", 2), ("0001001111", 0)):
            bits = digits + "1" + offsets + "01"
            nal = b"\x67" + int(bits.ljust(80, "0"), 2).to_bytes(10)
            if width:
                self.assertEqual(parseSPS(nal).width, width)
            else:
                with self.assertRaises(ProtocolError):
                    parseSPS(nal)

    def test_notAnSPS(self) -> None:
        for nal in (b"", b"\x67", PPS_NAL, b"\xe7" + SPS_NAL[1:], SPS_NAL + bytes(MAX_PARAMETER_SET)):
            with self.assertRaises(ProtocolError):
                parseSPS(nal)

    def test_ids(self) -> None:
        self.assertEqual(parameterSetId(SPS_NAL), 0)
        self.assertEqual(parameterSetId(PPS_NAL), 0)
        # Exp-Golomb codes of 5 and 31, and of 255 and 31.
        self.assertEqual(parameterSetId(b"\x67\x42\0\x1e\x37"), 5)
        self.assertEqual(parameterSetId(b"\x67\x42\0\x1e\x04\x10"), 31)
        self.assertEqual(parameterSetId(b"\x68" + (0b1_0000_0000_0000_0100_000 << 4).to_bytes(4)), 255)
        self.assertEqual(parameterSetId(b"\x6d\x37"), 5)
        for nal in (b"", b"\x65\x88", b"\x67\x42\0\x1e\x04\x20", b"\x68\x00\x80\x80\x80"):
            with self.assertRaises(ProtocolError):
                parameterSetId(nal)

    @given(st.binary(max_size=80), st.sampled_from((0x67, 0x68, 0x6D, 0x65, 0x06, 0x27)))
    @example(b"\xf4\0\x1e\x93\xff" + b"\xff" * 70, 0x67)
    def test_anythingIsOurErrorOrSense(self, content: bytes, head: int) -> None:
        nal = bytes((head,)) + content
        for call in (parseSPS, parameterSetId):
            with contextlib.suppress(ProtocolError):
                call(nal)
        isIntraSlice(nal)
        recoveryFrameCount(nal)

    @given(st.sampled_from([bytes.fromhex(config)[8:] for config, _ in FILES.values()]), st.data())
    def test_anyChangedByte(self, nal: bytes, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(nal) - 1))
        nal = nal[:at] + bytes((data.draw(st.integers(0, 255)),)) + nal[at + 1 :]
        try:
            sps = parseSPS(nal)
        except ProtocolError:
            return
        self.assertTrue(0 < sps.width <= 16888 and 0 < sps.height <= 16888)


class MessageTests(SynchronousTestCase):
    def test_recoveryPoint(self) -> None:
        # As libx264 writes it with open GOPs: count 0, exact match.
        self.assertEqual(recoveryFrameCount(bytes.fromhex("060601c480")), 0)
        # With --intra-refresh: 24 frames.
        self.assertEqual(recoveryFrameCount(bytes((6, 6, 2, 0b00001100, 0b11100000, 0x80))), 24)

    def test_behindOtherMessages(self) -> None:
        user = b"\x05\xff\x01" + bytes.fromhex("11") * 256
        self.assertEqual(recoveryFrameCount(b"\x06" + user + bytes.fromhex("0601c480")), 0)
        self.assertIsNone(recoveryFrameCount(b"\x06" + user + b"\x80"))

    def test_cutShort(self) -> None:
        whole = b"\x06\x05\xff\x01" + b"\x11" * 256 + bytes.fromhex("0601c480")
        for size in range(len(whole) - 2):
            self.assertIsNone(recoveryFrameCount(whole[:size]))
        # A message without content.
        self.assertIsNone(recoveryFrameCount(b"\x06\x06\x00\x80\x80"))

    def test_slices(self) -> None:
        # first_mb_in_slice 0, then slice_type: P, B, I, SP, SI, and the same for the whole picture.
        codes = ["1", "010", "011", "00100", "00101", "00110", "00111", "0001000", "0001001", "0001010"]
        found = [isIntraSlice(bytes((0x41, int(("1" + code + "1").ljust(16, "0")[:8], 2), 0x80))) for code in codes]
        self.assertEqual(found, [False, False, True, False, True] * 2)
        self.assertFalse(isIntraSlice(b"\x41"))


class ConfigTests(SynchronousTestCase):
    def test_severalSetsAndExtension(self) -> None:
        extension = b"\x6d\x80"
        config = avcConfig([SPS_NAL, SPS_NAL], [PPS_NAL, PPS_NAL], [extension])
        sps, pps = b"\0\x19" + SPS_NAL, b"\0\x04" + PPS_NAL
        head, tail = bytes.fromhex("0164000dffe2"), bytes.fromhex("fdf8f801 0002 6d80")
        self.assertEqual(config, head + sps * 2 + b"\x02" + pps * 2 + tail)
        self.assertEqual(parseAVCConfig(config), ([SPS_NAL] * 2, [PPS_NAL] * 2))

    def test_whatCannotBeOne(self) -> None:
        for sets in (([], [PPS_NAL]), ([SPS_NAL], []), ([PPS_NAL], [PPS_NAL])):
            with self.assertRaises(ProtocolError):
                avcConfig(*sets)
        for sets in (
            ([SPS_NAL] * 32, [PPS_NAL]),
            ([SPS_NAL], [PPS_NAL] * 256),
            ([SPS_NAL], [bytes(MAX_PARAMETER_SET + 1)]),
        ):
            with self.assertRaises(LimitExceeded):
                avcConfig(*sets)

    def test_damagedConfig(self) -> None:
        whole = bytes.fromhex(FILES["constrained baseline"][0])
        for size in range(len(whole)):
            with self.assertRaises(ProtocolError):
                parseAVCConfig(whole[:size])
        for bad in (b"\2" + whole[1:], whole[:4] + b"\xfd" + whole[5:], whole[:6] + b"\0\0" + whole[8:]):
            with self.assertRaises(ProtocolError):
                parseAVCConfig(bad)

    @given(st.binary(max_size=60))
    def test_anyBytes(self, config: bytes) -> None:
        for data in (config, b"\1\x42\0\x1e\xff" + config):
            with contextlib.suppress(ProtocolError):
                parseAVCConfig(data)


class FormTests(SynchronousTestCase):
    def test_startCodes(self) -> None:
        data = b"\0\0\0\1\x67abc\0\0\1\x68d\0\0\0\0\1\x65\0\0\3\1e\0\0"
        nals = [b"\x67abc", b"\x68d", b"\x65\0\0\3\1e"]
        self.assertEqual(splitAnnexB(data), nals)
        self.assertEqual(fromAnnexB(data), b"\0\0\0\4\x67abc\0\0\0\2\x68d\0\0\0\6\x65\0\0\3\1e")
        self.assertEqual(annexB(nals), b"\0\0\0\1\x67abc\0\0\0\1\x68d\0\0\0\1\x65\0\0\3\1e")

    def test_notAnnexB(self) -> None:
        for data in (b"", b"\0\0", b"\x67abc", b"\x67\0\0\1\x68"):
            with self.assertRaises(ProtocolError):
                splitAnnexB(data)

    def test_frames(self) -> None:
        config = avcConfig([SPS_NAL], [PPS_NAL])
        data = b"\0\0\0\2\x65a\0\0\0\3\x65bc"
        slices = b"\0\0\0\1\x65a\0\0\0\1\x65bc"
        self.assertEqual(toAnnexB(data), slices)
        self.assertEqual(toAnnexB(data, config), slices)
        self.assertEqual(toAnnexB(data, config, True), annexB([SPS_NAL, PPS_NAL]) + slices)
        self.assertEqual(toAnnexB(b""), b"")

    def test_damagedFrames(self) -> None:
        for data in (b"\0", b"\0\0\0", b"\0\0\0\2a", b"\0\0\0\1ab", b"\xff\xff\xff\xffa"):
            with self.assertRaises(ProtocolError):
                toAnnexB(data)

    def test_tooManyNALUnits(self) -> None:
        nals = [b"\x41"] * MAX_NALS
        self.assertEqual(splitAnnexB(annexB(nals)), nals)
        self.assertEqual(splitLengthPrefixed(lengthPrefixed(nals)), nals)
        for call, data in ((splitAnnexB, annexB), (splitLengthPrefixed, lengthPrefixed)):
            with self.assertRaises(LimitExceeded):
                call(data([*nals, b"\x41"]))

    @given(st.lists(NALS, min_size=1, max_size=10))
    def test_roundTrip(self, nals: list[bytes]) -> None:
        data = lengthPrefixed(nals)
        self.assertEqual(splitLengthPrefixed(data), nals)
        self.assertEqual(splitAnnexB(toAnnexB(data)), nals)
        self.assertEqual(fromAnnexB(toAnnexB(data)), data)

    @given(st.lists(st.sampled_from((0, 0, 0, 1, 2, 3, 255)), max_size=40).map(bytes))
    def test_anyBytes(self, data: bytes) -> None:
        for call in (splitAnnexB, splitLengthPrefixed, toAnnexB, fromAnnexB):
            with contextlib.suppress(ProtocolError):
                call(data)
