"""HEVC out of RTP: RFC 7798 byte by byte, leading pictures, decoding order numbers, and any loss in any stream."""

import random
import tracemalloc
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.h264 import MAX_NALS, lengthPrefixed
from realtime_tw.codec.hevc import hevcConfig, parseHEVCConfig
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers import nal as shared
from realtime_tw.rtsp.depacketizers.base import Depacketizer
from realtime_tw.rtsp.depacketizers.hevc import HEVCDepacketizer
from realtime_tw.rtsp.depacketizers.nal import decodeSprop
from tests.rtsp.packetizers import aggregationPacket, escape, fragmentationUnits, paci, packetizeHEVC, singleHEVC

#: What ffmpeg wrote into MP4 for libx265: 322x242 with B frames, and 1920x1080.
CONFIG = bytes.fromhex(
    "0101600000009000000000003cf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003c959409a10001002b"
    "42010101600000030090000003000003003ca00a8804071111965654a4c2f0168080000003008000000c84a2000100064401c073c189"
)
SETS = [nals[0] for nals in parseHEVCConfig(CONFIG)]
VPS, SPS, PPS = SETS
HD_SPS = bytes.fromhex(
    "420101016000000300900000030000030078a003c0801107cb965654a4c2f016a02040416db8000003000800000300cb00a4b2f0007a12000f"
    "4244"
)
HD_PPS = bytes.fromhex("4401c073c109")


def nal(kind: int, content: bytes, layer: int = 0) -> bytes:
    return bytes((kind << 1 | layer >> 5, (layer & 31) << 3 | 1)) + content


IDR = nal(19, b"\xaf" + b"idr" * 9)
CRA = nal(21, b"\xaf" + b"cra" * 9)
BLA = nal(16, b"\xaf" + b"bla" * 9)
TRAIL = nal(1, b"\xd0" + b"trail" * 4)
RASL = nal(8, b"\xe0" + b"rasl")
RADL = nal(6, b"\xe0" + b"radl")
SEI = nal(39, b"\x81\x01\x0f\x80")
SUFFIX = nal(40, b"\x81\x01\x0f\x80")
AUD = nal(35, b"\x50")
EOS = nal(36, b"")


class Packet(NamedTuple):
    """The arguments of ``receive``."""

    payload: bytes
    time: int
    marker: bool
    lost: bool


def packets(payloads: Sequence[bytes], time: int, lost: bool = False) -> list[Packet]:
    """An access unit whose last packet has the marker."""
    last = len(payloads) - 1
    return [Packet(payload, time, index == last, lost and index == 0) for index, payload in enumerate(payloads)]


def play(depacketizer: Depacketizer, stream: Iterable[Packet]) -> list[AccessUnit]:
    return [unit for packet in stream for unit in depacketizer.receive(*packet)]


def units(depacketizer: Depacketizer, *pictures: Sequence[bytes]) -> list[int]:
    """The numbers of the pictures that come out, each a list of NAL units of their own packets."""
    stream = [packet for time, payloads in enumerate(pictures) for packet in packets(payloads, time)]
    return [unit.time for unit in play(depacketizer, stream)]


def started() -> HEVCDepacketizer:
    """Behind a keyframe at time 0."""
    depacketizer = HEVCDepacketizer(SETS)
    assert play(depacketizer, packets([IDR], 0)) == [AccessUnit(0, True, lengthPrefixed([IDR]))]
    return depacketizer


