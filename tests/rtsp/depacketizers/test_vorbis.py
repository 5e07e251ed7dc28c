"""Vorbis over RTP: times inside of packets, configurations from everywhere, loss, and nonsense."""

from binascii import b2a_base64

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.vorbis import MAX_CONFIGURATIONS, Headers, laceHeaders, unlaceHeaders
from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.vorbis import MAX_PACKET, VorbisDepacketizer
from tests.codec.test_vorbis import (
    COMMENT,
    HEADERS,
    IDENTIFICATION,
    packedConfiguration,
    packedHeaders,
    setupHeader,
)
from tests.rtsp.audiopacketizers import FFMPEG_VORBIS, deliver, packVorbis

#: ffmpeg, 8 kHz, silence: 15 packets of one byte.
FFMPEG = bytes.fromhex("fecdba0f" + "000100" * 15)

IDENT = 0xABCDEF
OTHER = Headers(IDENTIFICATION.replace(b"\x80\xbb", b"\x44\xac"), COMMENT, setupHeader([0, 1], [0, 1]))

#: Packets for the modes of HEADERS: a short block; long ones, by the windows at their ends.
SHORT, LONG, AFTER_SHORT, BEFORE_SHORT = b"\x00", b"\x0e", b"\x0a", b"\x06"


def fmtp(configurations: dict[int, Headers]) -> dict[str, str]:
    return {"Configuration": b2a_base64(packedConfiguration(configurations), newline=False).decode()}


def depacketizer(clockRate: int = 48000) -> VorbisDepacketizer:
    return VorbisDepacketizer(fmtp({IDENT: HEADERS}), clockRate)


def whole(*packets: bytes, ident: int = IDENT, dataType: int = 0) -> bytes:
    [packet] = packVorbis([(0, data) for data in packets], 1 << 16, ident=ident, dataType=dataType)
    return packet.payload


def stream(blocks: list[bool]) -> list[tuple[int, bytes]]:
    """Packets of long (true) and short blocks with their times; each has its number in it."""
    packets: list[tuple[int, bytes]] = []
    time = 0
    for number, isLong in enumerate(blocks):
        before = blocks[number - 1] if number else isLong
        behind = blocks[number + 1] if number + 1 < len(blocks) else isLong
        first = 2 | before << 2 | behind << 3 if isLong else 0
        packets.append((time, bytes((first, number))))
        time += ((2048 if before else 256) + (2048 if isLong else 256)) // 4
    return packets


class SenderTests(SynchronousTestCase):
    def test_ffmpeg(self) -> None:
        receiver = VorbisDepacketizer({"configuration": FFMPEG_VORBIS}, 8000)
        self.assertEqual((receiver.sampleRate, receiver.channels), (8000, 1))
        self.assertTrue(receiver.config.startswith(b"\x02\x1e\x10\x01vorbis"))
        self.assertTrue(unlaceHeaders(receiver.config).setup.startswith(b"\x05vorbis"))
        received = list(receiver.receive(FFMPEG, 100, False, False))
        # The packet after it, as captured, is 3840 ticks later.
        received += receiver.receive(FFMPEG, 100 + 3840, False, False)
        self.assertEqual(received, [AccessUnit(100 + 256 * number, True, b"\0") for number in range(30)])

    def test_timesComeFromTheBlocks(self) -> None:
        received = depacketizer().receive(whole(SHORT, AFTER_SHORT, LONG, BEFORE_SHORT, SHORT, SHORT), 0, False, False)
        self.assertEqual([unit.time for unit in received], [0, 128, 704, 1728, 2752, 3328])

    def test_blockBeforeIsKnownFromTheLastPacket(self) -> None:
        receiver = depacketizer()
        receiver.receive(whole(BEFORE_SHORT), 0, False, False)
        self.assertEqual(
            [unit.time for unit in receiver.receive(whole(SHORT, SHORT), 1000, False, False)], [1000, 1576]
        )
        # ... but not when something is missing between them.
        receiver.receive(whole(BEFORE_SHORT), 0, False, False)
        self.assertEqual([unit.time for unit in receiver.receive(whole(SHORT, SHORT), 1000, False, True)], [1000, 1128])

    def test_clockThatIsNotTheRate(self) -> None:
        received = depacketizer(90000).receive(whole(LONG, LONG, LONG), 0, False, False)
        self.assertEqual([unit.time for unit in received], [0, 1920, 3840])

    def test_badConfiguration(self) -> None:
        for text in ("x", "AAAAAA==", FFMPEG_VORBIS[:100]):
            with self.assertRaises(ProtocolError):
                VorbisDepacketizer({"configuration": text}, 48000)
        with self.assertRaises(ProtocolError):
            VorbisDepacketizer(fmtp({1: Headers(IDENTIFICATION, COMMENT, b"\x05vorbis")}), 48000)


