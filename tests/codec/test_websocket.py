"""Frames as a server builds them: RFC 6455's examples, and two other implementations that read them back."""

import zlib

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame
from websockets.frames import Opcode as TheirOpcode
from websockets.streams import StreamReader

from realtime_tw.codec.websocket import (
    FLUSH_TAIL,
    MAX_CONTROL,
    MAX_REASON,
    Opcode,
    binaryFrame,
    closeFrame,
    deflated,
    frame,
    isText,
    textFrame,
)
from realtime_tw.errors import LimitExceeded, ProtocolError


def read(data: bytes, *extensions: PerMessageDeflate) -> Frame:
    """The one frame in the data, as a client of the websockets library reads it."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parser = Frame.parse(reader.read_exact, mask=False, extensions=extensions)
    try:
        next(parser)
    except StopIteration as end:
        assert not reader.buffer
        result: Frame = end.value
        return result
    raise AssertionError("incomplete frame")


class FrameTests(SynchronousTestCase):
    def test_examplesOfTheStandard(self) -> None:
        # RFC 6455, section 5.7.
        self.assertEqual(textFrame(b"Hello"), bytes.fromhex("810548656c6c6f"))
        self.assertEqual(frame(Opcode.PING, b"Hello"), bytes.fromhex("890548656c6c6f"))
        self.assertEqual(binaryFrame(bytes(256)), bytes.fromhex("827e0100") + bytes(256))
        self.assertEqual(binaryFrame(bytes(65536)), bytes.fromhex("827f0000000000010000") + bytes(65536))

    def test_borders(self) -> None:
        for size, head in (
            (0, "8200"),
            (125, "827d"),
            (126, "827e007e"),
            (65535, "827effff"),
            (65536, "827f0000000000010000"),
        ):
            self.assertEqual(binaryFrame(bytes(size)), bytes.fromhex(head) + bytes(size))

    def test_compressedMessagesAreMarked(self) -> None:
        self.assertEqual(frame(Opcode.TEXT, b"x", rsv1=True), b"\xc1\x01x")
        self.assertEqual(frame(Opcode.BINARY, bytes(126), rsv1=True)[:4], b"\xc2\x7e\x00\x7e")

    def test_controlFramesAreShort(self) -> None:
        for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
            self.assertEqual(len(frame(opcode, bytes(MAX_CONTROL))), MAX_CONTROL + 2)
            with self.assertRaises(LimitExceeded):
                frame(opcode, bytes(MAX_CONTROL + 1))

    @given(st.sampled_from([Opcode.TEXT, Opcode.BINARY]), st.binary(), st.sampled_from([0, 1, 126, 65536]))
    def test_websocketsReadsIt(self, opcode: Opcode, payload: bytes, filling: int) -> None:
        payload = payload + bytes(filling)
        got = read(frame(opcode, payload))
        self.assertEqual((got.opcode, bytes(got.data), got.fin), (TheirOpcode(opcode), payload, True))


class CloseTests(SynchronousTestCase):
    def test_exactBytes(self) -> None:
        self.assertEqual(closeFrame(), b"\x88\x00")
        self.assertEqual(closeFrame(1001), b"\x88\x02\x03\xe9")
        self.assertEqual(closeFrame(1008, "slow"), b"\x88\x06\x03\xf0slow")

    def test_reasonsAreCutBetweenCharacters(self) -> None:
        self.assertEqual(len(closeFrame(1000, "x" * 200)), 2 + MAX_CONTROL)
        for shift in range(4):
            got = Close.parse(bytes(read(closeFrame(1000, "x" * shift + "\N{GRINNING FACE}" * 40)).data))
            self.assertTrue(got.reason.endswith("\N{GRINNING FACE}"))
            self.assertGreater(len(got.reason.encode()), MAX_REASON - 4)

    def test_codesThatAreNotForTheWire(self) -> None:
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 70000, -1):
            with self.assertRaises(ProtocolError, msg=str(code)):
                closeFrame(code)

    @given(st.sampled_from([1000, 1001, 1009, 1013, 3000, 4999]), st.text(st.characters()))
    def test_websocketsReadsIt(self, code: int, reason: str) -> None:
        got = Close.parse(bytes(read(closeFrame(code, reason)).data))
        self.assertEqual(got.code, code)
        self.assertTrue(reason.encode("utf-8", "replace").decode().startswith(got.reason))


class TextTests(SynchronousTestCase):
    def test_utf8(self) -> None:
        for good in (b"", b"abc", "κόσμε€\N{GRINNING FACE}".encode(), b"\0"):
            self.assertTrue(isText(good))
        for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"a" * 99 + b"\x80"):
            self.assertFalse(isText(bad))


def inflated(data: bytes, windowBits: int) -> bytes:
    """A message without its compression; fails when it refers back beyond the window."""
    inflater = zlib.decompressobj(-windowBits)
    result = inflater.decompress(data + FLUSH_TAIL)
    assert not inflater.unconsumed_tail
    assert not inflater.unused_data
    return result


class DeflateTests(SynchronousTestCase):
    def test_examplesOfTheStandard(self) -> None:
        # RFC 7692, sections 7.2.3.1 and 7.2.3.6.
        self.assertEqual(deflated(b"Hello"), bytes.fromhex("f248cdc9c90700"))
        self.assertEqual(frame(Opcode.TEXT, deflated(b"Hello"), rsv1=True), bytes.fromhex("c107f248cdc9c90700"))
        self.assertEqual(deflated(b""), b"\x00")

    def test_everyWindow(self) -> None:
        # Repeats at all distances: what is out of the window must not be referred to.
        unit = bytes(range(256)) + bytes(range(0, 256, 3))
        for distance in (*range(200, 600, 7), 1 << 12, 1 << 15, 1 << 16):
            payload = (unit[:150] + bytes(distance - 150) + unit[:200]) * 3
            for windowBits in range(8, 16):
                self.assertEqual(inflated(deflated(payload, windowBits), windowBits), payload)

    def test_aSmallerWindowForAShortMessageChangesNothing(self) -> None:
        for size in (1, 100, 249, 250, 251, 1000, 4000, 40000):
            payload = (b"The quick brown fox jumps over the lazy dog. %d " % size * size)[:size]
            compressor = zlib.compressobj(wbits=-15)
            plain = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
            self.assertLessEqual(len(deflated(payload)), len(plain) - 4)

    @given(st.binary(), st.integers(0, 2000), st.integers(8, 15))
    @example(b"", 0, 8)
    @example(FLUSH_TAIL, 1, 15)
    def test_otherImplementationsInflateIt(self, data: bytes, times: int, windowBits: int) -> None:
        payload = data * times
        compressed = deflated(payload, windowBits)
        self.assertEqual(inflated(compressed, windowBits), payload)
        extension = PerMessageDeflate(True, True, windowBits, 15)
        got = read(frame(Opcode.BINARY, compressed, rsv1=True), extension)
        self.assertEqual(bytes(got.data), payload)