class PacketTests(SynchronousTestCase):
    def test_single(self) -> None:
        [unit] = HEVCDepacketizer(SETS).receive(b"\x26\1abc", 7, True, False)
        self.assertEqual(unit, AccessUnit(7, True, b"\0\0\0\5\x26\1abc"))

    def test_aggregation(self) -> None:
        # RFC 7798, figure 5: type 48, then sizes of 16 bits.
        payload = b"\x60\1\0\4\x26\1ab\0\3\x26\1c"
        [unit] = HEVCDepacketizer(SETS).receive(payload, 0, True, False)
        self.assertEqual(unit.data, b"\0\0\0\4\x26\1ab\0\0\0\3\x26\1c")

    def test_aggregationOfLargeNALUnits(self) -> None:
        nals = [IDR + bytes(size) + b"\x80" for size in (200, 255, 256, 700)]
        for number in (None, 1):
            depacketizer = HEVCDepacketizer(SETS, number is not None)
            [unit] = depacketizer.receive(aggregationPacket(nals, number), 0, True, False)
            self.assertEqual(unit.data, lengthPrefixed(nals))

    def test_fragments(self) -> None:
        # RFC 7798, section 4.4.3: type 49, and the type of the NAL unit (19) in the FU header; temporal id 1 is kept.
        depacketizer = HEVCDepacketizer(SETS)
        for payload in (b"\x62\2\x93ab", b"\x62\2\x13cd"):
            self.assertEqual(depacketizer.receive(payload, 0, False, False), ())
        [unit] = depacketizer.receive(b"\x62\2\x53ef", 0, True, False)
        self.assertEqual(unit.data, b"\0\0\0\x08\x26\2abcdef")

    def test_oneFragmentWithStartAndEnd(self) -> None:
        [unit] = HEVCDepacketizer(SETS).receive(b"\x62\1\xd3ab", 0, True, False)
        self.assertEqual(unit.data, b"\0\0\0\4\x26\1ab")

    def test_wholeAccessUnit(self) -> None:
        depacketizer = HEVCDepacketizer()
        payloads = [AUD, aggregationPacket([*SETS, SEI]), *fragmentationUnits(IDR, 15), IDR, SUFFIX]
        [unit] = play(depacketizer, packets(payloads, 0))
        self.assertEqual(unit, AccessUnit(0, True, lengthPrefixed([SEI, IDR, IDR, SUFFIX])))
        self.assertEqual(depacketizer.config, CONFIG)

    def test_contentInformation(self) -> None:
        # RFC 7798, section 4.4.4: around a single NAL unit, an aggregate and fragments, with an extension or none.
        for extension in (b"", b"\x80\0\1", bytes(31)):
            for payloads in ([IDR], [aggregationPacket([IDR])], fragmentationUnits(IDR, 15)):
                wrapped = [paci(payload, extension) for payload in payloads]
                [unit] = play(HEVCDepacketizer(SETS), packets(wrapped, 0))
                self.assertEqual(unit.data, lengthPrefixed([IDR]))
        self.assertEqual(paci(b"\x26\1ab", b"\x80\0\1"), b"\x64\1\x26\x30\x80\0\1ab")

    def test_startCodesInside(self) -> None:
        whole = b"\0\0\0\1".join([b"", *SETS, IDR, IDR])
        for payloads in ([whole], [whole[4:]], [aggregationPacket([whole[4:]])], fragmentationUnits(whole[4:], 30)):
            depacketizer = HEVCDepacketizer()
            [unit] = play(depacketizer, packets(payloads, 0))
            self.assertEqual(unit, AccessUnit(0, True, lengthPrefixed([IDR, IDR])))
            self.assertEqual(depacketizer.config, CONFIG)

    def test_whatIsNotForDecoders(self) -> None:
        filler = nal(38, b"\xff" * 50 + b"\x80")
        enhancement = nal(1, b"\xd0" * 20, layer=1)
        high = nal(1, b"\xd0" * 20, layer=32)
        payloads = [AUD, *fragmentationUnits(filler, 20), *fragmentationUnits(enhancement, 10), enhancement, high]
        payloads += [*fragmentationUnits(high, 10), nal(51, b"?"), IDR, nal(37, b""), EOS]
        [unit] = play(HEVCDepacketizer(SETS), packets(payloads, 0))
        self.assertEqual(unit.data, lengthPrefixed([IDR]))

    def test_fragmentsOfAnotherLayerWhoseLastHeaderSaysOtherwise(self) -> None:
        # Found by fuzzing: the enhancement layer's NAL unit came out.
        depacketizer = started()
        payloads = [b"\x62\x63\x93ab", b"\x62\1\x53cd", TRAIL]
        [unit] = play(depacketizer, packets(payloads, 1))
        self.assertEqual(unit.data, lengthPrefixed([TRAIL]))

    def test_parameterSetsOfAnotherLayerDoNotReplace(self) -> None:
        depacketizer = started()
        play(depacketizer, packets([nal(34, PPS[2:-1] + b"\xff", layer=1), TRAIL], 1))
        self.assertEqual(depacketizer.config, CONFIG)

    def test_timeEndsAnAccessUnitWithoutMarker(self) -> None:
        depacketizer = HEVCDepacketizer(SETS)
        stream = [Packet(unit, time, False, False) for unit, time in ((IDR, 0), (IDR, 0), (TRAIL, 1), (TRAIL, 2))]
        self.assertEqual([unit.time for unit in play(depacketizer, stream)], [0, 1])
        self.assertEqual([unit.time for unit in depacketizer.flush()], [2])


