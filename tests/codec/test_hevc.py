"""
HEVC's parameter sets. The configurations are what ffmpeg 5.1 wrote into MP4 files for streams of libx265; sizes and
reordering are what ffprobe says about the same bytes.
"""

import contextlib

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.h264 import MAX_PARAMETER_SET, annexB
from realtime_tw.codec.hevc import hevcConfig, parameterSetId, parseHEVCConfig, parseSPS, toAnnexB
from realtime_tw.errors import LimitExceeded, ProtocolError

#: Configuration, profile, level, sub-layers, nested, chroma format, bit depth, width, height, reordering.
FILES = {
    "main, B frames": (
        "0101600000009000000000003cf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003c959409a10001"
        "002b42010101600000030090000003000003003ca00a8804071111965654a4c2f0168080000003008000000c84a2000100064401c073c1"
        "89",
        (1, 60, 1, True, 1, 8, 322, 242, 2),
    ),
    "main 10": (
        "0102200000009000000000003cf000fcfdfafa00000f03a00001001840010c01ffff02200000030090000003000003003cba0240a10001"
        "002c42010102200000030090000003000003003ca00a8804071110d96e92930bc05a020000030002000003003210a2000100064401c073"
        "c189",
        (2, 60, 1, True, 1, 10, 322, 242, 0),
    ),
    "4:2:2, 10 bits": (
        "0104080000009d08000000003cf000fcfefafa00000f03a00001001740010c01ffff0408000003009d0800000300003c959009a1000100"
        "2c4201010408000003009d0800000300003cb00a880407111ed965644a4c2f016808000003000800000300c840a2000100064401c073c1"
        "89",
        (4, 60, 1, True, 2, 10, 322, 242, 2),
    ),
    "two temporal layers": (
        "0101600000009000000000003cf000fcfdf8f800001303a00001001c40010c02ffff01600000030090000003000003003c00009594aca0"
        "48a10001003042010201600000030090000003000003003c0000a00a8804071111965652b2a5261780b4040000030004000003006420a2"
        "000100064401c073c189",
        (1, 60, 2, False, 1, 8, 322, 242, 2),
    ),
    "default scaling lists": (
        "0101600000009000000000003cf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003c959409a10001"
        "002b42010101600000030090000003000003003ca00a8804071111965654a4e1780b4040000003004000000642a2000100064401c073c1"
        "89",
        (1, 60, 1, True, 1, 8, 322, 242, 2),
    ),
    "reference picture sets": (
        "0101600000009000000000003cf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003c959809a10001"
        "002b42010101600000030090000003000003003ca00a480f9c9265959a4932bc05a02000000300200000030321a2000100074401c172b4"
        "6240",
        (1, 60, 1, True, 1, 8, 322, 242, 2),
    ),
    "no wavefronts": (
        "0101600000009000000000003cf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003c959409a10001"
        "002b42010101600000030090000003000003003ca00a8804071111965654a4c2f0168080000003008000000c84a2000100064401c073c0"
        "89",
        (1, 60, 1, True, 1, 8, 322, 242, 2),
    ),
}
#: 1920x1080 cropped from 1088, with HRD. ffmpeg puts an SEI behind it that is left out here.
HD = (
    "01016000000090000000000078f000fcfdf8f800000f03a00001001840010c01ffff016000000300900000030000030078959409a10001"
    "003b420101016000000300900000030000030078a003c0801107cb965654a4c2f016a02040416db8000003000800000300cb00a4b2f000"
    "7a12000f4244a2000100064401c073c109"
)
#: All that libx265 does not write: explicit scaling lists, PCM, reference picture sets predicted from each other,
#: long-term pictures, HRD with sub-pictures, a minimum of spatial segmentation.
WRITTEN = (
    "42010101600000030090000003000003003ca00a880407111196565924fba74e9d3a6574e9d3a74ee9d3a74e995d3a74e9d36e9d3a74e9"
    "d3a74e9d3a74e9d3a74e9d3a74e9dd3a74e9d3a74e9d3a74e9d3a74e9d3a74e9d32ba74e9d3a74e9d3a74e9d3a74e9d3a74e9d3a774e9d"
    "3a74e9d3a74e9d3a74e9d3a74e9d3a74e1074e9d3a74e9d3a74e9d3a74e9d3a74e9d3a74e1074e9d3a74e9d3a74e9d3a74e9d3a74e9d3a"
    "74ca1074e9d3a74e9d3a74e9d3a74e9d3a74e9d3a74e1074e9d3a74e9d3a74e9d3a74e9d3a74e9d3a74ca1074e9d3a74e9d3a74e9d3a74"
    "e9d3a74e9d3a74e1074e9d3a74e9d3a74e9d3a74e9d3a74e9d3a74fbbd0ad6bd9e95948b05837ffc0010000ed404040784000003000400"
    "00030067f02188225fffc203280c90096806440650192012d00c880ca0324025a01910194064804b40322a052d040208"
)