class ConfigurationTests(SynchronousTestCase):
    def test_unknownIdentIsDiscarded(self) -> None:
        receiver = depacketizer()
        self.assertEqual(list(receiver.receive(whole(SHORT, SHORT, ident=1), 0, False, False)), [])
        self.assertEqual(receiver.discarded, 2)

    def test_eachIdentHasItsConfiguration(self) -> None:
        receiver = VorbisDepacketizer(fmtp({IDENT: HEADERS, 7: OTHER}), 48000)
        self.assertEqual((receiver.config, receiver.sampleRate), (laceHeaders(HEADERS), 48000))
        self.assertEqual(len(receiver.receive(whole(SHORT, ident=7), 0, False, False)), 1)
        self.assertEqual((receiver.config, receiver.sampleRate), (laceHeaders(OTHER), 44100))
        receiver.receive(whole(SHORT), 0, False, False)
        self.assertEqual(receiver.config, laceHeaders(HEADERS))

    def test_amongThePackets(self) -> None:
        receiver = VorbisDepacketizer({}, 48000)
        self.assertEqual((receiver.config, receiver.sampleRate), (b"", 0))
        receiver.receive(whole(SHORT), 0, False, False)
        self.assertEqual(receiver.discarded, 1)
        self.assertEqual(list(receiver.receive(whole(packedHeaders(HEADERS), dataType=1), 0, False, False)), [])
        self.assertEqual((receiver.config, receiver.sampleRate, receiver.channels), (laceHeaders(HEADERS), 48000, 2))
        self.assertEqual(len(receiver.receive(whole(SHORT), 0, False, False)), 1)

    def test_gstreamerCountsNoPacketsThere(self) -> None:
        receiver = VorbisDepacketizer({}, 48000)
        payload = bytearray(whole(packedHeaders(HEADERS), dataType=1))
        payload[3] &= 0xF0
        receiver.receive(bytes(payload), 0, False, False)
        self.assertEqual(receiver.config, laceHeaders(HEADERS))

    def test_inFragments(self) -> None:
        receiver = VorbisDepacketizer({}, 48000)
        deliver(receiver, packVorbis([(0, packedHeaders(HEADERS))], 40, dataType=1))
        self.assertEqual(receiver.config, laceHeaders(HEADERS))

    def test_newOneForTheSameIdent(self) -> None:
        receiver = depacketizer()
        receiver.receive(whole(packedHeaders(OTHER), dataType=1), 0, False, False)
        self.assertEqual(receiver.config, laceHeaders(OTHER))

    def test_ofAnotherIdentWaitsForItsPackets(self) -> None:
        receiver = depacketizer()
        receiver.receive(whole(packedHeaders(OTHER), ident=7, dataType=1), 0, False, False)
        self.assertEqual(receiver.config, laceHeaders(HEADERS))
        receiver.receive(whole(SHORT, ident=7), 0, False, False)
        self.assertEqual(receiver.config, laceHeaders(OTHER))

    def test_sameOneAgainChangesNothing(self) -> None:
        receiver = depacketizer()
        receiver.receive(whole(BEFORE_SHORT), 0, False, False)
        receiver.receive(whole(packedHeaders(HEADERS), dataType=1), 0, False, False)
        self.assertEqual([unit.time for unit in receiver.receive(whole(SHORT, SHORT), 0, False, False)], [0, 576])

    def test_badOneIsDiscarded(self) -> None:
        receiver = depacketizer()
        receiver.receive(whole(b"nonsense", dataType=1), 0, False, False)
        self.assertEqual((receiver.discarded, receiver.config), (1, laceHeaders(HEADERS)))

    def test_theyAreBounded(self) -> None:
        receiver = VorbisDepacketizer({}, 48000)
        for ident in range(1, 3 * MAX_CONFIGURATIONS):
            receiver.receive(whole(packedHeaders(HEADERS), ident=ident, dataType=1), 0, False, False)
        known = 0
        for ident in range(1, 3 * MAX_CONFIGURATIONS):
            known += len(receiver.receive(whole(SHORT, ident=ident), 0, False, False))
        self.assertEqual(known, MAX_CONFIGURATIONS)
        # The one in use is still there, and so is the newest.
        self.assertEqual(len(receiver.receive(whole(SHORT, ident=3 * MAX_CONFIGURATIONS - 1), 0, False, False)), 1)

    def test_commentsAndWhatIsReserved(self) -> None:
        receiver = depacketizer()
        for dataType in (2, 3):
            self.assertEqual(list(receiver.receive(whole(COMMENT, dataType=dataType), 0, False, False)), [])