class KeyframeTests(SynchronousTestCase):
    def test_everyIRAP(self) -> None:
        for kind in range(16, 24):
            [unit] = play(HEVCDepacketizer(SETS), packets([nal(kind, b"\xaf")], 0))
            self.assertTrue(unit.keyframe)
        for kind in (*range(8), *range(10, 16), *range(24, 32)):
            self.assertEqual(play(HEVCDepacketizer(SETS), packets([nal(kind, b"\xaf")], 0)), [])
            [unit] = play(started(), packets([nal(kind, b"\xaf")], 1))
            self.assertFalse(unit.keyframe)

    def test_RASLPicturesWhereDecodingBegins(self) -> None:
        # They refer to what came before the CRA picture; RADL pictures do not.
        pictures = [[CRA], [RASL], [RADL], [RASL], [TRAIL], [CRA], [RASL], [TRAIL]]
        self.assertEqual(units(HEVCDepacketizer(SETS), *pictures), [0, 2, 4, 5, 6, 7])
        self.assertEqual(units(HEVCDepacketizer(SETS), [TRAIL], *pictures), [1, 3, 5, 6, 7, 8])

    def test_RASLPicturesThatCanBeDecoded(self) -> None:
        self.assertEqual(units(HEVCDepacketizer(SETS), [IDR], [CRA], [RASL], [TRAIL]), [0, 1, 2, 3])

    def test_RASLPicturesAfterALoss(self) -> None:
        depacketizer = started()
        stream = [*packets([TRAIL], 1, True), *packets([CRA], 2), *packets([RASL], 3), *packets([TRAIL], 4)]
        self.assertEqual([unit.time for unit in play(depacketizer, stream)], [2, 4])
        # Left out, but not damaged.
        self.assertEqual(depacketizer.discarded, 1)

    def test_RASLPicturesAfterBLA(self) -> None:
        self.assertEqual(units(HEVCDepacketizer(SETS), [IDR], [BLA], [RASL], [RADL], [TRAIL]), [0, 1, 3, 4])

    def test_RASLPicturesAfterTheEndOfASequence(self) -> None:
        for end in (EOS, nal(37, b"")):
            pictures = [[IDR], [TRAIL, end], [CRA], [RASL], [TRAIL], [CRA], [RASL]]
            self.assertEqual(units(HEVCDepacketizer(SETS), *pictures), [0, 1, 2, 4, 5, 6])
        # Behind a keyframe itself, and in a packet of its own time.
        self.assertEqual(units(HEVCDepacketizer(SETS), [IDR, EOS], [CRA], [RASL], [TRAIL]), [0, 1, 3])
        self.assertEqual(units(HEVCDepacketizer(SETS), [IDR], [CRA, EOS], [CRA], [RASL]), [0, 1, 2])
        self.assertEqual(units(HEVCDepacketizer(SETS), [IDR], [EOS], [CRA], [RASL]), [0, 2])


