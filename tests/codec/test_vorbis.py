"""The headers of Vorbis, in each form they travel in, and how long packets last."""

import contextlib
from binascii import a2b_base64

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.vorbis import (
    EMPTY_COMMENT,
    MAX_CONFIGURATIONS,
    BlockSizes,
    Headers,
    Identification,
    decodeConfiguration,
    laceHeaders,
    parseIdentification,
    parseModes,
    parsePackedConfiguration,
    parsePackedHeaders,
    unlaceHeaders,
)
from realtime_tw.errors import ProtocolError
from tests.rtsp.audiopacketizers import FFMPEG_VORBIS

IDENTIFICATION = b"\x01vorbis\0\0\0\0\x02\x80\xbb\0\0" + bytes(12) + b"\xb8\x01"
COMMENT = b"\x03vorbis\x04\0\0\0test\0\0\0\0\x01"


def setupHeader(flags: list[int], mappings: list[int], before: bytes = b"\xa5codebooks\xff") -> bytes:
    """A setup header with these modes at its end; bits go from the lowest of each byte up."""
    value = int.from_bytes(before, "little")
    width = len(before) * 8
    fields = [(len(flags) - 1, 6)]
    for flag, mapping in zip(flags, mappings, strict=True):
        fields += [(flag, 1), (0, 16), (0, 16), (mapping, 8)]
    for number, count in [*fields, (1, 1)]:
        value |= number << width
        width += count
    return b"\x05vorbis" + value.to_bytes((width + 7) // 8, "little")


SETUP = setupHeader([0, 1], [0, 1])
HEADERS = Headers(IDENTIFICATION, COMMENT, SETUP)


def base128(value: int) -> bytes:
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | value & 0x7F)
    return bytes(reversed(digits))


def packedHeaders(headers: Headers) -> bytes:
    sizes = base128(len(headers.identification)) + base128(len(headers.comment))
    return b"\x02" + sizes + headers.identification + headers.comment + headers.setup


def packedConfiguration(configurations: dict[int, Headers]) -> bytes:
    data = len(configurations).to_bytes(4)
    for ident, headers in configurations.items():
        length = len(headers.identification + headers.comment + headers.setup)
        data += ident.to_bytes(3) + length.to_bytes(2) + packedHeaders(headers)
    return data


class HeaderTests(SynchronousTestCase):
    def test_identification(self) -> None:
        self.assertEqual(parseIdentification(IDENTIFICATION), Identification(2, 48000, 256, 2048))

    def test_identificationRefused(self) -> None:
        for data in (
            b"",
            IDENTIFICATION[:-1],
            b"\x03" + IDENTIFICATION[1:],
            IDENTIFICATION[:7] + b"\1" + IDENTIFICATION[8:],  # version
            IDENTIFICATION[:11] + b"\0" + IDENTIFICATION[12:],  # channels
            IDENTIFICATION[:12] + bytes(4) + IDENTIFICATION[16:],  # rate
            IDENTIFICATION[:28] + b"\x8b\1",  # a long block that is shorter
            IDENTIFICATION[:28] + b"\xe8\1",
            IDENTIFICATION[:28] + b"\xb5\1",
            IDENTIFICATION[:29] + b"\0",  # framing
        ):
            with self.assertRaises(ProtocolError):
                parseIdentification(data)

    def test_modesOfLibvorbis(self) -> None:
        # At 8 kHz both block sizes are the same, and one mode is enough.
        [headers] = decodeConfiguration(FFMPEG_VORBIS).values()
        self.assertEqual(parseModes(headers.setup), [0])
        # The end of what GStreamer's vorbisenc writes for 48 kHz; between it and the beginning are codebooks.
        self.assertEqual(parseModes(b"\x05vorbis" + bytes.fromhex("040000000000020000000404")), [0, 1])

    def test_modesAnyNumber(self) -> None:
        for count in (1, 2, 3, 63, 64):
            flags = [number % 3 & 1 for number in range(count)]
            self.assertEqual(parseModes(setupHeader(flags, [number % 64 for number in range(count)])), flags)

    def test_oneModeInsideOfTwoIsNotTheAnswer(self) -> None:
        # With mapping 0 in the first mode, the 6 bits before the second read as a count of one.
        self.assertEqual(parseModes(setupHeader([0, 1], [0, 0])), [0, 1])

    def test_zerosBehindTheHeader(self) -> None:
        self.assertEqual(parseModes(SETUP + bytes(5)), [0, 1])

    def test_modesRefused(self) -> None:
        for setup in (
            b"",
            b"\x01" + SETUP[1:],
            b"\x05vorbis",
            b"\x05vorbis" + bytes(100),
            b"\x05vorbis" + b"\xff" * 50,
        ):
            with self.assertRaises(ProtocolError):
                parseModes(setup)

    @given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 63)), min_size=1, max_size=64), st.binary(max_size=30))
    def test_modesRoundTrip(self, modes: list[tuple[int, int]], before: bytes) -> None:
        # What stands before the modes of a real header ends with a mapping, whose numbers are not all zero.
        flags = [flag for flag, _ in modes]
        self.assertEqual(parseModes(setupHeader(flags, [mapping for _, mapping in modes], before + b"\xff" * 6)), flags)

    @given(st.binary(max_size=400))
    def test_nothingButOurErrors(self, data: bytes) -> None:
        for parse in (parseIdentification, unlaceHeaders, parsePackedHeaders, parsePackedConfiguration):
            for head in (b"", b"\x05vorbis", b"\x02\x1e\x00", b"\0\0\0\1abc\0\0\2"):
                with contextlib.suppress(ProtocolError):
                    parse(head + data)
        with contextlib.suppress(ProtocolError):
            parseModes(b"\x05vorbis" + data)


