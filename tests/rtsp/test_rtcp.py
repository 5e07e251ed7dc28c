"""RTP control packets: those of real senders, exact bytes of ours, and what is malformed."""

import struct
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import LimitExceeded, ProtocolError
from realtime_tw.rtsp.rtcp import (
    MAX_PACKETS,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    encodeReceiverReport,
    ntpToUnixMicros,
    parseRTCP,
)

#: ffmpeg 5.1: a lone report before the first packet.
FFMPEG = bytes.fromhex("80c800061fceea11eeaddb877d70a3d79bf4c14e0000000000000000")

#: GStreamer 1.22: a report and a name with a private item behind it, and at its end a goodbye.
GSTREAMER = bytes.fromhex(
    "80c80006c77e9bb6eeaddb8a82c5f394cfd0e1e700000065000086fc81ca000cc77e9bb6011c757365723330333534373133373740686f7374"
    "2d616566366165633706094753747265616d657200000081cb0001c77e9bb6"
)
BLOCK = ReportBlock(7, 12, -3, 0x1FFFF, 99, 0xAABBCCDD, 65536)


class ParserTests(SynchronousTestCase):
    def test_ffmpegSendsALoneReport(self) -> None:
        [report] = parseRTCP(FFMPEG)
        self.assertEqual(report, SenderReport(0x1FCEEA11, 0xEEADDB877D70A3D7, 0x9BF4C14E, 0, 0))
        assert isinstance(report, SenderReport)
        # The day of the recording: 2026-11-22 21:22:15.49 UTC.
        self.assertEqual(report.unixMicros, 1_795_382_535_490_000 - 1)

    def test_gstreamerSaysWhoItIsAndGoes(self) -> None:
        self.assertEqual(
            parseRTCP(GSTREAMER),
            [
                SenderReport(0xC77E9BB6, 0xEEADDB8A82C5F394, 0xCFD0E1E7, 101, 34556),
                SourceDescription(0xC77E9BB6, "user3035471377@host-aef6aec7"),
                Goodbye((0xC77E9BB6,)),
            ],
        )

    def test_aReceiverReportIsNoSenderReport(self) -> None:
        first = bytes.fromhex("81c90007") + struct.pack("!I", 1) + struct.pack("!IIIIII", 2, 0x05FFFFFE, 3, 4, 5, 6)
        self.assertEqual(parseRTCP(first), [ReceiverReport(1, (ReportBlock(2, 5, -2, 3, 4, 5, 6),))])

    def test_unknownTypesAreSkipped(self) -> None:
        # Application, transport and payload feedback, extended report.
        other = b"".join(struct.pack("!BBHII", 0x81, kind, 2, 1, 2) for kind in (204, 205, 206, 207, 199, 192))
        self.assertEqual(parseRTCP(other + FFMPEG + other), parseRTCP(FFMPEG))

    def test_paddingInTheLast(self) -> None:
        padded = bytes.fromhex("a0c90002 00000001 00000004")
        self.assertEqual(parseRTCP(padded), [ReceiverReport(1)])
        for bad in (
            "a0c90002 00000001 00000000",
            "a0c90002 00000001 00000009",
            "a0c90000",
            "a0c90002 00000001 00000008",
        ):
            with self.assertRaises(ProtocolError, msg=bad):
                parseRTCP(bytes.fromhex(bad))

    def test_severalSourcesInOneDescription(self) -> None:
        chunks = b"\0\0\0\1" + b"\1\2ab" + bytes(4) + b"\0\0\0\2" + b"\2\3abc\1\1c" + bytes(4)
        data = struct.pack("!BBH", 0x82, 202, len(chunks) // 4) + chunks
        self.assertEqual(parseRTCP(data), [SourceDescription(1, "ab"), SourceDescription(2, "c")])

    def test_goodbyeOfSeveralWithAReason(self) -> None:
        data = bytes.fromhex("82cb0003 00000001 00000002") + b"\3bye"
        self.assertEqual(parseRTCP(data), [Goodbye((1, 2))])
        self.assertEqual(parseRTCP(bytes.fromhex("80cb0000")), [Goodbye(())])

    def test_malformed(self) -> None:
        for bad in (
            "",
            "80",
            "80c900",
            "80c90001",
            "40c90001 00000001",
            "80c90000",
            "81c90001 00000001",
            "80c80001 00000001",
            "81cb0000",
            "81ca0000",
            "81ca0002 00000001 01ff6162",
            "81ca0002 00000001 61620101",
            "80c90001 00000001 80",
        ):
            with self.assertRaises(ProtocolError, msg=bad):
                parseRTCP(bytes.fromhex(bad))

    def test_noEndlessCompound(self) -> None:
        one = bytes.fromhex("80c90001 00000001")
        self.assertEqual(len(parseRTCP(one * MAX_PACKETS)), MAX_PACKETS)
        with self.assertRaises(LimitExceeded):
            parseRTCP(one * (MAX_PACKETS + 1))

    @given(
        st.lists(
            st.one_of(st.binary(max_size=12), st.sampled_from([FFMPEG, GSTREAMER, b"\x81\xca\0\2", b"\x80\xcc\0\0"]))
        )
    )
    def test_onlyOurOwnErrors(self, pieces: list[bytes]) -> None:
        try:
            parseRTCP(b"".join(pieces))
        except ProtocolError:
            return

    @given(st.integers(0, len(GSTREAMER) - 1))
    def test_everyTruncationIsNoticedOrIsWhole(self, length: int) -> None:
        whole = {28: 1, 80: 2}
        if length in whole:
            self.assertEqual(len(parseRTCP(GSTREAMER[:length])), whole[length])
            return
        with self.assertRaises(ProtocolError):
            parseRTCP(GSTREAMER[:length])


class NTPTests(SynchronousTestCase):
    def test_theBeginningOfUnixTime(self) -> None:
        self.assertEqual(ntpToUnixMicros((2_208_988_800) << 32), 0)
        self.assertEqual(ntpToUnixMicros((2_208_988_800 << 32) + (1 << 31)), 500_000)
        self.assertEqual(ntpToUnixMicros((2_208_988_800 << 32) + 0xFFFFFFFF), 999_999)

    def test_theEraThatBeginsIn2036(self) -> None:
        # 2036-02-07 06:28:16 UTC.
        self.assertEqual(ntpToUnixMicros(0xFFFFFFFF << 32), 2_085_978_495_000_000)
        self.assertEqual(ntpToUnixMicros(0), 2_085_978_496_000_000)
        self.assertEqual(ntpToUnixMicros(10 << 32), 2_085_978_506_000_000)

    @given(st.integers(2_208_988_800 << 32, (1 << 64) - 1))
    def test_exactToAMicrosecond(self, ntp: int) -> None:
        exact = (Fraction(ntp, 1 << 32) - 2_208_988_800) * 1_000_000
        self.assertEqual(ntpToUnixMicros(ntp), exact.__floor__())


class EncoderTests(SynchronousTestCase):
    def test_exactBytes(self) -> None:
        self.assertEqual(
            encodeReceiverReport(1, [BLOCK], "ab", goodbye=True).hex(" ", 4),
            "81c90007 00000001 00000007 0cfffffd 0001ffff 00000063 aabbccdd 00010000 "
            "81ca0003 00000001 01026162 00000000 81cb0001 00000001",
        )

    def test_withoutSources(self) -> None:
        self.assertEqual(
            parseRTCP(encodeReceiverReport(1, [], "abc")), [ReceiverReport(1), SourceDescription(1, "abc")]
        )

    def test_whatDoesNotFitIsCutOff(self) -> None:
        block = ReportBlock(1, 300, 1 << 24, 1 << 33, 1 << 40, 0, 1 << 33)
        report, _ = parseRTCP(encodeReceiverReport(1, [block], ""))
        self.assertEqual(
            report, ReceiverReport(1, (ReportBlock(1, 255, (1 << 23) - 1, 0, (1 << 32) - 1, 0, (1 << 32) - 1),))
        )
        _, name = parseRTCP(encodeReceiverReport(1, [], "x" * 300))
        self.assertEqual(name, SourceDescription(1, "x" * 255))

    @given(
        st.lists(
            st.builds(
                ReportBlock,
                st.integers(0, 2**32 - 1),
                st.integers(0, 255),
                st.integers(-(2**23), 2**23 - 1),
                st.integers(0, 2**32 - 1),
                st.integers(0, 2**32 - 1),
                st.integers(0, 2**32 - 1),
                st.integers(0, 2**32 - 1),
            ),
            max_size=70,
        ),
        st.text(max_size=60),
    )
    def test_roundTrip(self, blocks: list[ReportBlock], cname: str) -> None:
        *reports, name, bye = parseRTCP(encodeReceiverReport(5, blocks, cname, goodbye=True))
        found = [block for report in reports if isinstance(report, ReceiverReport) for block in report.blocks]
        self.assertEqual(found, blocks)
        self.assertEqual(bye, Goodbye((5,)))
        self.assertEqual(name, SourceDescription(5, cname))