class DamageTests(SynchronousTestCase):
    def refused(self, payloads: Sequence[bytes]) -> None:
        """The access unit costs itself and what follows up to the next keyframe, and no more."""
        depacketizer = started()
        self.assertEqual(play(depacketizer, packets(payloads, 1)), [])
        self.assertEqual((depacketizer.discarded, depacketizer.awaitingKeyframe), (1, True))
        self.assertEqual(play(depacketizer, packets([TRAIL], 2)), [])
        self.assertEqual(play(depacketizer, packets([IDR], 3)), [AccessUnit(3, True, lengthPrefixed([IDR]))])
        self.assertEqual(play(depacketizer, packets([TRAIL], 4)), [AccessUnit(4, False, lengthPrefixed([TRAIL]))])
        self.assertEqual(depacketizer.discarded, 1)

    def test_fragments(self) -> None:
        first, middle, last = fragmentationUnits(TRAIL, 5 + 7)
        other = bytes((last[0], last[1], last[2] & 0xC0 | 2)) + last[3:]
        for payloads in (
            [middle, last],
            [last],
            [first],
            [first, middle],
            [first, middle, TRAIL],
            [first, middle, aggregationPacket([TRAIL])],
            [first, middle, first, middle, last],
            [first, middle, other],
            [first, TRAIL, last],
            [first, b"\2\1", last],
            [first, aggregationPacket([TRAIL]), middle, last],
            [first, b"\x62\1", last],
            [b"\x62\1\xb0a", b"\x62\1\x70b"],
            [b"\xe2\1\x81a", b"\xe2\1\x41b"],
            [b"\x62\0\x81a", b"\x62\0\x41b"],
        ):
            self.refused(payloads)

    def test_aggregates(self) -> None:
        self.refused([aggregationPacket([TRAIL, TRAIL])[:-1]])
        self.refused([b"\x60\1\xff\xff\2\1"])
        self.refused([aggregationPacket([TRAIL, aggregationPacket([TRAIL])])])
        self.refused([aggregationPacket([TRAIL]) + b"\0\1\2"])

    def test_headers(self) -> None:
        self.refused([b"\2"])
        self.refused([b"\x82" + TRAIL[1:]])
        # Temporal id plus 1 is never 0.
        self.refused([b"\2\0" + TRAIL[2:]])

    def test_contentInformation(self) -> None:
        self.refused([b"\x64\1\2"])
        self.refused([b"\x64\1\2\x30"])
        self.refused([paci(TRAIL, bytes(31))[:20]])
        self.refused([paci(paci(TRAIL))])

    def test_parameterSetWithoutSense(self) -> None:
        self.refused([SPS[:20], TRAIL])


class OrderNumberTests(SynchronousTestCase):
    def test_fieldsAreTakenOut(self) -> None:
        # RFC 7798, figures 4, 6, 7 and 10: DONL behind the header, in front of the first size, DOND in front of others.
        depacketizer = HEVCDepacketizer(SETS, orderNumbers=True)
        payloads = [
            singleHEVC(SEI, 65533),
            aggregationPacket([IDR, IDR, IDR], 65534),
            *fragmentationUnits(IDR, 20, 1),
            paci(singleHEVC(IDR, 2)),
        ]
        self.assertEqual(payloads[0][:4], SEI[:2] + b"\xff\xfd")
        [unit] = play(depacketizer, packets(payloads, 0))
        self.assertEqual(unit.data, lengthPrefixed([SEI, *[IDR] * 5]))

    def test_anotherOrderCannotBeDecoded(self) -> None:
        for payloads in (
            [singleHEVC(TRAIL, 5), singleHEVC(TRAIL, 4)],
            [singleHEVC(TRAIL, 5), aggregationPacket([TRAIL], 65000)],
            [singleHEVC(TRAIL, 5), *fragmentationUnits(TRAIL, 15, 3)],
        ):
            depacketizer = HEVCDepacketizer(SETS, orderNumbers=True)
            self.assertEqual(len(play(depacketizer, packets([singleHEVC(IDR, 1)], 0))), 1)
            self.assertEqual(play(depacketizer, packets(payloads, 1)), [])
            self.assertEqual(depacketizer.discarded, 1)

    def test_cutShort(self) -> None:
        for payload in (TRAIL[:2], TRAIL[:3], b"\x62\1\x81a", b"\x62\1\xc1a", b"\x60\1\0", b"\x60\1\0\1\xff\xff\1"):
            depacketizer = HEVCDepacketizer(SETS, orderNumbers=True)
            play(depacketizer, packets([singleHEVC(IDR, 1)], 0))
            self.assertEqual(play(depacketizer, packets([payload], 1)), [])

    def test_startCodeInFront(self) -> None:
        depacketizer = HEVCDepacketizer(SETS, orderNumbers=True)
        [unit] = depacketizer.receive(b"\0\0\0\1" + IDR, 0, True, False)
        self.assertEqual(unit.data, lengthPrefixed([IDR]))


