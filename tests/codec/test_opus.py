"""Opus packets and OpusHead."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.opus import MAX_SAMPLES, OpusHead, buildHead, countSamples, packetSamples, parseHead
from realtime_tw.errors import ProtocolError


def first(configuration: int, code: int) -> bytes:
    return bytes((configuration << 3 | code,))


def frameLength(size: int) -> bytes:
    """RFC 6716, 3.2.1."""
    return bytes((size,)) if size < 252 else bytes((252 + size % 4, (size - 252 - size % 4) // 4))


class PacketTests(SynchronousTestCase):
    def test_durationsOfTheTable(self) -> None:
        # RFC 6716, table 2, in samples at 48 kHz.
        silk, hybrid, celt = [480, 960, 1920, 2880], [480, 960], [120, 240, 480, 960]
        expected = silk * 3 + hybrid * 2 + celt * 4
        self.assertEqual([packetSamples(first(number, 0) + b"x") for number in range(32)], expected)

    def test_realPackets(self) -> None:
        # libopus by ffmpeg (SILK) and by GStreamer (hybrid or CELT): 20 ms each.
        self.assertEqual(packetSamples(bytes.fromhex("0808acb30ec6")), 960)
        self.assertEqual(packetSamples(bytes.fromhex("780bf234501e8469c11d87c51068")), 960)

    def test_oneFrame(self) -> None:
        self.assertEqual(packetSamples(first(1, 0)), 960)
        self.assertEqual(packetSamples(first(1, 0) + bytes(1275)), 960)
        self.assertEqual(countSamples(first(1, 0) + bytes(1276)), 0)

    def test_twoEqualFrames(self) -> None:
        self.assertEqual(packetSamples(first(1, 1) + b"aabb"), 1920)
        self.assertEqual(countSamples(first(1, 1) + b"aab"), 0)
        self.assertEqual(countSamples(first(1, 1) + bytes(2552)), 0)

    def test_twoFrames(self) -> None:
        self.assertEqual(packetSamples(first(1, 2) + b"\x01abb"), 1920)
        self.assertEqual(packetSamples(first(1, 2) + b"\x00"), 1920)
        self.assertEqual(packetSamples(first(1, 2) + frameLength(300) + bytes(301)), 1920)
        for rest in (b"", b"\x02a", b"\xfc", b"\xfc\x00" + bytes(251), b"\x00" + bytes(1276)):
            self.assertEqual(countSamples(first(1, 2) + rest), 0, rest[:3])

    def test_equalFrames(self) -> None:
        self.assertEqual(packetSamples(first(1, 3) + b"\x03abc"), 2880)
        self.assertEqual(countSamples(first(1, 3) + b"\x03abcd"), 0)
        self.assertEqual(countSamples(first(1, 3) + b"\x00"), 0)
        self.assertEqual(countSamples(first(1, 3)), 0)
        self.assertEqual(countSamples(first(1, 3) + b"\x01" + bytes(1276)), 0)

    def test_differentFrames(self) -> None:
        self.assertEqual(packetSamples(first(1, 3) + b"\x83\x01\x02abbccc"), 2880)
        self.assertEqual(packetSamples(first(1, 3) + b"\x82" + frameLength(252) + bytes(252)), 1920)
        for rest in (b"\x83\x01", b"\x83\x01\x02ab", b"\x82\xfc", b"\x82\x00" + bytes(1276)):
            self.assertEqual(countSamples(first(1, 3) + rest), 0, rest[:3])

    def test_padding(self) -> None:
        self.assertEqual(packetSamples(first(1, 3) + b"\x42\x02aabb\0\0"), 1920)
        self.assertEqual(packetSamples(first(1, 3) + b"\x42\xff\x01aabb" + bytes(255)), 1920)
        for rest in (b"\x42", b"\x42\xff", b"\x42\x03aa", b"\x42\xff\x01" + bytes(254), b"\xc2\x02\x01a"):
            self.assertEqual(countSamples(first(1, 3) + rest), 0, rest[:3])

    def test_at_most120Milliseconds(self) -> None:
        self.assertEqual(packetSamples(first(3, 3) + b"\x02"), MAX_SAMPLES)
        self.assertEqual(countSamples(first(3, 3) + b"\x03"), 0)
        self.assertEqual(packetSamples(first(16, 3) + b"\x30"), MAX_SAMPLES)
        self.assertEqual(countSamples(first(16, 3) + b"\x31"), 0)

    def test_nothing(self) -> None:
        with self.assertRaises(ProtocolError):
            packetSamples(b"")

    @given(
        st.integers(0, 31), st.lists(st.integers(0, 1275), min_size=1, max_size=6), st.integers(0, 600), st.booleans()
    )
    def test_everyWayToDivide(self, configuration: int, sizes: list[int], padding: int, isPadded: bool) -> None:
        samples = packetSamples(first(configuration, 0))
        flags = 0x80 | len(sizes) | (0x40 if isPadded else 0)
        run = b"\xff" * (padding // 254) + bytes((padding % 254,)) if isPadded else b""
        lengths = b"".join(map(frameLength, sizes[:-1]))
        data = first(configuration, 3) + bytes((flags,)) + run + lengths + bytes(sum(sizes) + padding * isPadded)
        total = samples * len(sizes)
        self.assertEqual(countSamples(data), total if total <= MAX_SAMPLES else 0)

    @given(st.binary(max_size=40))
    def test_anyBytes(self, data: bytes) -> None:
        samples = countSamples(data)
        self.assertTrue(0 <= samples <= MAX_SAMPLES and samples % 120 == 0)


class HeadTests(SynchronousTestCase):
    def test_bytes(self) -> None:
        self.assertEqual(buildHead(2, 312, 44100), b"OpusHead\x01\x02\x38\x01\x44\xac\x00\x00\x00\x00\x00")

    def test_roundTrip(self) -> None:
        self.assertEqual(parseHead(buildHead(1, 3840)), OpusHead(1, 3840, 48000, 0, 0))
        self.assertEqual(parseHead(struct.pack("<8sBBHIhB", b"OpusHead", 1, 2, 0, 0, -256, 0)).gain, -256)

    def test_surround(self) -> None:
        head = struct.pack("<8sBBHIhB", b"OpusHead", 1, 6, 0, 48000, 0, 1) + b"\x04\x02\x00\x04\x01\x02\x03\x05"
        self.assertEqual(parseHead(head), OpusHead(6, 0, 48000, 0, 1))
        with self.assertRaises(ProtocolError):
            parseHead(head[:-1])

    def test_refused(self) -> None:
        good = buildHead(2)
        for data in (
            b"",
            good[:-1],
            b"OpusTags" + good[8:],
            good[:8] + b"\x10" + good[9:],
            good[:9] + b"\0" + good[10:],
        ):
            with self.assertRaises(ProtocolError):
                parseHead(data)
        with self.assertRaises(ProtocolError):
            parseHead(good[:9] + b"\3" + good[10:])
        for channels, preSkip, rate in ((0, 0, 0), (3, 0, 0), (2, 65536, 0), (2, -1, 0), (2, 0, 1 << 32)):
            with self.assertRaises(ProtocolError):
                buildHead(channels, preSkip, rate)