#: PPS for it, and what ffmpeg makes of the two: neither tiles nor wavefronts, tiles, wavefronts, both.
PARALLELISM = {"4401c072914009": "fd", "4401c07291425c24": "fe", "4401c072914109": "ff", "4401c07291435c24": "fc"}

VPS_NAL, SPS_NAL, PPS_NAL = (sets[0] for sets in parseHEVCConfig(bytes.fromhex(FILES["main, B frames"][0])))


class ParameterSetTests(SynchronousTestCase):
    def test_filesOfFfmpeg(self) -> None:
        for name, (config, expected) in FILES.items():
            sets = parseHEVCConfig(bytes.fromhex(config))
            sps = parseSPS(sets[1][0])
            self.assertEqual(sps.profileTierLevel.hex(), config[2:26])
            sequence = (sps.profile, sps.level, sps.subLayers, sps.nested, sps.chromaFormat, sps.bitDepthLuma)
            self.assertEqual((*sequence, sps.width, sps.height, sps.reorder), expected, name)
            self.assertEqual((sps.id, sps.bitDepthChroma, sps.minSpatialSegmentation), (0, sps.bitDepthLuma, 0))
            self.assertEqual(hevcConfig(*sets).hex(), config, name)

    def test_cropped(self) -> None:
        sets = parseHEVCConfig(bytes.fromhex(HD))
        sps = parseSPS(sets[1][0])
        self.assertEqual((sps.width, sps.height, sps.level), (1920, 1080, 120))
        self.assertEqual(hevcConfig(*sets).hex(), HD)

    def test_whatLibx265DoesNotWrite(self) -> None:
        nal = bytes.fromhex(WRITTEN)
        sps = parseSPS(nal)
        self.assertEqual((sps.width, sps.height, sps.reorder, sps.minSpatialSegmentation), (322, 242, 2, 40))
        for pps, kind in PARALLELISM.items():
            config = hevcConfig([VPS_NAL], [nal], [bytes.fromhex(pps)])
            self.assertEqual(config[:23].hex(), f"0101600000009000000000003cf028{kind}fdf8f800000f03")

    def test_VUIThatIsCutShortDoesNotCostTheSize(self) -> None:
        sps = parseSPS(SPS_NAL[:-8])
        self.assertEqual((sps.width, sps.height, sps.reorder), (322, 242, 2))
        for size in range(30):
            with self.assertRaises(ProtocolError):
                parseSPS(SPS_NAL[:size])

    def test_notAnSPS(self) -> None:
        for nal in (
            b"",
            b"\x42",
            b"\x42\1",
            PPS_NAL,
            b"\xc2" + SPS_NAL[1:],
            # Of another layer.
            b"\x42\x09" + SPS_NAL[2:],
            SPS_NAL + bytes(MAX_PARAMETER_SET),
            # Eight sub-layers.
            b"\x42\1\x0f" + SPS_NAL[3:],
        ):
            with self.assertRaises(ProtocolError):
                parseSPS(nal)

    def test_ids(self) -> None:
        self.assertEqual([parameterSetId(nal) for nal in (VPS_NAL, SPS_NAL, PPS_NAL)], [0, 0, 0])
        self.assertEqual(parameterSetId(bytes.fromhex(WRITTEN)), 0)
        self.assertEqual(parameterSetId(b"\x40\1\x5c" + VPS_NAL[3:]), 5)
        # Behind two sub-layers, of which one has its own profile and level.
        for flags, own in (("00", 0), ("10", 88), ("01", 8), ("11", 96)):
            digits = "0000" + "001" + "1" + "0" * 96 + flags + "0" * 14 + "1" * own + "00110" + "1"
            data = int(digits.ljust(320, "0"), 2).to_bytes(40)
            self.assertEqual(parameterSetId(b"\x42\1" + data.replace(b"\0\0\0", b"\0\0\3\0")), 5)
        # Exp-Golomb codes of 63 and 15, of 64, and of 0 and 16.
        self.assertEqual(parameterSetId(b"\x44\1" + (0b0000001000000_000010000 << 10).to_bytes(4)), 63)
        for nal in (b"", b"\x26\1\x88", b"\x44\1\x02\x0c", b"\x44\1\x84\x40"):
            with self.assertRaises(ProtocolError):
                parameterSetId(nal)

    @given(st.binary(max_size=80), st.sampled_from((0x40, 0x42, 0x44, 0x26)))
    @example(b"\1" + b"\xff" * 79, 0x42)
    def test_anythingIsOurErrorOrSense(self, content: bytes, head: int) -> None:
        nal = bytes((head, 1)) + content
        for call in (parseSPS, parameterSetId):
            with contextlib.suppress(ProtocolError):
                call(nal)

    @given(st.sampled_from((SPS_NAL, bytes.fromhex(WRITTEN))), st.data())
    def test_anyChangedByte(self, nal: bytes, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(nal) - 1))
        nal = nal[:at] + bytes((data.draw(st.integers(0, 255)),)) + nal[at + 1 :]
        try:
            sps = parseSPS(nal)
        except ProtocolError:
            return
        self.assertTrue(0 < sps.width <= 16888 and 0 < sps.height <= 16888)
        for pps in PARALLELISM:
            hevcConfig([VPS_NAL], [nal], [bytes.fromhex(pps)])