class LossTests(SynchronousTestCase):
    def test_keyframeThatShowsItsBeginning(self) -> None:
        for payloads in ([AUD, IDR], [aggregationPacket([*SETS, IDR])], [*fragmentationUnits(VPS, 10), IDR]):
            self.assertEqual([unit.time for unit in play(started(), packets(payloads, 2, True))], [2])
        for payloads in ([IDR], [SPS, IDR], fragmentationUnits(IDR, 20), [b"", IDR]):
            depacketizer = started()
            self.assertEqual(play(depacketizer, packets(payloads, 2, True)), [])
            self.assertEqual((depacketizer.discarded, depacketizer.awaitingKeyframe), (1, True))

    def test_lossInsideFragmentsThatLookWhole(self) -> None:
        first, middle, last = fragmentationUnits(TRAIL, 5 + 7)
        stream = [Packet(first, 1, False, False), Packet(middle, 1, False, True), Packet(last, 1, True, False)]
        self.assertEqual(play(started(), stream), [])


class ConfigTests(SynchronousTestCase):
    def test_fromTheDescription(self) -> None:
        depacketizer = HEVCDepacketizer([nal for part in SETS for nal in decodeSprop(b64encode(part).decode())])
        self.assertEqual(depacketizer.config, CONFIG)
        self.assertEqual((depacketizer.width, depacketizer.height, depacketizer.reorder), (322, 242, 2))

    def test_descriptionWithoutSense(self) -> None:
        for sets in ([b"", b"\x42", b"\x42\1"], SETS[:2], SETS[1:], [IDR, EOS, AUD]):
            depacketizer = HEVCDepacketizer(sets)
            self.assertEqual((depacketizer.config, depacketizer.discarded), (b"", 0))
            self.assertEqual(units(depacketizer, [IDR], [*SETS, CRA], [TRAIL]), [1, 2])

    def test_changeInBand(self) -> None:
        depacketizer = started()
        before = depacketizer.config
        play(depacketizer, packets([*SETS, IDR], 1))
        self.assertIs(depacketizer.config, before)
        for payload in (HD_SPS, HD_PPS):
            depacketizer.receive(payload, 2, False, False)
        self.assertIs(depacketizer.config, before)
        self.assertEqual(len(depacketizer.receive(IDR, 2, True, False)), 1)
        self.assertEqual(depacketizer.config, hevcConfig([VPS], [HD_SPS], [HD_PPS]))
        self.assertEqual((depacketizer.width, depacketizer.height, depacketizer.reorder), (1920, 1080, 2))


class LimitTests(SynchronousTestCase):
    def test_memoryOfFragmentsThatNeverEnd(self) -> None:
        self.patch(shared, "MAX_FRAME", 20000)
        for payloads in ([b"\x62\1\x93a", b"\x62\1\x13ab"], [b"\x26\1\x88"], [b"\x60\1" + b"\0\3\x26\1\x88" * 50]):
            depacketizer = HEVCDepacketizer(SETS)
            tracemalloc.start()
            try:
                depacketizer.receive(payloads[0], 0, False, False)
                for _ in range(1000):
                    # A new object each time, as from a socket.
                    depacketizer.receive(bytes(bytearray(payloads[-1])), 0, False, False)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            self.assertTrue(peak < 40000, peak)
            depacketizer.flush()
            self.assertEqual(depacketizer.discarded, 1)

    def test_tooManyNALUnits(self) -> None:
        for count, whole in ((MAX_NALS, 1), (MAX_NALS + 1, 0)):
            self.assertEqual(len(play(HEVCDepacketizer(SETS), packets([b"\x26\1\x88"] * count, 0))), whole)