class LossTests(SynchronousTestCase):
    def test_fragments(self) -> None:
        data = LONG + bytes(range(100))
        packets = packVorbis([(5, data), (1029, LONG)], 30)
        self.assertEqual(
            deliver(depacketizer(), packets).units, [AccessUnit(5, True, data), AccessUnit(1029, True, LONG)]
        )
        for number in range(4):
            receiver = depacketizer()
            self.assertEqual(deliver(receiver, packets, {number}).units, [AccessUnit(1029, True, LONG)])
            self.assertEqual(receiver.discarded, number > 0)

    def test_fragmentsOfDifferentTimesOrIdents(self) -> None:
        first, last = packVorbis([(5, LONG * 2)], 1)
        for time, payload in ((6, last.payload), (5, b"abc" + last.payload[3:])):
            receiver = depacketizer()
            receiver.receive(first.payload, 5, False, False)
            self.assertEqual(list(receiver.receive(payload, time, False, False)), [])
            self.assertEqual(receiver.discarded, 1)

    def test_fragmentsAreBounded(self) -> None:
        receiver = depacketizer()
        head = IDENT.to_bytes(3)
        receiver.receive(head + b"\x40\0\x01a", 0, False, False)
        for _ in range(MAX_PACKET // 65):
            receiver.receive(head + b"\x80\0\x01a", 0, False, False)
        self.assertEqual(receiver.discarded, 1)
        self.assertEqual(list(receiver.receive(head + b"\xc0\0\x01a", 0, False, False)), [])

    def test_beginningWithoutEnd(self) -> None:
        first, last = packVorbis([(5, LONG * 2)], 1)
        receiver = depacketizer()
        receiver.receive(first.payload, 5, False, False)
        receiver.receive(first.payload, 5, False, False)
        self.assertEqual(receiver.discarded, 1)
        self.assertEqual([unit.data for unit in receiver.receive(last.payload, 5, False, False)], [LONG * 2])
        receiver.receive(first.payload, 5, False, False)
        self.assertEqual(len(receiver.receive(whole(SHORT), 5, False, False)), 1)
        receiver.receive(first.payload, 5, False, False)
        self.assertEqual(list(receiver.flush()), [])
        self.assertEqual(receiver.discarded, 3)

    def test_malformed(self) -> None:
        head = IDENT.to_bytes(3)
        for payload, units in (
            (b"abc", 0),
            (head + b"\x01", 0),
            (head + b"\x01\0", 0),
            (head + b"\x01\0\x02\0", 0),
            (head + b"\x02\0\x01\0\0", 1),
            (head + b"\x40\0\x09abc", 0),
            (whole(b"\x01vorbis"), 0),
        ):
            receiver = depacketizer()
            self.assertEqual(len(receiver.receive(payload, 0, False, False)), units, payload)
            self.assertEqual(receiver.discarded, 1, payload)

    def test_emptyPackets(self) -> None:
        receiver = depacketizer()
        self.assertEqual([unit.data for unit in receiver.receive(whole(b"", SHORT), 0, False, False)], [SHORT])
        self.assertEqual(list(receiver.receive(b"", 0, False, False)), [])
        self.assertEqual(receiver.discarded, 0)

    @given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 31), st.integers(1, 15))
    def test_roundTrip(self, blocks: list[bool], most: int, perPacket: int) -> None:
        packets = stream(blocks)
        delivery = deliver(depacketizer(), packVorbis(packets, most, perPacket))
        self.assertEqual(delivery.units, [AccessUnit(time, True, data) for time, data in packets])

    @given(
        st.lists(st.booleans(), min_size=1, max_size=30),
        st.integers(1, 31),
        st.integers(1, 15),
        st.sets(st.integers(0, 30)),
    )
    def test_anyLoss(self, blocks: list[bool], most: int, perPacket: int, dropped: set[int]) -> None:
        packets = stream(blocks)
        delivery = deliver(depacketizer(), packVorbis(packets, most, perPacket), dropped)
        self.assertEqual([unit.data for unit in delivery.units], [packets[number][1] for number in delivery.complete])
        # A short block does not tell what was before it: until the next RTP packet, times may be off by that.
        for unit, number in zip(delivery.units, delivery.complete, strict=True):
            self.assertIn(packets[number][0] - unit.time, (0, 448))

    @given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 2), st.booleans()), max_size=12))
    def test_nothingIsRaised(self, packets: list[tuple[bytes, int, bool]]) -> None:
        receiver = depacketizer()
        for payload, time, lost in packets:
            for data in (payload, IDENT.to_bytes(3) + payload):
                for unit in receiver.receive(data, time, False, lost):
                    self.assertTrue(unit.data)
        receiver.flush()
