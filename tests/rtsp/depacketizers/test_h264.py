"""H264 out of RTP: RFC 6184 byte by byte, what real senders do differently, and any loss in any stream."""

import random
import tracemalloc
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.h264 import MAX_NALS, MAX_PARAMETER_SETS, avcConfig, lengthPrefixed, parseAVCConfig
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers import nal as shared
from realtime_tw.rtsp.depacketizers.base import MAX_FRAME, Depacketizer
from realtime_tw.rtsp.depacketizers.h264 import H264Depacketizer
from realtime_tw.rtsp.depacketizers.nal import decodeSprop
from tests.rtsp.packetizers import escape, fuA, packetizeH264, stapA

#: libx264: 322x242 without and with reordering, and 1920x1080.
SPS = bytes.fromhex("6764000dacb40a843c44460220000003002000000651e28554")
PPS = bytes.fromhex("68ef0fcb")
OTHER_SPS = bytes.fromhex("6764000dacd94150878888c044000003000400000300c83c50a658")
OTHER_PPS = bytes.fromhex("68ef8fcb")
HD_SPS = bytes.fromhex("67640028acd940780227e5ffc16a41e404000003000400000300c83c60c658")
#: The same parameter set with id 1.
SECOND_PPS = bytes.fromhex("685bc3f2c0")
CONFIG = avcConfig([SPS], [PPS])

#: Slices: IDR, P, I, B; and a recovery point as libx264 writes it with open GOPs.
IDR = b"\x65\x88\x84" + b"idr" * 9
P = b"\x41\x9a\x21" + b"p" * 20
INTRA = b"\x61\x88\x84" + b"i" * 30
B = b"\x01\x9e\x42" + b"b" * 10
SEI = bytes.fromhex("060601c480")
AUD = b"\x09\xf0"


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


def started(**options: bool) -> H264Depacketizer:
    """Behind a keyframe at time 0."""
    depacketizer = H264Depacketizer([SPS, PPS], **options)
    assert play(depacketizer, packets([IDR], 0)) == [AccessUnit(0, True, lengthPrefixed([IDR]))]
    return depacketizer


