"""AAC after RFC 3640: what ffmpeg and GStreamer send, the rarer forms of headers, loss, and nonsense."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.aac import adtsHeader
from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.aac import MAX_FRAGMENTS, MAX_WAITING, AACDepacketizer
from tests.rtsp.audiopacketizers import HBR, LBR, auHeaders, deliver, packGeneric, packInterleaved

#: As ffmpeg writes it for 48 kHz stereo; its keys as some cameras do.
FMTP = {
    "profile-level-id": "1",
    "mode": "AAC-hbr",
    "SizeLength": "13",
    "IndexLength": "3",
    "IndexDeltaLength": "3",
    "config": "119056E500",
}

CONFIG = bytes.fromhex("119056e500")

#: ffmpeg, silence: 33 units; the first has the encoder's name in it.
FFMPEG = bytes.fromhex(
    "0210 00b8" + "0030" * 32 + "de02004c61766335392e33372e31303000422008c11838" + "211004608c1c" * 32
)

#: GStreamer's rtpmp4gpay: one unit per packet.
GSTREAMER = (
    bytes.fromhex("001000b8de02004c61766335392e33372e31303000422008c11838"),
    bytes.fromhex("00100030211004608c1c"),
)

#: ffmpeg, one unit of 142 bytes in two packets.
FRAGMENTS = (
    bytes.fromhex(
        "00100470de02004c61766335392e33372e313030000268a359a1288d35874a995f6f8a711e697b92243c2249fffeae481374c37362b4f5b36d"
        "748babb83b668efc37b8b056ca9ad3252255cdb519"
    ),
    bytes.fromhex(
        "00100470ccb44a44a4489929128181819103031b366c1819122446cd9b368912296596cdc012a2e237044aa9c8d64d8d708cf6d15748ce5d05"
        "6c8cd392aa1c069929c9a26b9296ae"
    ),
)

NAME = bytes.fromhex("de02004c61766335392e33372e31303000422008c11838")
SILENCE = bytes.fromhex("211004608c1c")

units = st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=20)


def depacketizer(clockRate: int = 48000, /, **changes: str) -> AACDepacketizer:
    return AACDepacketizer({**FMTP, **changes}, clockRate)


class SenderTests(SynchronousTestCase):
    def test_configOfTheSDP(self) -> None:
        receiver = depacketizer()
        self.assertEqual((receiver.config, receiver.sampleRate, receiver.channels), (CONFIG, 48000, 2))

    def test_everyUnitOfAPacketHasItsOwnTime(self) -> None:
        received = depacketizer().receive(FFMPEG, 5000, True, False)
        expected = [AccessUnit(5000, True, NAME)]
        expected += [AccessUnit(5000 + number * 1024, True, SILENCE) for number in range(1, 33)]
        self.assertEqual(list(received), expected)

    def test_oneUnitPerPacket(self) -> None:
        receiver = depacketizer()
        self.assertEqual(list(receiver.receive(GSTREAMER[0], 1, True, False)), [AccessUnit(1, True, NAME)])
        self.assertEqual(list(receiver.receive(GSTREAMER[1], 1025, True, False)), [AccessUnit(1025, True, SILENCE)])

    def test_fragmentsEachWithTheSizeOfTheWhole(self) -> None:
        receiver = depacketizer()
        self.assertEqual(list(receiver.receive(FRAGMENTS[0], 7, False, False)), [])
        [unit] = receiver.receive(FRAGMENTS[1], 7, True, False)
        self.assertEqual(unit, AccessUnit(7, True, FRAGMENTS[0][4:] + FRAGMENTS[1][4:]))
        self.assertEqual(len(unit.data), 142)
        self.assertEqual(receiver.discarded, 0)

    def test_fragmentsWithoutMarker(self) -> None:
        receiver = depacketizer()
        receiver.receive(FRAGMENTS[0], 7, False, False)
        self.assertEqual(len(receiver.receive(FRAGMENTS[1], 7, False, False)), 1)

    def test_heAACLastsTwiceItsCoresSamples(self) -> None:
        # Explicit SBR: 24 kHz core, 48 kHz output and clock.
        receiver = depacketizer(config="2b118800")
        self.assertEqual((receiver.sampleRate, receiver.channels), (48000, 2))
        received = receiver.receive(auHeaders([(1, 13), (0, 3), (1, 13), (0, 3)]) + b"ab", 0, True, False)
        self.assertEqual([unit.time for unit in received], [0, 2048])

    def test_clockThatIsNoMultipleOfTheRate(self) -> None:
        # 44.1 kHz on a clock of 90 kHz: 2089.795... ticks.
        receiver = depacketizer(90000, config="1210")
        received = receiver.receive(auHeaders([(1, 13), (0, 3)] * 30) + b"x" * 30, 0, True, False)
        self.assertEqual([unit.time for unit in received], [number * 1024 * 90000 // 44100 for number in range(30)])

    def test_shortFrames(self) -> None:
        received = depacketizer(config="1194").receive(auHeaders([(1, 13), (0, 3)] * 2) + b"ab", 0, True, False)
        self.assertEqual([unit.time for unit in received], [0, 960])

    def test_constantDurationWins(self) -> None:
        received = depacketizer(constantduration="2048").receive(
            auHeaders([(1, 13), (0, 3)] * 2) + b"ab", 0, True, False
        )
        self.assertEqual([unit.time for unit in received], [0, 2048])


class HeaderTests(SynchronousTestCase):
    def test_modeAloneIsEnough(self) -> None:
        data = auHeaders([(1, 13), (0, 3)]) + b"x"
        for parameters in ({"mode": "AAC-hbr"}, {}, {"MODE": "aac-HBR "}):
            self.assertEqual(len(AACDepacketizer(parameters, 48000).receive(data, 0, True, False)), 1)
        data = auHeaders([(1, 6), (0, 2), (1, 6), (0, 2)]) + b"xy"
        self.assertEqual(len(AACDepacketizer({"mode": "AAC-lbr"}, 48000).receive(data, 0, True, False)), 2)

    def test_lowBitRate(self) -> None:
        receiver = depacketizer(mode="AAC-lbr", SizeLength="6", IndexLength="2", IndexDeltaLength="2")
        data = auHeaders([(3, 6), (0, 2), (63, 6), (0, 2), (1, 6), (0, 2)]) + b"abc" + b"d" * 63 + b"e"
        received = receiver.receive(data, 100, True, False)
        self.assertEqual([(unit.time, len(unit.data)) for unit in received], [(100, 3), (1124, 63), (2148, 1)])

    def test_timesAndFlagsInHeaders(self) -> None:
        receiver = depacketizer(
            CTSDeltaLength="12", DTSDeltaLength="9", RandomAccessIndication="1", StreamStateIndication="4"
        )
        first = [(2, 13), (0, 3), (0, 1), (1, 1), (5, 9), (1, 1), (9, 4)]
        second = [(3, 13), (0, 3), (1, 1), (700, 12), (0, 1), (0, 1), (9, 4)]
        third = [(1, 13), (0, 3), (1, 1), (4096 - 10, 12), (0, 1), (0, 1), (9, 4)]
        received = receiver.receive(auHeaders([*first, *second, *third]) + b"aabbbc", 1000, True, False)
        self.assertEqual([(unit.time, unit.data) for unit in received], [(1000, b"aa"), (1700, b"bbb"), (990, b"c")])

    def test_auxiliaryDataIsPassedOver(self) -> None:
        # 3 bits of auxiliary data behind their number in 8 bits: 11 bits, 2 bytes.
        receiver = depacketizer(AuxiliaryDataSizeLength="8")
        [unit] = receiver.receive(auHeaders([(2, 13), (0, 3)]) + b"\x03\xe0" + b"xy", 0, True, False)
        self.assertEqual(unit.data, b"xy")

    def test_constantSizeWithoutHeaders(self) -> None:
        receiver = AACDepacketizer({"mode": "generic", "constantsize": "4", "config": "1190"}, 48000)
        received = receiver.receive(b"aaaabbbb", 10, True, False)
        self.assertEqual([(unit.time, unit.data) for unit in received], [(10, b"aaaa"), (1034, b"bbbb")])
        self.assertEqual(list(receiver.receive(b"ccc", 99, False, False)), [])
        self.assertEqual([unit.data for unit in receiver.receive(b"d", 99, True, False)], [b"cccd"])

    def test_constantSizeWithIndexes(self) -> None:
        receiver = AACDepacketizer({"constantsize": "2", "indexlength": "4", "indexdeltalength": "4"}, 48000)
        received = receiver.receive(auHeaders([(0, 4), (0, 4)]) + b"aabb", 0, True, False)
        self.assertEqual([(unit.time, unit.data) for unit in received], [(0, b"aa"), (1024, b"bb")])

    def test_emptyUnitsCountInTimeOnly(self) -> None:
        received = depacketizer().receive(
            auHeaders([(1, 13), (0, 3), (0, 13), (0, 3), (1, 13), (0, 3)]) + b"ab", 0, True, False
        )
        self.assertEqual([(unit.time, unit.data) for unit in received], [(0, b"a"), (2048, b"b")])

    def test_adtsInsideIsTakenOff(self) -> None:
        header = adtsHeader(b"\x11\x90", 6)
        for packets in packGeneric([header + SILENCE], 2000), packGeneric([header + SILENCE], 5):
            delivery = deliver(depacketizer(), packets)
            self.assertEqual(delivery.units, [AccessUnit(0, True, SILENCE)])
        received = depacketizer().receive(auHeaders([(13, 13), (0, 3)] * 2) + (header + SILENCE) * 2, 0, True, False)
        self.assertEqual([unit.data for unit in received], [SILENCE, SILENCE])

    def test_adtsTellsTheConfigThatTheSDPLeavesOut(self) -> None:
        receiver = AACDepacketizer({}, 24000)
        self.assertEqual((receiver.config, receiver.sampleRate), (b"", 0))
        header = adtsHeader(b"\x13\x08", 6)
        receiver.receive(auHeaders([(13, 13), (0, 3)]) + header + SILENCE, 0, True, False)
        self.assertEqual((receiver.config, receiver.sampleRate, receiver.channels), (b"\x13\x08", 24000, 1))

    def test_whatOnlyBeginsLikeADTSStays(self) -> None:
        for data in (b"\xff\xf1", b"\xff" * 20, adtsHeader(b"\x11\x90", 5) + b"four"):
            received = depacketizer().receive(auHeaders([(len(data), 13), (0, 3)]) + data, 0, True, False)
            self.assertEqual([unit.data for unit in received], [data])

    def test_badParameters(self) -> None:
        for changes in (
            {"SizeLength": "33"},
            {"SizeLength": "-1"},
            {"SizeLength": "x"},
            {"SizeLength": "9" * 5000},
            {"SizeLength": "0"},
            {"constantsize": "65537", "SizeLength": "0"},
            {"config": "xyz"},
            {"config": "11"},
        ):
            with self.assertRaises(ProtocolError):
                AACDepacketizer({**FMTP, **changes}, 48000)


class InterleavingTests(SynchronousTestCase):
    def test_orderOfTime(self) -> None:
        data = [bytes((65 + number,)) for number in range(18)]
        receiver = depacketizer()
        times: list[list[int]] = []
        received: list[AccessUnit] = []
        for packet in packInterleaved(data, 3, 3):
            found = receiver.receive(packet.payload, packet.time, True, False)
            received += found
            times.append([unit.time // 1024 for unit in found])
        self.assertEqual(received, [AccessUnit(number * 1024, True, unit) for number, unit in enumerate(data)])
        # As soon as nothing before them can come: the third packet closes its group.
        self.assertEqual(times[:4], [[0], [1], [2, 3, 4, 5, 6, 7, 8], [9]])

    def test_lossLeavesAGap(self) -> None:
        data = [bytes((65 + number,)) for number in range(18)]
        packets = packInterleaved(data, 3, 3)
        delivery = deliver(depacketizer(), packets, {1})
        self.assertEqual([unit.data for unit in delivery.units], [data[number] for number in delivery.complete])
        self.assertEqual([unit.time // 1024 for unit in delivery.units], delivery.complete)

    def test_flushGivesWhatWaits(self) -> None:
        receiver = depacketizer()
        receiver.receive(packInterleaved([b"a", b"b", b"c", b"d"], 2, 2)[0].payload, 0, True, False)
        self.assertEqual(list(receiver.flush()), [AccessUnit(2048, True, b"c")])
        self.assertEqual(list(receiver.flush()), [])

    def test_timeThatBeginsAnew(self) -> None:
        packets = packInterleaved([b"a", b"b", b"c", b"d"], 2, 2)
        receiver = depacketizer()
        first = deliver(receiver, [packet._replace(time=packet.time + 900000) for packet in packets])
        second = deliver(receiver, packets)
        self.assertEqual([unit.data for unit in first.units + second.units], [b"a", b"b", b"c", b"d"] * 2)
        # ... and in the middle of a group.
        received = list(receiver.receive(packets[0].payload, 900000, True, False))
        received += receiver.receive(packets[0].payload, 0, True, False)
        self.assertEqual([unit.time for unit in received], [900000, 902048, 0])

    def test_waitingIsBounded(self) -> None:
        receiver = depacketizer(SizeLength="6", IndexLength="2", IndexDeltaLength="8")
        waiting = 0
        received: list[AccessUnit] = []
        for number in range(3 * MAX_WAITING):
            # Each has a unit now, and one 120 units later; and they overlap as none could.
            payload = auHeaders([(1, 6), (0, 2), (1, 6), (119, 8)]) + b"ab"
            found = receiver.receive(payload, number * 1000, True, False)
            waiting += 2 - len(found)
            self.assertLessEqual(waiting - receiver.discarded, MAX_WAITING)
            received += found
        received += receiver.flush()
        self.assertEqual(len(received) + receiver.discarded, 6 * MAX_WAITING)
        times = [unit.time for unit in received]
        self.assertEqual(times, sorted(times))

    def test_tooFarApart(self) -> None:
        receiver = depacketizer(SizeLength="6", IndexLength="2", IndexDeltaLength="8")
        self.assertEqual(
            list(receiver.receive(auHeaders([(1, 6), (0, 2), (1, 6), (150, 8)]) + b"ab", 0, True, False)), []
        )
        fields = [(1, 13), (0, 3), *[(1, 13), (7, 3)] * 30]
        self.assertEqual(list(depacketizer().receive(auHeaders(fields) + bytes(31), 0, True, False)), [])
        # So many in a row are only much.
        fields = [(1, 13), (0, 3)] * 300
        self.assertEqual(len(depacketizer().receive(auHeaders(fields) + bytes(300), 0, True, False)), 300)

    def test_whatComesAfterItsTurnIsDiscarded(self) -> None:
        receiver = depacketizer()
        packets = packInterleaved([b"a", b"b", b"c", b"d"], 2, 2)
        for packet in packets:
            receiver.receive(packet.payload, packet.time, True, False)
        self.assertEqual(list(receiver.receive(packets[1].payload, packets[1].time, True, False)), [])
        self.assertEqual(receiver.discarded, 2)

    @given(units, st.integers(1, 5), st.integers(1, 5), st.sets(st.integers(0, 20)))
    def test_anyPattern(self, data: list[bytes], stride: int, perPacket: int, dropped: set[int]) -> None:
        delivery = deliver(depacketizer(), packInterleaved(data, stride, perPacket), dropped)
        expected = [AccessUnit(number * 1024, True, data[number]) for number in delivery.complete]
        self.assertEqual(delivery.units, expected)


class LossTests(SynchronousTestCase):
    def test_theLostFragmentTakesItsUnitOnly(self) -> None:
        data = [b"a" * 10, b"b" * 25, b"c" * 25, b"d" * 10]
        packets = packGeneric(data, 10)
        for dropped, expected in (
            ({1}, "acd"),
            ({2}, "acd"),
            ({3}, "acd"),
            ({3, 4}, "ad"),
            ({6, 7}, "ab"),
            (set(), "abcd"),
        ):
            receiver = depacketizer()
            delivery = deliver(receiver, packets, dropped)
            self.assertEqual("".join(chr(unit.data[0]) for unit in delivery.units), expected, dropped)

    def test_discardedCountsUnits(self) -> None:
        packets = packGeneric([b"a" * 50, b"b" * 50, b"c"], 10)
        for dropped in ({1}, {0}, {4}, {1, 2}):
            receiver = depacketizer()
            deliver(receiver, packets, dropped)
            self.assertEqual(receiver.discarded, 1, dropped)

    def test_endInsideOfAUnit(self) -> None:
        receiver = depacketizer()
        receiver.receive(FRAGMENTS[0], 7, False, False)
        self.assertEqual(list(receiver.flush()), [])
        self.assertEqual(receiver.discarded, 1)

    def test_differentSizeAtTheSameTime(self) -> None:
        receiver = depacketizer()
        receiver.receive(auHeaders([(4, 13), (0, 3)]) + b"ab", 7, False, False)
        receiver.receive(auHeaders([(5, 13), (0, 3)]) + b"cde", 7, False, False)
        [unit] = receiver.receive(auHeaders([(5, 13), (0, 3)]) + b"fg", 7, True, False)
        self.assertEqual(unit.data, b"cdefg")

    def test_fragmentsThatGoBeyondTheirUnit(self) -> None:
        receiver = depacketizer()
        receiver.receive(auHeaders([(4, 13), (0, 3)]) + b"ab", 7, False, False)
        self.assertEqual(list(receiver.receive(auHeaders([(4, 13), (0, 3)]) + b"abc", 7, True, False)), [])
        self.assertEqual(receiver.discarded, 1)

    def test_onlyAWholeLastUnit(self) -> None:
        receiver = depacketizer()
        received = receiver.receive(auHeaders([(1, 13), (0, 3), (5, 13), (0, 3)]) + b"abc", 0, True, False)
        self.assertEqual([unit.data for unit in received], [b"a"])
        self.assertEqual(receiver.discarded, 1)

    def test_malformed(self) -> None:
        for payload in (
            b"\0",
            b"\0\0",
            b"\0\x10",
            b"\0\x10\0",
            b"\0\x0f\0\x08a",
            b"\xff\xff" + bytes(40),
            b"\0\x08\0a",
        ):
            receiver = depacketizer()
            self.assertEqual(list(receiver.receive(payload, 0, True, False)), [], payload)
            self.assertEqual(receiver.discarded, 1, payload)

    def test_emptyIsNoError(self) -> None:
        receiver = depacketizer()
        self.assertEqual(list(receiver.receive(b"", 0, True, False)), [])
        self.assertEqual(receiver.discarded, 0)

    def test_fragmentsOfAByteAreBounded(self) -> None:
        receiver = depacketizer()
        for _ in range(MAX_FRAGMENTS):
            receiver.receive(auHeaders([(8191, 13), (0, 3)]) + b"x", 7, False, False)
        self.assertEqual(receiver.discarded, 1)

    def test_hugeUnit(self) -> None:
        receiver = depacketizer(SizeLength="32", IndexLength="0", IndexDeltaLength="0")
        receiver.receive(auHeaders([(1 << 31, 32)]) + b"x", 7, False, False)
        self.assertEqual(receiver.discarded, 1)

    @given(units, st.integers(4, 40), st.integers(1, 5), st.sets(st.integers(0, 60)), st.booleans())
    def test_anyLoss(self, data: list[bytes], most: int, perPacket: int, dropped: set[int], isLow: bool) -> None:
        widths = LBR if isLow else HBR
        receiver = AACDepacketizer({"mode": "AAC-lbr" if isLow else "AAC-hbr"}, 48000)
        delivery = deliver(receiver, packGeneric(data, most, perPacket, widths=widths), dropped)
        expected = [AccessUnit(number * 1024, True, data[number]) for number in delivery.complete]
        self.assertEqual(delivery.units, expected)

    @given(
        st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 3000), st.booleans(), st.booleans()), max_size=12),
        st.sampled_from(
            [
                {},
                {"mode": "AAC-lbr"},
                {"constantsize": "3"},
                {"sizelength": "7", "ctsdeltalength": "3", "auxiliarydatasizelength": "5"},
                {"sizelength": "1", "indexdeltalength": "30"},
            ]
        ),
    )
    def test_nothingIsRaised(self, packets: list[tuple[bytes, int, bool, bool]], parameters: dict[str, str]) -> None:
        receiver = AACDepacketizer(parameters, 48000)
        for payload, time, marker, lost in packets:
            for unit in receiver.receive(payload, time, marker, lost):
                self.assertTrue(unit.data)
        receiver.flush()