class ConfigTests(SynchronousTestCase):
    def test_severalSets(self) -> None:
        config = hevcConfig([VPS_NAL], [SPS_NAL, SPS_NAL], [PPS_NAL] * 3)
        self.assertEqual(parseHEVCConfig(config), ([VPS_NAL], [SPS_NAL] * 2, [PPS_NAL] * 3))

    def test_otherArraysAreLeftOut(self) -> None:
        # As ffmpeg writes it when libx265 puts an SEI in front; and the parameter sets not complete.
        config = bytes.fromhex(HD[:44] + "04" + HD[46:] + "27000100064e0181010f80").replace(b"\xa1\0\1", b"\x21\0\1")
        self.assertEqual(hevcConfig(*parseHEVCConfig(config)).hex(), HD)

    def test_whatCannotBeOne(self) -> None:
        vps, sps, pps = [VPS_NAL], [SPS_NAL], [PPS_NAL]
        for sets in (([], sps, pps), (vps, [], pps), (vps, sps, []), (sps, vps, pps), (pps, sps, vps)):
            with self.assertRaises(ProtocolError):
                hevcConfig(*sets)
        for sets in ((vps, sps, pps * 65), (vps, sps, [bytes(MAX_PARAMETER_SET + 1)])):
            with self.assertRaises(LimitExceeded):
                hevcConfig(*sets)

    def test_damagedConfig(self) -> None:
        whole = bytes.fromhex(FILES["main, B frames"][0])
        for size in range(len(whole)):
            with self.assertRaises(ProtocolError):
                parseHEVCConfig(whole[:size])
        for bad in (b"\2" + whole[1:], whole[:21] + b"\x0d" + whole[22:], whole[:22] + b"\4" + whole[23:]):
            with self.assertRaises(ProtocolError):
                parseHEVCConfig(bad)

    @given(st.binary(max_size=60))
    def test_anyBytes(self, config: bytes) -> None:
        for data in (config, bytes.fromhex(HD[:44]) + config):
            with contextlib.suppress(ProtocolError):
                parseHEVCConfig(data)

    def test_frames(self) -> None:
        config = hevcConfig([VPS_NAL], [SPS_NAL], [PPS_NAL])
        data = b"\0\0\0\3\x26\1a"
        self.assertEqual(toAnnexB(data, config), b"\0\0\0\1\x26\1a")
        self.assertEqual(toAnnexB(data, config, True), annexB([VPS_NAL, SPS_NAL, PPS_NAL, b"\x26\1a"]))
        with self.assertRaises(ProtocolError):
            toAnnexB(data, config[:-1], True)