class DurationTests(SynchronousTestCase):
    blocks = BlockSizes(Identification(2, 48000, 256, 2048), [0, 1])

    def test_halfOfEachBlock(self) -> None:
        # Mode 0 is short; mode 1 is long, with flags for the windows before and behind it.
        short, long, longAfterShort = b"\x00", b"\x0e", b"\x0a"
        for packet, previous, samples in (
            (short, 256, 128),
            (short, 2048, 576),
            (long, 2048, 1024),
            (longAfterShort, 256, 576),
            (long, 0, 1024),
            (longAfterShort, 0, 576),
            (short, 0, 128),
        ):
            self.assertEqual(self.blocks.duration(packet, previous), samples)

    def test_whatIsNoSound(self) -> None:
        self.assertEqual(self.blocks.duration(b"", 256), 0)
        self.assertEqual(self.blocks.duration(b"\x01vorbis", 256), 0)
        self.assertEqual(BlockSizes(Identification(2, 48000, 256, 2048), [0, 1, 1]).duration(b"\x06", 256), 0)

    def test_oneModeNeedsNoBits(self) -> None:
        blocks = BlockSizes(Identification(2, 48000, 256, 2048), [1])
        self.assertEqual(blocks.duration(b"\x02", 0), 1024)
        self.assertEqual(blocks.duration(b"\x00", 0), 576)

    def test_sixtyFourModesFillTheByte(self) -> None:
        blocks = BlockSizes(Identification(2, 48000, 256, 2048), [0] * 63 + [1])
        self.assertEqual(blocks.duration(b"\xfe", 0), 1024)
        self.assertEqual(blocks.duration(b"\x7e", 0), 576)
        self.assertEqual(blocks.duration(b"\x7c", 256), 128)


class FormTests(SynchronousTestCase):
    def test_lacing(self) -> None:
        private = laceHeaders(HEADERS)
        self.assertTrue(private.startswith(b"\x02\x1e" + bytes((len(COMMENT),)) + IDENTIFICATION + COMMENT))
        self.assertEqual(unlaceHeaders(private), HEADERS)

    def test_lacingOfLongHeaders(self) -> None:
        for size in (254, 255, 256, 509, 510, 70000):
            headers = Headers(IDENTIFICATION, b"\x03vorbis" + bytes(size - 7), SETUP)
            private = laceHeaders(headers)
            self.assertEqual(private[2 : 3 + size // 255], b"\xff" * (size // 255) + bytes((size % 255,)))
            self.assertEqual(unlaceHeaders(private), headers)

    def test_lacingRefused(self) -> None:
        private = laceHeaders(HEADERS)
        for data in (b"", b"\x01" + private[1:], b"\x02", b"\x02\xff", private[:40], private + bytes(1 << 17)):
            with self.assertRaises(ProtocolError):
                unlaceHeaders(data)

    def test_ffmpegLeavesTheCommentOut(self) -> None:
        [(ident, headers)] = decodeConfiguration(FFMPEG_VORBIS).items()
        self.assertEqual(ident, 0xFECDBA)
        self.assertEqual(parseIdentification(headers.identification), Identification(1, 8000, 512, 512))
        self.assertEqual(headers.comment, EMPTY_COMMENT)
        self.assertEqual(headers.setup, a2b_base64(FFMPEG_VORBIS)[12 + 30 :])

    def test_emptyCommentIsOne(self) -> None:
        # Vorbis I, 5.2.1: lengths of vendor and list in 32 bits, then the framing bit.
        self.assertEqual(EMPTY_COMMENT, b"\x03vorbis\0\0\0\0\0\0\0\0\x01")

    def test_severalConfigurations(self) -> None:
        other = Headers(IDENTIFICATION, b"\x03vorbis" + bytes(300), setupHeader([1], [0]))
        data = packedConfiguration({1: HEADERS, 0xFFFFFF: other})
        self.assertEqual(parsePackedConfiguration(data), {1: HEADERS, 0xFFFFFF: other})
        most = dict.fromkeys(range(MAX_CONFIGURATIONS), HEADERS)
        self.assertEqual(parsePackedConfiguration(packedConfiguration(most)), most)

    def test_inBand(self) -> None:
        self.assertEqual(parsePackedHeaders(packedHeaders(HEADERS)), HEADERS)

    def test_base64WithoutPadding(self) -> None:
        self.assertEqual(decodeConfiguration(FFMPEG_VORBIS.rstrip("=")), decodeConfiguration(FFMPEG_VORBIS))

    def test_refused(self) -> None:
        good = packedConfiguration({1: HEADERS})
        for data in (
            b"",
            good[:3],
            bytes(4) + good[4:],
            b"\0\0\0\x11" + good[4:],
            b"\0\0\0\2" + good[4:],
            good[:9],
            good[:9] + b"\x03" + good[10:],  # four headers
            good[:10] + b"\xff\xff\xff\xff\xff" + good[11:],
            good[:40],
        ):
            with self.assertRaises(ProtocolError):
                parsePackedConfiguration(data)
        for text in ("ü", "A", "===", "A" * (1 << 22)):
            with self.assertRaises(ProtocolError):
                decodeConfiguration(text)
        with self.assertRaises(ProtocolError):
            parsePackedHeaders(packedHeaders(HEADERS) + bytes(1 << 17))
