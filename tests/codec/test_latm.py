"""StreamMuxConfig: what ffmpeg and GStreamer write, and the forms of the standard."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.aac import AudioSpecificConfig
from realtime_tw.codec.bits import BitReader
from realtime_tw.codec.latm import (
    StreamMuxConfig,
    parseStreamMuxConfig,
    payloadLength,
    readPayloadLength,
    readStreamMuxConfig,
)
from realtime_tw.errors import ProtocolError
from tests.codec.test_aac import LC, bitString
from tests.rtsp.audiopacketizers import latmLength

#: AAC-LC, 48 kHz, two channels.
ASC = "00010 0011 0010 000"


class StreamMuxConfigTests(SynchronousTestCase):
    def test_ffmpeg(self) -> None:
        mux = parseStreamMuxConfig(bytes.fromhex("400023103fc0"))
        self.assertEqual(mux, StreamMuxConfig(AudioSpecificConfig(2, 48000, 1, 1), bytes.fromhex("1188")))

    def test_gstreamerCopiesTheWholeConfigAndEndsBehindIt(self) -> None:
        mux = parseStreamMuxConfig(bytes.fromhex("40002320adca00"))
        audio = AudioSpecificConfig(2, 48000, 2, 2, trailing=True)
        self.assertEqual(mux, StreamMuxConfig(audio, bytes.fromhex("119056e500")))

    def test_exampleOfTheRFC(self) -> None:
        # RFC 6416, 7.3: HE-AAC v2 with explicit signalling; 48 kHz from 24, mono core.
        mux = parseStreamMuxConfig(bytes.fromhex("4001D613101FE0"))
        self.assertEqual(mux.audio.outputRate, 48000)
        self.assertEqual((mux.audio.sampleRate, mux.audio.outputChannels), (24000, 2))
        self.assertEqual(mux.audioData, bytes.fromhex("eb098800"))

    def test_versionOneTellsTheLength(self) -> None:
        # Buffer fullness 3 in one byte, the config's length 19 in one byte: 16 bits of config and 3 more.
        head = "1 0 00 00000011 1 000000 0000 000 00 00010011"
        mux = parseStreamMuxConfig(bitString(head, ASC, "101", "000 11111111 0 0"))
        self.assertEqual(mux, StreamMuxConfig(LC, bitString(ASC, "101")))

    def test_versionOneWithAShorterLengthThanItsConfig(self) -> None:
        with self.assertRaises(ProtocolError):
            parseStreamMuxConfig(bitString("1 0 00 00000000 1 000000 0000 000 00 00001111", ASC, "000 11111111 0 0"))
        with self.assertRaises(ProtocolError):
            parseStreamMuxConfig(bitString("1 0 00 00000000 1 000000 0000 000 00 11111111", ASC, "000 11111111 0 0"))

    def test_severalFrames(self) -> None:
        self.assertEqual(parseStreamMuxConfig(bitString("0 1 000011 0000 000", ASC, "000 11111111 0 0")).frames, 4)

    def test_fixedFrameLength(self) -> None:
        self.assertEqual(parseStreamMuxConfig(bitString("0 1 000000 0000 000", ASC, "001 000000101 0 0")).frameSize, 25)

    def test_otherDataAndChecksum(self) -> None:
        data = bitString("0 1 000000 0000 000", ASC, "000 11111111", "1 1 00000001 0 00000010", "1 10101010", "1")
        bits = BitReader(data)
        self.assertTrue(readStreamMuxConfig(bits).hasOther)
        self.assertTrue(bits.flag())
        lengthInOne = bitString("1 0 00 00000000 1 000000 0000 000 00 00010000", ASC, "000 11111111 1 00 00001000 0 1")
        bits = BitReader(lengthInOne)
        self.assertTrue(readStreamMuxConfig(bits).hasOther)
        self.assertTrue(bits.flag())

    def test_readerIsBehindIt(self) -> None:
        bits = BitReader(bitString("101", "0 1 000000 0000 000", ASC, "000 11111111", "0 0", "10010110"))
        bits.skip(3)
        self.assertFalse(readStreamMuxConfig(bits).hasOther)
        self.assertEqual(bits.bits(8), 0b10010110)

    def test_refused(self) -> None:
        for data in (
            b"",
            bitString("1 1 0000"),  # version A
            bitString("0 0 000000 0000 000", ASC, "000 11111111 0 0"),  # different times
            bitString("0 1 000000 0001 000", ASC, "000 11111111 0 0"),  # two programs
            bitString("0 1 000000 0000 001", ASC, "000 11111111 0 0"),  # two layers
            bitString("0 1 000000 0000 000", ASC, "100 000000 0 0"),  # CELP's frame length
            bitString("0 1 000000 0000 000", "11111 000111 0011 0001 0 000"),  # ELD without length
            bytes(2000),
        ):
            with self.assertRaises(ProtocolError):
                parseStreamMuxConfig(data)

    @given(st.binary(max_size=40))
    def test_nothingButOurErrors(self, data: bytes) -> None:
        try:
            mux = parseStreamMuxConfig(b"\x40" + data)
        except ProtocolError:
            return
        self.assertTrue(1 <= mux.frames <= 64)
        self.assertTrue(len(mux.audioData) <= len(data) + 3)


class LengthTests(SynchronousTestCase):
    def test_runs(self) -> None:
        self.assertEqual(payloadLength(b"\x00", 0), (0, 1))
        self.assertEqual(payloadLength(b"x\xfe", 1), (254, 2))
        self.assertEqual(payloadLength(b"\xff\x00", 0), (255, 2))
        self.assertEqual(payloadLength(b"\xff\xffx", 0), (510 + 120, 3))

    def test_endless(self) -> None:
        for data in (b"", b"\xff", b"\xff\xff"):
            with self.assertRaises(ProtocolError):
                payloadLength(data, 0)
            with self.assertRaises(ProtocolError):
                readPayloadLength(BitReader(data))

    @given(st.integers(0, 70000), st.integers(0, 7))
    def test_roundTrip(self, size: int, shift: int) -> None:
        data = latmLength(size)
        self.assertEqual(payloadLength(data, 0), (size, len(data)))
        bits = BitReader((int.from_bytes(data) << (8 - shift)).to_bytes(len(data) + 1))
        bits.skip(shift)
        self.assertEqual(readPayloadLength(bits), size)
