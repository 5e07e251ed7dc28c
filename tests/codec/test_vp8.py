"""The header of VP8 frames: what libvpx writes, and nonsense."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.vp8 import FrameHeader, parseFrameHeader
from realtime_tw.errors import ProtocolError

#: libvpx by ffmpeg, 64x48: a keyframe whose first partition has 0x132 bytes, and a whole inter frame.
KEYFRAME = bytes.fromhex("502600 9d012a 4000 3000 0047088585889984") + bytes(0x132)
INTER = bytes.fromhex("d101000a11440018001858 2ff400088c0000")


class FrameHeaderTests(SynchronousTestCase):
    def test_keyframe(self) -> None:
        self.assertEqual(parseFrameHeader(KEYFRAME), FrameHeader(True, True, 0, 64, 48))

    def test_interFrame(self) -> None:
        self.assertEqual(parseFrameHeader(INTER), FrameHeader(False, True, 0, 0, 0))

    def test_scalingIsNoPartOfTheSize(self) -> None:
        data = KEYFRAME[:6] + bytes.fromhex("40c0 3040") + KEYFRAME[10:]
        self.assertEqual(parseFrameHeader(data), FrameHeader(True, True, 0, 64, 48))

    def test_largestSize(self) -> None:
        data = KEYFRAME[:6] + bytes.fromhex("ff3f ff3f") + KEYFRAME[10:]
        self.assertEqual(parseFrameHeader(data)[3:], (16383, 16383))

    def test_hiddenFrameAndVersion(self) -> None:
        # The tag again, without the bit that shows the frame, and with version 3.
        self.assertEqual(parseFrameHeader(b"\xc7\x01\x00" + INTER[3:]), FrameHeader(False, False, 3, 0, 0))

    def test_firstPartitionMustBeWhole(self) -> None:
        for data, rest in ((KEYFRAME, 10 + 0x132), (INTER, 3 + 14)):
            parseFrameHeader(data[:rest])
            for length in range(rest):
                with self.assertRaises(ProtocolError):
                    parseFrameHeader(data[:length])

    def test_nonsense(self) -> None:
        for data in (
            b"\xd9" + INTER[1:],
            KEYFRAME[:3] + b"\x9d\x01\x2b" + KEYFRAME[6:],
            KEYFRAME[:6] + b"\x00\xc0" + KEYFRAME[8:],
            KEYFRAME[:8] + b"\x00\x40" + KEYFRAME[10:],
        ):
            with self.assertRaises(ProtocolError):
                parseFrameHeader(data)

    @given(st.one_of(st.binary(), st.builds(bytes.__add__, st.just(KEYFRAME[:6]), st.binary())))
    def test_nothingElseIsRaised(self, data: bytes) -> None:
        try:
            header = parseFrameHeader(data)
        except ProtocolError:
            return
        self.assertEqual(header.keyframe, header.width > 0)
