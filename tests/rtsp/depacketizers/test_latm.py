"""AAC as MP4A-LATM: what GStreamer and ffmpeg send, configs among the packets, loss, and nonsense."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.latm import MAX_ELEMENT, MAX_UNITS, LATMDepacketizer
from tests.codec.test_aac import bitString
from tests.rtsp.audiopacketizers import Packet, deliver, latmLength, packLATM

#: rtpmp4apay, 48 kHz stereo.
GSTREAMER_FMTP = {"cpresent": "0", "config": "40002320adca00"}
#: ffmpeg -rtpflags latm, 48 kHz mono.
FFMPEG_FMTP = {"profile-level-id": "41", "cpresent": "0", "config": "400023103fc0"}

NAME = bytes.fromhex("de02004c61766335392e33372e31303000422008c11838")
SILENCE = bytes.fromhex("211004608c1c")

#: AAC-LC, 48 kHz, stereo, in a StreamMuxConfig of version 0.
MUX = "0 1 000000 0000 000 00010 0011 0010 000 000 11111111 0 0"

units = st.lists(st.binary(min_size=1, max_size=600), min_size=1, max_size=12)


def depacketizer(**changes: str) -> LATMDepacketizer:
    return LATMDepacketizer({**GSTREAMER_FMTP, **changes}, 48000)


def bitsOf(data: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in data)


class SenderTests(SynchronousTestCase):
    def test_configIsWithoutItsMultiplex(self) -> None:
        receiver = depacketizer()
        self.assertEqual(receiver.config, bytes.fromhex("119056e500"))
        self.assertEqual((receiver.sampleRate, receiver.channels), (48000, 2))
        self.assertEqual(LATMDepacketizer(FFMPEG_FMTP, 48000).config, bytes.fromhex("1188"))

    def test_gstreamer(self) -> None:
        receiver = depacketizer()
        received = list(receiver.receive(b"\x17" + NAME, 1, True, False))
        received += receiver.receive(b"\x06" + SILENCE, 1024, True, False)
        self.assertEqual(received, [AccessUnit(1, True, NAME), AccessUnit(1024, True, SILENCE)])

    def test_gstreamerInFragments(self) -> None:
        # The same with an MTU of 32.
        receiver = depacketizer()
        first = bytes.fromhex("17de02004c61766335392e33372e313030004220")
        self.assertEqual(list(receiver.receive(first, 1, False, False)), [])
        self.assertEqual(list(receiver.receive(bytes.fromhex("08c11838"), 1, True, False)), [AccessUnit(1, True, NAME)])

    def test_ffmpeg(self) -> None:
        receiver = LATMDepacketizer(FFMPEG_FMTP, 48000)
        [unit] = receiver.receive(bytes.fromhex("0401182007"), 5, True, False)
        self.assertEqual(unit, AccessUnit(5, True, bytes.fromhex("01182007")))

    def test_framesInOneElement(self) -> None:
        received = depacketizer().receive(b"\x02ab\x00\x01c", 100, True, False)
        self.assertEqual([(unit.time, unit.data) for unit in received], [(100, b"ab"), (2148, b"c")])

    def test_fixedSizes(self) -> None:
        config = bitString("0 1 000001 0000 000 00010 0011 0010 000 001 000000000 0 0").hex()
        received = depacketizer(config=config).receive(b"a" * 20 + b"b" * 20, 0, True, False)
        self.assertEqual([(unit.time, unit.data) for unit in received], [(0, b"a" * 20), (1024, b"b" * 20)])

    def test_otherDataBehindTheFramesIsLeft(self) -> None:
        config = bitString("0 1 000000 0000 000 00010 0011 0010 000 000 11111111 1 0 00010000 0").hex()
        [unit] = depacketizer(config=config).receive(b"\x02abzz", 0, True, False)
        self.assertEqual(unit.data, b"ab")

    def test_badParameters(self) -> None:
        for changes in ({"config": "xx"}, {"config": "40"}, {"config": ""}):
            with self.assertRaises(ProtocolError):
                depacketizer(**changes)


class InBandTests(SynchronousTestCase):
    def test_configComesWithTheFirstElement(self) -> None:
        for parameters in ({}, {"cpresent": "1"}):
            receiver = LATMDepacketizer(parameters, 48000)
            self.assertEqual(receiver.config, b"")
            # Nothing can be known of an element that refers to a config from before.
            self.assertEqual(list(receiver.receive(bitString("1", bitsOf(b"\x02ab")), 0, True, False)), [])
            element = bitString("0", MUX, bitsOf(b"\x02ab"))
            self.assertEqual(list(receiver.receive(element, 9, True, False)), [AccessUnit(9, True, b"ab")])
            self.assertEqual((receiver.config, receiver.sampleRate, receiver.channels), (b"\x11\x90", 48000, 2))
            again = bitString("1", bitsOf(b"\x03cde"))
            self.assertEqual([unit.data for unit in receiver.receive(again, 9, True, False)], [b"cde"])

    def test_severalFrames(self) -> None:
        receiver = LATMDepacketizer({}, 48000)
        element = bitString("0", MUX.replace("000000", "000001", 1), bitsOf(b"\x02ab\x01c"))
        received = receiver.receive(element, 10, True, False)
        self.assertEqual([(unit.time, unit.data) for unit in received], [(10, b"ab"), (1034, b"c")])

    def test_truncated(self) -> None:
        receiver = LATMDepacketizer({}, 48000)
        self.assertEqual(list(receiver.receive(bitString("0", MUX, bitsOf(b"\x02a")), 0, True, False)), [])
        self.assertEqual(receiver.discarded, 1)


class LossTests(SynchronousTestCase):
    def test_nothingElseIsLostWhereElementsAreWhole(self) -> None:
        data = [b"a", b"bb", b"ccc", b"d"]
        delivery = deliver(depacketizer(), packLATM(data, 100), {0, 2})
        self.assertEqual([(unit.time, unit.data) for unit in delivery.units], [(1024, b"bb"), (3072, b"d")])

    def test_endOfAnElementIsNotTakenForOne(self) -> None:
        # The second half of the second element would be a perfect one.
        packets = packLATM([b"a" * 20, b"b" * 10 + b"\x02xy", b"c"], 11)
        delivery = deliver(depacketizer(), packets, {2})
        self.assertEqual([unit.data for unit in delivery.units], [b"a" * 20, b"c"])

    def test_lostMarker(self) -> None:
        packets = packLATM([b"a" * 20, b"b" * 20, b"c" * 20], 11)
        receiver = depacketizer()
        received: list[AccessUnit] = []
        for number, packet in enumerate(packets):
            if number != 1:
                # Nobody says that something is lost: the time does.
                received += receiver.receive(packet.payload, packet.time, packet.marker, False)
        self.assertEqual([unit.data[:1] for unit in received], [b"b", b"c"])
        self.assertEqual(receiver.discarded, 1)

    def test_malformed(self) -> None:
        for payload in (b"\x03ab", b"\xff", b"\xff\xff", b"\x01a\x05b", bytes(MAX_UNITS + 1)):
            receiver = depacketizer()
            self.assertEqual(list(receiver.receive(payload, 0, True, False)), [])
            self.assertEqual(receiver.discarded, 1)

    def test_elementsAreBounded(self) -> None:
        for size in (1, 1400):
            receiver = depacketizer()
            for _ in range(MAX_ELEMENT // (size + 64) + 1):
                self.assertEqual(receiver.discarded, 0)
                receiver.receive(bytes(size), 0, False, False)
            self.assertEqual(receiver.discarded, 1)
            # All up to the marker is still of the same element.
            receiver.receive(b"\x01a", 0, True, False)
            self.assertEqual(len(receiver.receive(b"\x01a", 0, True, False)), 1)

    def test_endInsideOfAnElement(self) -> None:
        receiver = depacketizer()
        receiver.receive(b"\x05ab", 0, False, False)
        self.assertEqual(list(receiver.flush()), [])
        self.assertEqual(receiver.discarded, 1)
        self.assertEqual(len(receiver.receive(b"\x01a", 0, True, False)), 1)
        # A pause is as good as a marker.
        receiver.receive(b"\x05ab", 0, False, False)
        receiver.receive(b"cd", 0, False, True)
        receiver.flush()
        self.assertEqual(len(receiver.receive(b"\x01a", 0, True, False)), 1)

    @given(units, st.integers(1, 700), st.integers(1, 4))
    def test_roundTrip(self, data: list[bytes], most: int, frames: int) -> None:
        delivery = deliver(depacketizer(), packLATM(data, most, frames))
        self.assertEqual(delivery.units, [AccessUnit(number * 1024, True, unit) for number, unit in enumerate(data)])

    @given(units, st.integers(1, 700), st.integers(1, 4), st.sets(st.integers(0, 60)))
    def test_anyLoss(self, data: list[bytes], most: int, frames: int, dropped: set[int]) -> None:
        # The first element shows that this sender divides.
        whole = [b"x" * (most + 1), *data]
        head = packLATM(whole[:1], most)
        tail = [
            Packet(payload, time + 1024, marker, tuple(unit + 1 for unit in numbers))
            for payload, time, marker, numbers in packLATM(data, most, frames)
        ]
        delivery = deliver(depacketizer(), head + tail, {number + len(head) for number in dropped})
        possible = [AccessUnit(number * 1024, True, unit) for number, unit in enumerate(whole)]
        self.assertEqual(delivery.units[0], possible[0])
        for unit in delivery.units:
            self.assertIn(unit, [possible[number] for number in delivery.complete])
        times = [unit.time for unit in delivery.units]
        self.assertEqual(times, sorted(set(times)))

    @given(
        st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 3), st.booleans(), st.booleans()), max_size=12),
        st.sampled_from([{}, GSTREAMER_FMTP]),
    )
    def test_nothingIsRaised(self, packets: list[tuple[bytes, int, bool, bool]], parameters: dict[str, str]) -> None:
        receiver = LATMDepacketizer(parameters, 48000)
        for payload, time, marker, lost in packets:
            for unit in receiver.receive(payload, time, marker, lost):
                self.assertTrue(unit.data)
        receiver.flush()

    def test_longLengths(self) -> None:
        for size in (254, 255, 256, 510, 5000):
            [unit] = depacketizer().receive(latmLength(size) + bytes(size), 0, True, False)
            self.assertEqual(len(unit.data), size)