def fragments(nal: bytes) -> tuple[bytes, bytes, bytes]:
    first, middle, last = fuA(nal, 2 + (len(nal) + 1) // 3)
    return first, middle, last


class PacketTests(SynchronousTestCase):
    def test_single(self) -> None:
        [unit] = H264Depacketizer([SPS, PPS]).receive(b"\x65\x88abc", 7, True, False)
        self.assertEqual(unit, AccessUnit(7, True, b"\0\0\0\5\x65\x88abc"))

    def test_aggregation(self) -> None:
        # RFC 6184, figure 7: STAP-A with two NAL units.
        payload = b"\x78\0\4\x65\x88ab\0\3\x65\x08c"
        [unit] = H264Depacketizer([SPS, PPS]).receive(payload, 0, True, False)
        self.assertEqual(unit.data, b"\0\0\0\4\x65\x88ab\0\0\0\3\x65\x08c")

    def test_aggregationOfLargeNALUnits(self) -> None:
        nals = [IDR + bytes(size) + b"\x80" for size in (200, 255, 256, 700)]
        [unit] = H264Depacketizer([SPS, PPS]).receive(stapA(nals), 0, True, False)
        self.assertEqual(unit.data, lengthPrefixed(nals))

    def test_fragments(self) -> None:
        # RFC 6184, section 5.8: the header byte is put together from the indicator's NRI and the FU header's type.
        depacketizer = H264Depacketizer([SPS, PPS])
        for payload in (b"\x7c\x85\x88ab", b"\x7c\x05cd"):
            self.assertEqual(depacketizer.receive(payload, 0, False, False), ())
        [unit] = depacketizer.receive(b"\x7c\x45ef", 0, True, False)
        self.assertEqual(unit.data, b"\0\0\0\x08\x65\x88abcdef")

    def test_severalSlices(self) -> None:
        # As ffmpeg sends them: SEI, fragments, then slices that fit in one packet each.
        slices = [SEI, IDR * 3, IDR, IDR * 2]
        payloads = [SEI, *fuA(IDR * 3, 40), IDR, *fuA(IDR * 2, 50)]
        [unit] = play(H264Depacketizer([SPS, PPS]), packets(payloads, 0))
        self.assertEqual(unit, AccessUnit(0, True, lengthPrefixed(slices)))

    def test_everyNALUnitInItsOwnPacket(self) -> None:
        # As GStreamer sends them.
        depacketizer = H264Depacketizer()
        [unit] = play(depacketizer, packets([AUD, SPS, PPS, SEI, IDR], 0))
        self.assertEqual(unit, AccessUnit(0, True, lengthPrefixed([SEI, IDR])))
        self.assertEqual(depacketizer.config, CONFIG)

    def test_timeEndsAnAccessUnitWithoutMarker(self) -> None:
        depacketizer = H264Depacketizer([SPS, PPS])
        stream = [Packet(nal, time, False, False) for nal, time in ((IDR, 0), (IDR, 0), (P, 3600), (P, 7200))]
        found = play(depacketizer, stream)
        self.assertEqual([unit.time for unit in found], [0, 3600])
        self.assertEqual(found[0].data, lengthPrefixed([IDR, IDR]))
        self.assertEqual(depacketizer.flush(), (AccessUnit(7200, False, lengthPrefixed([P])),))
        self.assertEqual(depacketizer.flush(), ())

    def test_flushInTheMiddleOfAnAccessUnit(self) -> None:
        depacketizer = started()
        depacketizer.receive(P, 1, False, False)
        self.assertEqual(depacketizer.flush(), ())
        self.assertEqual(depacketizer.discarded, 1)
        self.assertTrue(depacketizer.awaitingKeyframe)

    def test_whatIsNotForDecoders(self) -> None:
        depacketizer = H264Depacketizer([SPS, PPS])
        payloads = [
            stapA([AUD, b"\x0c\xff\xff\x80"]),
            *fuA(b"\x0c" + b"\xff" * 50, 20),
            IDR,
            b"\x0a",
            b"\x0b",
            b"\x1e?",
        ]
        [unit] = play(depacketizer, packets(payloads, 0))
        self.assertEqual(unit.data, lengthPrefixed([IDR]))
        # Nothing but that is no access unit, and no damage.
        self.assertEqual(play(depacketizer, packets([AUD, b"\x0c\x80", SEI], 1)), [])
        self.assertEqual((depacketizer.discarded, depacketizer.awaitingKeyframe), (0, False))

    def test_emptyPayload(self) -> None:
        depacketizer = H264Depacketizer([SPS, PPS])
        stream = [Packet(b"", 0, False, False), Packet(IDR, 0, False, False), Packet(b"", 0, True, False)]
        self.assertEqual(play(depacketizer, stream), [AccessUnit(0, True, lengthPrefixed([IDR]))])

    def test_emptyPayloadInsideOfFragments(self) -> None:
        first, middle, last = fragments(IDR)
        stream = packets([first, b"", middle, b"", last], 0)
        self.assertEqual(play(H264Depacketizer([SPS, PPS]), stream), [AccessUnit(0, True, lengthPrefixed([IDR]))])


class TolerantTests(SynchronousTestCase):
    def test_oneFragmentWithStartAndEnd(self) -> None:
        [unit] = H264Depacketizer([SPS, PPS]).receive(b"\x7c\xc5\x88ab", 0, True, False)
        self.assertEqual(unit.data, b"\0\0\0\4\x65\x88ab")

    def test_reservedBitOfFragments(self) -> None:
        [unit] = play(H264Depacketizer([SPS, PPS]), packets([b"\x7c\xa5\x88a", b"\x7c\x25b", b"\x7c\x65c"], 0))
        self.assertEqual(unit.data, b"\0\0\0\5\x65\x88abc")

    def test_otherNRIInLaterFragments(self) -> None:
        [unit] = play(H264Depacketizer([SPS, PPS]), packets([b"\x7c\x85\x88a", b"\x1c\x05b", b"\x5c\x45c"], 0))
        self.assertEqual(unit.data, b"\0\0\0\5\x65\x88abc")

    def test_startCodeInFront(self) -> None:
        for code in (b"\0\0\1", b"\0\0\0\1"):
            [unit] = H264Depacketizer([SPS, PPS]).receive(code + IDR, 0, True, False)
            self.assertEqual(unit.data, lengthPrefixed([IDR]))

    def test_startCodesInside(self) -> None:
        whole = b"\0\0\0\1".join([SPS, PPS, SEI, IDR, IDR])
        for payloads in ([whole], [stapA([whole])], fuA(whole, 30)):
            depacketizer = H264Depacketizer()
            [unit] = play(depacketizer, packets(payloads, 0))
            self.assertEqual(unit, AccessUnit(0, True, lengthPrefixed([SEI, IDR, IDR])))
            self.assertEqual(depacketizer.config, CONFIG)

    def test_startCodesInFragmentsOfASliceOnceKnown(self) -> None:
        depacketizer = H264Depacketizer()
        play(depacketizer, packets([b"\0\0\0\1".join([SPS, PPS, IDR])], 0))
        [unit] = play(depacketizer, packets(fuA(P + b"\0\0\1" + P, 20), 1))
        self.assertEqual(unit.data, lengthPrefixed([P, P]))

    def test_paddingBehindAggregates(self) -> None:
        for padding in (b"\0", b"\0\0", b"\0\0\0\0"):
            [unit] = H264Depacketizer([SPS, PPS]).receive(stapA([IDR]) + padding, 0, True, False)
            self.assertEqual(unit.data, lengthPrefixed([IDR]))

    def test_markerOnParameterSets(self) -> None:
        depacketizer = H264Depacketizer()
        stream = [*packets([SPS], 0), *packets([PPS], 0), *packets([IDR], 0)]
        self.assertEqual(play(depacketizer, stream), [AccessUnit(0, True, lengthPrefixed([IDR]))])
        self.assertEqual(depacketizer.discarded, 0)


class DamageTests(SynchronousTestCase):
    def refused(self, payloads: Sequence[bytes]) -> None:
        """The access unit costs itself and what follows up to the next keyframe, and no more."""
        depacketizer = started()
        self.assertEqual(play(depacketizer, packets(payloads, 1)), [])
        self.assertEqual((depacketizer.discarded, depacketizer.awaitingKeyframe), (1, True))
        self.assertEqual(play(depacketizer, packets([P], 2)), [])
        self.assertEqual(play(depacketizer, packets([IDR], 3)), [AccessUnit(3, True, lengthPrefixed([IDR]))])
        self.assertEqual(play(depacketizer, packets([P], 4)), [AccessUnit(4, False, lengthPrefixed([P]))])
        self.assertEqual(depacketizer.discarded, 1)

    def test_fragmentsWithoutStart(self) -> None:
        _, middle, last = fragments(P)
        self.refused([middle, last])
        self.refused([last])
        self.refused([P, last])

    def test_fragmentsWithoutEnd(self) -> None:
        first, middle, last = fragments(P)
        self.refused([first])
        self.refused([first, middle])
        self.refused([first, middle, P])
        self.refused([first, middle, stapA([P])])
        self.refused([first, middle, first, middle, last])
        self.refused([first, P, last])
        self.refused([first, stapA([P]), middle, last])

    def test_fragmentsOfAnotherTime(self) -> None:
        depacketizer = started()
        times = zip(fragments(P), (1, 2, 1), strict=True)
        self.assertEqual(play(depacketizer, [Packet(payload, time, False, False) for payload, time in times]), [])
        self.assertEqual(depacketizer.receive(P, 3, True, False), ())
        self.assertEqual(depacketizer.discarded, 3)

    def test_fragmentsOfAnotherType(self) -> None:
        self.refused([b"\x5c\x81\x9aa", b"\x5c\x05b", b"\x5c\x41c"])
        self.refused([b"\x5c\x81\x9aa", b"\x5c\x45b"])

    def test_fragmentsOfWhatCannotBeFragmented(self) -> None:
        for kind in (0, 24, 28, 31):
            self.refused([bytes((0x5C, 0x80 | kind, 1)), bytes((0x5C, 0x40 | kind, 1)), P])

    def test_fragmentCutShort(self) -> None:
        first, _, last = fragments(P)
        self.refused([b"\x5c"])
        self.refused([first, b"\x5c", last])

    def test_aggregateCutShort(self) -> None:
        self.refused([stapA([P, P])[:-1]])
        self.refused([b"\x58\xff\xff\x41"])

    def test_aggregateInAggregate(self) -> None:
        self.refused([stapA([P, stapA([P])])])
        self.refused([stapA([P, b"\x5c\x81a"])])

    def test_interleavedModeIsNotUnderstood(self) -> None:
        for head in (25, 26, 27, 29):
            self.refused([bytes((0x40 | head, 0, 0, 0, 3, 0x41, 0x9A, 1))])

    def test_forbiddenBit(self) -> None:
        self.refused([b"\xc1" + P[1:]])
        self.refused([stapA([b"\xc1" + P[1:]])])
        self.refused([b"\xdc\x81a", b"\xdc\x41b"])

    def test_parameterSetWithoutSense(self) -> None:
        self.refused([b"\x67\xff\xff", P])
        self.refused([b"\x68", P])

    def test_parameterSetsAreKeptFromADamagedAccessUnit(self) -> None:
        depacketizer = H264Depacketizer()
        first, _, last = fragments(IDR)
        self.assertEqual(play(depacketizer, packets([stapA([SPS, PPS]), first, last[:1]], 0)), [])
        self.assertEqual(depacketizer.config, CONFIG)
        self.assertEqual(len(play(depacketizer, packets([IDR], 1))), 1)


class LossTests(SynchronousTestCase):
    def test_lossInsideAnAccessUnit(self) -> None:
        depacketizer = started()
        stream = [Packet(P, 1, False, False), Packet(P, 1, True, True), *packets([P], 2)]
        self.assertEqual(play(depacketizer, stream), [])
        self.assertEqual(depacketizer.discarded, 1)

    def test_lossInsideFragmentsThatLookWhole(self) -> None:
        # A middle fragment is lost, and type and time go on.
        first, middle, last = fragments(P)
        depacketizer = started()
        stream = [Packet(first, 1, False, False), Packet(middle, 1, False, True), Packet(last, 1, True, False)]
        self.assertEqual(play(depacketizer, stream), [])
        self.assertEqual(depacketizer.discarded, 1)

    def test_lostMarkerCostsBothSides(self) -> None:
        # Where one access unit ended and whether the next is whole cannot be known.
        depacketizer = started()
        stream = [Packet(P, 1, False, False), Packet(IDR, 2, True, True), *packets([IDR], 3)]
        self.assertEqual([unit.time for unit in play(depacketizer, stream)], [3])
        self.assertEqual(depacketizer.discarded, 2)

    def test_lossBetweenAccessUnits(self) -> None:
        depacketizer = started()
        stream = [*packets([P], 2, True), *packets([P], 3), *packets([IDR], 4), *packets([P], 5)]
        self.assertEqual([unit.time for unit in play(depacketizer, stream)], [4, 5])

    def test_keyframeThatShowsItsBeginning(self) -> None:
        for payloads in ([AUD, IDR], [stapA([SPS, PPS]), IDR], [*fuA(SPS, 10), IDR]):
            depacketizer = started()
            self.assertEqual([unit.time for unit in play(depacketizer, packets(payloads, 2, True))], [2])
        for payloads in ([IDR], [PPS, IDR], fuA(IDR, 20), [b"", IDR]):
            depacketizer = started()
            self.assertEqual(play(depacketizer, packets(payloads, 2, True)), [])

    def test_beginningDoesNotMakeUpForTheKeyframe(self) -> None:
        depacketizer = started()
        self.assertEqual(play(depacketizer, [*packets([AUD, P], 2, True), *packets([AUD, P], 3)]), [])
        self.assertTrue(depacketizer.awaitingKeyframe)
        # Nothing of it was damaged.
        self.assertEqual(depacketizer.discarded, 0)

    def test_nothingBeforeTheFirstKeyframe(self) -> None:
        depacketizer = H264Depacketizer([SPS, PPS])
        stream = [*packets([P], 0), *packets([SEI, P], 1), *packets([IDR], 2), *packets([P], 3)]
        self.assertEqual([unit.time for unit in play(depacketizer, stream)], [2, 3])

    def test_nothingWithoutParameterSets(self) -> None:
        depacketizer = H264Depacketizer()
        stream = [*packets([IDR], 0), *packets([SPS, IDR], 1), *packets([P], 2), *packets([PPS, IDR], 3)]
        self.assertEqual([unit.time for unit in play(depacketizer, stream)], [3])


class ConfigTests(SynchronousTestCase):
    def test_fromTheDescription(self) -> None:
        depacketizer = H264Depacketizer([SPS, PPS])
        self.assertEqual(depacketizer.config, CONFIG)
        self.assertEqual((depacketizer.width, depacketizer.height, depacketizer.reorder), (322, 242, 0))

    def test_descriptionWithoutSense(self) -> None:
        for sets in ([b"", b"\x67"], [SPS], [PPS], [b"\xff\xff", IDR, AUD], [stapA([SPS, PPS])]):
            depacketizer = H264Depacketizer(sets)
            self.assertEqual((depacketizer.config, depacketizer.width, depacketizer.discarded), (b"", 0, 0))
            self.assertEqual(len(play(depacketizer, packets([SPS, PPS, IDR], 0))), 1)

    def test_descriptionWithSomethingBesides(self) -> None:
        # Start codes inside of base64, and NAL units that are no parameter sets.
        sets = [b"\0\0\0\1" + SPS + b"\0\0\0\1" + PPS, IDR, b"\x67"]
        self.assertEqual(H264Depacketizer(sets).config, CONFIG)

    def test_repeatedParameterSetsChangeNothing(self) -> None:
        depacketizer = started()
        before = depacketizer.config
        play(depacketizer, packets([SPS, PPS, IDR], 1))
        self.assertIs(depacketizer.config, before)

    def test_newParameterSetsReplaceThoseOfTheirId(self) -> None:
        depacketizer = started()
        self.assertEqual(len(play(depacketizer, packets([HD_SPS, OTHER_PPS, IDR], 1))), 1)
        self.assertEqual(depacketizer.config, avcConfig([HD_SPS], [OTHER_PPS]))
        self.assertEqual((depacketizer.width, depacketizer.height, depacketizer.reorder), (1920, 1080, 2))

    def test_anotherIdIsAdded(self) -> None:
        depacketizer = started()
        play(depacketizer, packets([SECOND_PPS, P], 1))
        self.assertEqual(parseAVCConfig(depacketizer.config), ([SPS], [PPS, SECOND_PPS]))

    def test_extension(self) -> None:
        extension = b"\x6d\xb4\x40"
        depacketizer = H264Depacketizer([SPS, extension, PPS])
        self.assertEqual(depacketizer.config, avcConfig([SPS], [PPS], [extension]))

    def test_configChangesWithTheAccessUnitThatNeedsIt(self) -> None:
        depacketizer = started()
        for payload in (HD_SPS, OTHER_PPS, *fuA(IDR, 20)[:-1]):
            depacketizer.receive(payload, 1, False, False)
            self.assertEqual(depacketizer.config, CONFIG)
        self.assertEqual(len(depacketizer.receive(fuA(IDR, 20)[-1], 1, True, False)), 1)
        self.assertEqual(depacketizer.config, avcConfig([HD_SPS], [OTHER_PPS]))

    def test_configOfTheSecondOfTwoAccessUnits(self) -> None:
        # The marker of the first is missing, the second comes in one packet: they come out of two calls.
        depacketizer = started()
        self.assertEqual(depacketizer.receive(P, 1, False, False), ())
        [unit] = depacketizer.receive(stapA([HD_SPS, OTHER_PPS, IDR]), 2, True, False)
        self.assertEqual((unit.time, depacketizer.config), (1, CONFIG))
        [unit] = depacketizer.receive(P, 3, False, False)
        self.assertEqual((unit.time, depacketizer.config), (2, avcConfig([HD_SPS], [OTHER_PPS])))

    def test_theSecondOfTwoSurvivesALossBehindIt(self) -> None:
        for flush in (False, True):
            depacketizer = started()
            depacketizer.receive(P, 1, False, False)
            depacketizer.receive(stapA([HD_SPS, OTHER_PPS, IDR]), 2, True, False)
            [unit] = depacketizer.flush() if flush else depacketizer.receive(P, 3, True, True)
            self.assertEqual(unit, AccessUnit(2, True, lengthPrefixed([IDR])))
            self.assertEqual(depacketizer.awaitingKeyframe, not flush)

    def test_twoAccessUnitsOfOneConfig(self) -> None:
        depacketizer = started()
        depacketizer.receive(P, 1, False, False)
        self.assertEqual([unit.time for unit in depacketizer.receive(stapA([SPS, PPS, IDR]), 2, True, False)], [1, 2])

    def test_moreParameterSetsThanFit(self) -> None:
        depacketizer = started()
        for identifier in range(256):
            code = f"{identifier + 1:b}"
            digits = ("0" * (len(code) - 1) + code + "1").ljust(24, "0")
            play(depacketizer, packets([b"\x68" + int(digits, 2).to_bytes(3) + b"\xff" * 4000, P], identifier + 1))
        self.assertTrue(depacketizer.discarded)
        self.assertTrue(MAX_PARAMETER_SETS // 2 < len(depacketizer.config) < MAX_PARAMETER_SETS + 1000)

    def test_sprop(self) -> None:
        first, second = b64encode(SPS).decode(), b64encode(PPS).decode()
        self.assertEqual(decodeSprop(f"{first},{second}"), [SPS, PPS])
        self.assertEqual(decodeSprop(f" {first} ,\t{second},"), [SPS, PPS])
        self.assertEqual(decodeSprop(f"{first.rstrip('=')},{second.rstrip('=')}"), [SPS, PPS])
        self.assertEqual(decodeSprop(f"!,{second},a,é"), [PPS])
        for text in ("", ",", ",,", "="):
            self.assertEqual(decodeSprop(text), [])


class RecoveryPointTests(SynchronousTestCase):
    #: Open GOPs from the middle of a stream, in decoding order: I, the B shown before it, P, its B, the next I.
    GOP = (
        packets([SEI, INTRA], 10)
        + packets([B], 8)
        + packets([B], 9)
        + packets([P], 13)
        + packets([B], 11)
        + packets([SEI, INTRA], 20)
        + packets([B], 19)
    )

    def test_startsAStreamWithoutIDR(self) -> None:
        found = play(H264Depacketizer([SPS, PPS]), self.GOP)
        # The B frames shown before the first I refer to what nobody has; those of the second do not.
        self.assertEqual([unit.time for unit in found], [10, 13, 11, 20, 19])
        self.assertEqual([unit.keyframe for unit in found], [True, False, False, False, False])
        self.assertEqual(found[0].data, lengthPrefixed([SEI, INTRA]))

    def test_isNoKeyframeLater(self) -> None:
        self.assertEqual([unit.keyframe for unit in play(started(), self.GOP)], [False] * 7)

    def test_isAKeyframeOnRequest(self) -> None:
        found = play(started(recoveryPoints=True), self.GOP)
        self.assertEqual([unit.time for unit in found if unit.keyframe], [10, 20])
        self.assertEqual(len(found), 7)

    def test_afterALoss(self) -> None:
        depacketizer = started()
        stream = [Packet(P, 5, True, True), *self.GOP]
        self.assertEqual([unit.time for unit in play(depacketizer, stream)], [10, 13, 11, 20, 19])

    def test_aGradualRefreshIsNone(self) -> None:
        gradual = bytes((6, 6, 2, 0b00001100, 0b11100000, 0x80))
        for payloads in ([gradual, INTRA], [SEI, P], [SEI, INTRA, P], [SEI, *fuA(P, 10)], [INTRA]):
            self.assertEqual(play(H264Depacketizer([SPS, PPS]), packets(payloads, 0)), [])

    def test_fragmentedSlices(self) -> None:
        self.assertEqual(len(play(H264Depacketizer([SPS, PPS]), packets([SEI, *fuA(INTRA, 10)], 0))), 1)

    def test_IDREndsTheSearch(self) -> None:
        depacketizer = H264Depacketizer([SPS, PPS])
        stream = [*packets([SEI, INTRA], 10), *packets([IDR], 5), *packets([P], 6)]
        self.assertEqual([unit.time for unit in play(depacketizer, stream)], [10, 5, 6])


#: Beginning and continuation of a NAL unit, the second as few senders do it.
FRAGMENTS = [b"\x7c\x85\x88", b"\x7c\x05ab"]
OTHER_NRI = [b"\x7c\x85\x88", b"\x1c\x05ab"]


class LimitTests(SynchronousTestCase):
    def test_largestFrame(self) -> None:
        self.patch(shared, "MAX_FRAME", 20000)
        for size, whole in ((15000, True), (25000, False)):
            for payloads in (fuA(b"\x65" + b"\x88" * size, 1000), [b"\x65" + b"\x88" * 1000] * (size // 1000)):
                depacketizer = started()
                self.assertEqual(len(play(depacketizer, packets(payloads, 1))), int(whole))
                self.assertEqual(depacketizer.discarded, int(not whole))
                self.assertEqual(len(play(depacketizer, packets([IDR], 2))), 1)

    def test_memoryOfFragmentsThatNeverEnd(self) -> None:
        self.patch(shared, "MAX_FRAME", 20000)
        for payloads in (FRAGMENTS, OTHER_NRI, [b"\x65\x88"], [b"\x78\0\2\x65\x88" + b"\0\2\x65\x88" * 50]):
            depacketizer = H264Depacketizer([SPS, PPS])
            tracemalloc.start()
            try:
                depacketizer.receive(payloads[0], 0, False, False)
                for _ in range(1500):
                    # A new object each time, as from a socket.
                    depacketizer.receive(bytes(bytearray(payloads[-1])), 0, False, False)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            self.assertTrue(peak < 40000, peak)
            depacketizer.flush()
            self.assertEqual(depacketizer.discarded, 1)

    def test_tooManyNALUnits(self) -> None:
        for count, whole in ((MAX_NALS, True), (MAX_NALS + 1, False)):
            for nals in ([b"\x65\x88"] * count, [b"\x7c\xc5\x88"] * count, [b"\0\0\1\x65\x88" * count]):
                depacketizer = H264Depacketizer([SPS, PPS])
                self.assertEqual(len(play(depacketizer, packets(nals, 0))), int(whole))

    def test_realSizesFit(self) -> None:
        nal = b"\x65" + b"\x88" * (MAX_FRAME - MAX_FRAME // 16)
        self.assertEqual(len(play(H264Depacketizer([SPS, PPS]), packets(fuA(nal, 1400), 0))), 1)


class Unit(NamedTuple):
    """An access unit to be sent."""

    keyframe: bool
    delimiter: bool
    sets: bool
    sei: bool
    slices: list[int]


UNITS = st.lists(
    st.builds(
        Unit,
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.lists(st.integers(1, 120), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=12,
)


def sent(units: Sequence[Unit], mtu: int, aggregate: bool, markers: bool) -> tuple[list[Packet], list[AccessUnit]]:
    """The packets, and the access units that were put into them."""
    stream: list[Packet] = []
    expected: list[AccessUnit] = []
    source = random.Random(0)
    for time, unit in enumerate(units):
        head, first = (b"\x65", b"\x88") if unit.keyframe else (b"\x41", b"\x9a")
        kept = [SEI] * unit.sei
        kept += [head + escape(first + source.randbytes(size) + b"\x80") for size in unit.slices]
        nals = [AUD] * unit.delimiter + [SPS, PPS] * unit.sets + kept
        payloads = packetizeH264(nals, mtu, aggregate)
        last = len(payloads) - 1
        stream += [Packet(payload, time, markers and at == last, False) for at, payload in enumerate(payloads)]
        expected.append(AccessUnit(time, unit.keyframe, lengthPrefixed(kept)))
    return stream, expected


class RoundTripTests(SynchronousTestCase):
    @given(UNITS, st.integers(8, 200), st.booleans(), st.booleans())
    def test_withoutLossEverythingComesOut(self, units: list[Unit], mtu: int, aggregate: bool, markers: bool) -> None:
        stream, expected = sent(units, mtu, aggregate, markers)
        depacketizer = H264Depacketizer([SPS, PPS])
        found = play(depacketizer, stream)
        if markers:
            self.assertEqual(depacketizer.flush(), ())
        else:
            found += depacketizer.flush()
        first = next((at for at, unit in enumerate(expected) if unit.keyframe), len(expected))
        if not markers and len(units) == 1:
            # Nothing has shown yet that this sender uses no markers.
            first = 1
        else:
            self.assertEqual(depacketizer.discarded, 0)
        self.assertEqual(found, expected[first:])

    @given(UNITS, st.integers(8, 60), st.booleans(), st.booleans(), st.sets(st.integers(0, 60), min_size=1))
    def test_withLossOnlyWholeFramesComeOutThatCanBeDecoded(
        self, units: list[Unit], mtu: int, aggregate: bool, markers: bool, losses: set[int]
    ) -> None:
        stream, expected = sent(units, mtu, aggregate, markers)
        arrived: list[Packet] = []
        lost = False
        for at, packet in enumerate(stream):
            # Without markers, nothing tells that the last packets of all are missing.
            if at in losses and (markers or at < len(stream) - 1):
                lost = True
            else:
                arrived.append(packet._replace(lost=lost))
                lost = False
        depacketizer = H264Depacketizer([SPS, PPS])
        found = [*play(depacketizer, arrived), *depacketizer.flush()]
        for unit in found:
            self.assertEqual(unit, expected[unit.time])
        times = [unit.time for unit in found]
        self.assertEqual(times, sorted(set(times)))
        for unit in found:
            self.assertTrue(unit.keyframe or unit.time - 1 in times, unit.time)

    @given(st.lists(st.tuples(st.binary(max_size=12), st.integers(0, 3), st.booleans(), st.booleans()), max_size=40))
    def test_anyPackets(self, stream: list[tuple[bytes, int, bool, bool]]) -> None:
        depacketizer = H264Depacketizer([SPS, PPS], recoveryPoints=True)
        for payload, time, marker, lost in stream:
            for unit in depacketizer.receive(payload, time, marker, lost):
                self.assertTrue(unit.data)
        depacketizer.flush()
