"""MPEG audio over RTP: frames are found by their headers, whatever the division."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.mpa import FrameHeader, MPADepacketizer, parseFrameHeader
from tests.rtsp.audiopacketizers import deliver, packMPA

#: libmp3lame by ffmpeg, 8 kHz mono, 8 kbit/s, in packets of 48 bytes at most; frames have 72.
FFMPEG = (
    bytes.fromhex("00000000ffe318c40000000348000000004c414d45332e3130305555" + "55" * 20),
    bytes.fromhex("0000002c5555555555555555554c414d45332e31303055555555555555555555"),
)
#: The same by GStreamer, which marks the last.
GSTREAMER = (
    bytes.fromhex("00000000ffe318c43b0000034800000000" + "55" * 35),
    bytes.fromhex("0000003055555555554c414d45332e31303055555555555555555555"),
)


def frame(number: int = 0, header: int = 0xFFE318C4) -> bytes:
    """A frame of the stream above, with its number in it."""
    known = parseFrameHeader(header)
    assert known is not None
    return header.to_bytes(4) + bytes((number,)) * (known.size - 4)


class HeaderTests(SynchronousTestCase):
    def test_headers(self) -> None:
        for header, expected in (
            (0xFFFB50C4, FrameHeader(3, 44100, 1, 208, 1152)),  # 64 kbit/s
            (0xFFFB52C4, FrameHeader(3, 44100, 1, 209, 1152)),  # padded
            (0xFFFBE064, FrameHeader(3, 44100, 2, 1044, 1152)),
            (0xFFF318C4, FrameHeader(3, 16000, 1, 36, 576)),  # MPEG-2
            (0xFFE318C4, FrameHeader(3, 8000, 1, 72, 576)),  # MPEG-2.5
            (0xFFFDA004, FrameHeader(2, 44100, 2, 626, 1152)),  # 192 kbit/s
            (0xFFE5E804, FrameHeader(2, 8000, 2, 2880, 1152)),  # the largest, less its padding
            (0xFFFFE204, FrameHeader(1, 44100, 2, 488, 384)),
        ):
            self.assertEqual(parseFrameHeader(header), expected, hex(header))

    def test_refused(self) -> None:
        for header in (0, 0xFFDB50C4, 0xFFEB50C4, 0xFFF950C4, 0xFFFB00C4, 0xFFFBF0C4, 0xFFFB5CC4):
            self.assertIsNone(parseFrameHeader(header), hex(header))

    @given(st.integers(0xFFE00000, 0xFFFFFFFF))
    def test_anyHeader(self, header: int) -> None:
        found = parseFrameHeader(header)
        if found is not None:
            self.assertTrue(24 <= found.size <= 2881)
            self.assertIn(found.samples, (384, 576, 1152))


class MPATests(SynchronousTestCase):
    def test_fragmentsOfRealSenders(self) -> None:
        for first, last in (FFMPEG, GSTREAMER):
            receiver = MPADepacketizer()
            self.assertEqual(list(receiver.receive(first, 9, False, False)), [])
            [unit] = receiver.receive(last, 9, True, False)
            self.assertEqual(unit, AccessUnit(9, True, first[4:] + last[4:]))
            self.assertEqual((receiver.layer, receiver.sampleRate, receiver.channels), (3, 8000, 1))
            self.assertEqual((receiver.config, receiver.discarded), (b"", 0))

    def test_framesOfAPacketHaveTheirTimes(self) -> None:
        # 1152 samples at 44.1 kHz are 2351.02 ticks: exact over many frames.
        data = b"".join(frame(number, 0xFFFB50C4 | (number % 2) << 9) for number in range(60))
        received = MPADepacketizer().receive(bytes(4) + data, 1000, False, False)
        self.assertEqual(
            [unit.time for unit in received], [1000 + number * 1152 * 90000 // 44100 for number in range(60)]
        )
        self.assertEqual(b"".join(unit.data for unit in received), data)

    def test_modeExtensionMayChange(self) -> None:
        receiver = MPADepacketizer()
        for header in (0xFFFBE064, 0xFFFBE054, 0xFFFBE044, 0xFFFBE16F):
            self.assertEqual(len(receiver.receive(bytes(4) + frame(1, header), 0, False, False)), 1)
        self.assertEqual(receiver.channels, 2)

    def test_frameThatBeginsBehindAnother(self) -> None:
        first, second = frame(1), frame(2)
        receiver = MPADepacketizer()
        received = list(receiver.receive(bytes(4) + first + second[:30], 100, False, False))
        received += receiver.receive(b"\0\0\0\x1e" + second[30:], 6580, False, False)
        self.assertEqual(received, [AccessUnit(100, True, first), AccessUnit(100 + 6480, True, second)])

    def test_lossTakesOneFrame(self) -> None:
        packets = packMPA([(number * 6480, frame(number)) for number in range(4)], 30)
        for number in range(len(packets)):
            receiver = MPADepacketizer()
            delivery = deliver(receiver, packets, {number})
            self.assertEqual([unit.data[4] for unit in delivery.units], delivery.complete)
            self.assertEqual(len(delivery.units), 3)

    def test_offsetsMustFit(self) -> None:
        whole = frame(1)
        for offset, rest in ((29, whole[30:]), (31, whole[30:]), (30, whole[30:] + b"x")):
            receiver = MPADepacketizer()
            receiver.receive(bytes(4) + whole[:30], 0, False, False)
            self.assertEqual(list(receiver.receive(bytes(2) + offset.to_bytes(2) + rest, 0, True, False)), [])
            self.assertEqual(receiver.discarded, 1)

    def test_endInsideOfAFrame(self) -> None:
        receiver = MPADepacketizer()
        receiver.receive(bytes(4) + frame()[:30], 0, False, False)
        self.assertEqual(list(receiver.flush()), [])
        self.assertEqual(receiver.discarded, 1)
        receiver.receive(bytes(4) + frame()[:30], 0, False, False)
        self.assertEqual(len(receiver.receive(bytes(4) + frame(), 0, False, False)), 1)
        self.assertEqual(list(receiver.flush()), [])
        self.assertEqual(receiver.discarded, 2)

    def test_malformed(self) -> None:
        for payload, units, discarded in (
            (b"", 0, 0),
            (bytes(4), 0, 0),
            (bytes(4) + b"ID3", 0, 1),
            (bytes(4) + bytes(100), 0, 1),
            (bytes(4) + frame() + b"\xff\xe3", 1, 1),
            (bytes(4) + frame() + bytes(10), 1, 1),
            (b"\0\0\1\0" + bytes(10), 0, 0),
        ):
            receiver = MPADepacketizer()
            self.assertEqual(len(receiver.receive(payload, 0, False, False)), units)
            self.assertEqual(receiver.discarded, discarded)

    @given(
        st.lists(st.sampled_from([0xFFE318C4, 0xFFE328C4, 0xFFE31AC4]), min_size=1, max_size=12),
        st.integers(5, 400),
        st.sets(st.integers(0, 60)),
    )
    def test_anyLoss(self, headers: list[int], most: int, dropped: set[int]) -> None:
        frames = [(number * 6480, frame(number, header)) for number, header in enumerate(headers)]
        delivery = deliver(MPADepacketizer(), packMPA(frames, most), dropped)
        expected = [AccessUnit(frames[number][0], True, frames[number][1]) for number in delivery.complete]
        self.assertEqual(delivery.units, expected)

    @given(st.lists(st.tuples(st.binary(max_size=100), st.integers(0, 100), st.booleans()), max_size=12))
    def test_nothingIsRaised(self, packets: list[tuple[bytes, int, bool]]) -> None:
        receiver = MPADepacketizer()
        for payload, offset, lost in packets:
            for data in (payload, bytes(3) + bytes((offset,)) + b"\xff\xe3" + payload):
                for unit in receiver.receive(data, 0, False, lost):
                    self.assertTrue(unit.data)
        receiver.flush()