class Unit(NamedTuple):
    """An access unit to be sent."""

    kind: int
    delimiter: bool
    sets: bool
    sei: bool
    slices: list[int]


UNITS = st.lists(
    st.builds(
        Unit,
        st.sampled_from((19, 21, 1, 1, 0, 6)),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.lists(st.integers(1, 120), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=12,
)


def sent(
    pictures: Sequence[Unit], mtu: int, aggregate: bool, number: int | None
) -> tuple[list[Packet], list[AccessUnit]]:
    """The packets, and the access units that were put into them."""
    stream: list[Packet] = []
    expected: list[AccessUnit] = []
    source = random.Random(0)
    for time, unit in enumerate(pictures):
        kept = [SEI] * unit.sei
        kept += [nal(unit.kind, escape(b"\xd0" + source.randbytes(size) + b"\x80")) for size in unit.slices]
        nals = [AUD] * unit.delimiter + SETS * unit.sets + kept
        payloads, number = packetizeHEVC(nals, mtu, aggregate, number)
        stream += packets(payloads, time)
        expected.append(AccessUnit(time, unit.kind > 15, lengthPrefixed(kept)))
    return stream, expected


class RoundTripTests(SynchronousTestCase):
    @given(UNITS, st.integers(10, 200), st.booleans(), st.one_of(st.none(), st.integers(0, 65535)))
    def test_withoutLossEverythingComesOut(
        self, pictures: list[Unit], mtu: int, aggregate: bool, number: int | None
    ) -> None:
        stream, expected = sent(pictures, mtu, aggregate, number)
        depacketizer = HEVCDepacketizer(SETS, number is not None)
        found = [*play(depacketizer, stream), *depacketizer.flush()]
        first = next((at for at, unit in enumerate(expected) if unit.keyframe), len(expected))
        self.assertEqual(found, expected[first:])
        self.assertEqual(depacketizer.discarded, 0)

    @given(UNITS, st.integers(10, 60), st.booleans(), st.booleans(), st.sets(st.integers(0, 60), min_size=1))
    def test_withLossOnlyWholeFramesComeOutThatCanBeDecoded(
        self, pictures: list[Unit], mtu: int, aggregate: bool, numbered: bool, losses: set[int]
    ) -> None:
        stream, expected = sent(pictures, mtu, aggregate, 65500 if numbered else None)
        arrived: list[Packet] = []
        lost = False
        for at, packet in enumerate(stream):
            if at in losses:
                lost = True
            else:
                arrived.append(packet._replace(lost=lost))
                lost = False
        depacketizer = HEVCDepacketizer(SETS, numbered)
        found = [*play(depacketizer, arrived), *depacketizer.flush()]
        for unit in found:
            self.assertEqual(unit, expected[unit.time])
        times = [unit.time for unit in found]
        self.assertEqual(times, sorted(set(times)))
        for unit in found:
            self.assertTrue(unit.keyframe or unit.time - 1 in times, unit.time)

    @given(
        st.lists(st.tuples(st.binary(max_size=12), st.integers(0, 3), st.booleans(), st.booleans()), max_size=40),
        st.booleans(),
    )
    def test_anyPackets(self, stream: list[tuple[bytes, int, bool, bool]], numbered: bool) -> None:
        depacketizer = HEVCDepacketizer(SETS, numbered)
        for payload, time, marker, lost in stream:
            for unit in depacketizer.receive(payload, time, marker, lost):
                self.assertTrue(unit.data)
        depacketizer.flush()
