"""RTP packets: their form, their order, their time, and what receiver reports say of them."""

import random
import struct
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ConfigError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.rtcp import SenderReport
from realtime_tw.rtsp.rtp import MAX_DROPOUT, MAX_MISORDER, MAX_REORDER, Receiver, isRTCP, payloadBounds

#: ffmpeg 5.1: first bytes of its first packet of a picture, SEI.
FFMPEG = bytes.fromhex("8060023652989c3a16773b6a0605ffff")


def packet(
    sequence: int, timestamp: int = 0, payload: bytes = b"x", ssrc: int = 7, kind: int = 96, marker: bool = False
) -> bytes:
    second = kind | (0x80 if marker else 0)
    return struct.pack("!BBHII", 0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


class Recorder:
    """A depacketizer that completes an access unit with each packet, and keeps what it was handed."""

    def __init__(self) -> None:
        self.config = b""
        self.discarded = 0
        self.calls: list[tuple[bytes, int, bool, bool]] = []
        self.flushes = 0

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        self.calls.append((payload, time, marker, lost))
        return (AccessUnit(time, True, payload),)

    def flush(self) -> Sequence[AccessUnit]:
        self.flushes += 1
        return (AccessUnit(0, True, b"flushed"),)

    @property
    def payloads(self) -> list[bytes]:
        return [call[0] for call in self.calls]

    @property
    def times(self) -> list[int]:
        return [call[1] for call in self.calls]

    @property
    def losses(self) -> list[bool]:
        return [call[3] for call in self.calls]


def receiver(reorder: int = 0, clockRate: int = 8000, whole: bool = False) -> tuple[Receiver, Recorder]:
    recorder = Recorder()
    return Receiver(recorder, [96, 97], clockRate, reorder, whole), recorder


class FormTests(SynchronousTestCase):
    def test_ordinaryPacket(self) -> None:
        self.assertEqual(payloadBounds(FFMPEG), (12, 16))
        subject, recorder = receiver()
        units = subject.receive(FFMPEG, 0.0)
        self.assertEqual(recorder.calls, [(b"\6\5\xff\xff", 0x52989C3A, False, False)])
        self.assertEqual(units, (AccessUnit(0x52989C3A, True, b"\6\5\xff\xff"),))
        self.assertEqual(subject.ssrc, 0x16773B6A)

    def test_everythingOptional(self) -> None:
        head = struct.pack("!BBHII", 0xB2, 0xE0, 1, 2, 7)
        sources = b"AAAABBBB"
        extension = b"\xbe\xde\x00\x01\x10\xff\x00\x00"
        data = head + sources + extension + b"payload" + b"\0\0\3"
        self.assertEqual(payloadBounds(data), (28, 35))
        subject, recorder = receiver()
        subject.receive(data, 0.0)
        self.assertEqual(recorder.calls, [(b"payload", 2, True, False)])

    def test_onlyThePayloadOfEachKind(self) -> None:
        for first, rest, payload in (
            (0x81, b"AAAApp", b"pp"),
            (0x90, b"\0\0\0\0pp", b"pp"),
            (0xA0, b"pp\1", b"pp"),
            (0xA0, b"\0\0\0\4", b""),
            (0x80, b"", b""),
        ):
            subject, recorder = receiver()
            subject.receive(packet(1), 0.0)
            subject.receive(struct.pack("!BBHII", first, 96, 2, 0, 7) + rest, 0.0)
            self.assertEqual(recorder.calls[1:], [(payload, 0, False, False)])

    def test_malformed(self) -> None:
        good = packet(2)
        for bad in (
            b"",
            good[:11],
            b"\x00" + good[1:],
            b"\x40" + good[1:],
            b"\xc0" + good[1:],
            b"\x81" + good[1:],
            b"\x90" + good[1:],
            b"\x90" + good[1:12] + b"\0\0\0",
            b"\x90" + good[1:12] + b"\0\0\0\1",
            b"\xa0" + good[1:12],
            b"\xa0" + good[1:12] + b"pp\0",
            b"\xa0" + good[1:12] + b"pp\4",
        ):
            self.assertIsNone(payloadBounds(bad), bad)
            subject, recorder = receiver()
            subject.receive(packet(1), 0.0)
            self.assertEqual(subject.receive(bad, 0.0), ())
            subject.receive(packet(3), 0.0)
            self.assertEqual((subject.malformed, recorder.losses), (1, [False, True]))

    def test_wholePackets(self) -> None:
        padded = b"\xa0" + packet(2)[1:] + b"\1"
        subject, recorder = receiver(whole=True)
        for data in (packet(1), padded, packet(3, marker=True)):
            subject.receive(data, 0.0)
        self.assertEqual(recorder.payloads, [packet(1), padded, packet(3, marker=True)])

    def test_RTCPOnTheSameChannel(self) -> None:
        for kind in range(256):
            self.assertEqual(isRTCP(bytes((0x80, kind))), 192 <= kind <= 223 or 64 <= kind <= 95, kind)
        self.assertFalse(isRTCP(b"\x80"))
        self.assertFalse(isRTCP(b""))

    def test_settingsThatCannotBe(self) -> None:
        for kinds, clockRate, reorder in (
            ((), 1, 0),
            ((128,), 1, 0),
            ((96,), 0, 0),
            ((96,), 1, -1),
            ((96,), 1, MAX_REORDER + 1),
        ):
            with self.assertRaises(ConfigError):
                Receiver(Recorder(), kinds, clockRate, reorder)

    def test_allExpectedTypesAreDelivered(self) -> None:
        subject, recorder = receiver()
        subject.receive(packet(1, kind=97, marker=True), 0.0)
        subject.receive(packet(2, kind=96), 0.0)
        self.assertEqual([call[2] for call in recorder.calls], [True, False])

    def test_otherTypesTakeTheirPlaceAndNothingElse(self) -> None:
        subject, recorder = receiver()
        subject.receive(packet(1, kind=13, ssrc=9), 0.0)
        self.assertEqual(subject.ssrc, -1)
        for data in (packet(1, payload=b"a"), packet(2, 50, kind=13), packet(3, payload=b"b")):
            subject.receive(data, 0.0)
        self.assertEqual((recorder.payloads, recorder.losses), ([b"a", b"b"], [False, False]))
        # What is lost before one of them is lost all the same, and so is said at once.
        subject.receive(packet(5, kind=13), 0.0)
        self.assertEqual(recorder.calls[-1], (b"", 0, False, True))
        self.assertEqual((subject.ignored, subject.lost), (3, 1))


class OrderTests(SynchronousTestCase):
    def test_wrap(self) -> None:
        subject, recorder = receiver()
        for number in range(65530, 65530 + 70000):
            subject.receive(packet(number), 0.0)
        self.assertEqual(set(recorder.losses), {False})
        report = subject.report(0.0)
        assert report is not None
        self.assertEqual((report.highest, report.lost), (65530 + 69999, 0))

    def test_loss(self) -> None:
        for gap in (1, 2, MAX_DROPOUT - 1):
            for first in (0, 65535, 65536 - gap):
                subject, recorder = receiver()
                subject.receive(packet(first), 0.0)
                subject.receive(packet(first + 1 + gap), 0.0)
                subject.receive(packet(first + 2 + gap), 0.0)
                self.assertEqual((subject.lost, recorder.losses), (gap, [False, True, False]))

    def test_lateAndTwice(self) -> None:
        subject, recorder = receiver()
        for number in (10, 12, 11, 11, 12, 10, 13, 9):
            subject.receive(packet(number, payload=b"%d" % number), 0.0)
        self.assertEqual(recorder.payloads, [b"10", b"12", b"13"])
        self.assertEqual((subject.lost, subject.late, subject.duplicates), (1, 2, 3))

    def test_memoryOfTheMissingIsBounded(self) -> None:
        subject, _ = receiver()
        number = 0
        for _ in range(50):
            number += MAX_DROPOUT - 1
            subject.receive(packet(number), 0.0)
            self.assertLessEqual(len(subject._missing), MAX_MISORDER)

    def test_aJumpIsBelievedWhenTheNextFollows(self) -> None:
        for jump in (MAX_DROPOUT, 30000, 65536 - MAX_MISORDER - 2):
            subject, recorder = receiver()
            subject.receive(packet(1, 100, b"a"), 0.0)
            self.assertEqual(subject.receive(packet(2 + jump, 200, b"b"), 0.0), ())
            units = subject.receive(packet(3 + jump, 300, b"c"), 0.0)
            subject.receive(packet(4 + jump, 400, b"d"), 0.0)
            self.assertEqual([unit.data for unit in units], [b"flushed", b"b", b"c"])
            self.assertEqual(
                recorder.calls,
                [
                    (b"a", 100, False, False),
                    (b"b", 200, False, True),
                    (b"c", 300, False, False),
                    (b"d", 400, False, False),
                ],
            )
            self.assertEqual((subject.sources, subject.strangers, subject.received), (1, 0, 3))

    def test_aSingleStrayPacketIsNotBelieved(self) -> None:
        subject, recorder = receiver()
        for number in (1, 30000, 2, 30001, 3):
            subject.receive(packet(number, payload=b"%d" % number), 0.0)
        self.assertEqual((recorder.payloads, recorder.losses), ([b"1", b"2", b"3"], [False] * 3))
        self.assertEqual(subject.strangers, 2)

    @given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 3)), max_size=200), st.integers(0, 20))
    def test_theWindowIsBoundedWhateverComes(self, steps: list[tuple[int, int]], reorder: int) -> None:
        subject, _ = receiver(reorder)
        number = 0
        for far, near in steps:
            number += far if far % 7 == 0 else near
            subject.receive(packet(number, payload=number.to_bytes(4, "big")), 0.0)
            self.assertLessEqual(len(subject._held), reorder)
        units = subject.flush()
        self.assertEqual(subject._held, {})
        self.assertEqual(units[-1].data, b"flushed")


class ReorderTests(SynchronousTestCase):
    def delivered(self, reorder: int, numbers: Sequence[int], flush: bool = False) -> tuple[list[int], list[bool]]:
        subject, recorder = receiver(reorder)
        units: list[AccessUnit] = []
        for number in numbers:
            units += subject.receive(packet(number, 100 * number, payload=b"%d" % number), 0.0)
        if flush:
            units += subject.flush()[:-1]
        self.assertEqual([unit.data for unit in units], recorder.payloads)
        self.assertEqual(recorder.times, [100 * int(payload) for payload in recorder.payloads])
        return [int(payload) for payload in recorder.payloads], recorder.losses

    def test_inOrderAgain(self) -> None:
        self.assertEqual(self.delivered(2, [1, 3, 2, 4]), ([1, 2, 3, 4], [False] * 4))
        self.assertEqual(self.delivered(2, [1, 4, 3, 2, 5]), ([1, 2, 3, 4, 5], [False] * 5))
        self.assertEqual(self.delivered(4, [65534, 65537, 65535, 65538, 65536])[0], list(range(65534, 65539)))

    def test_theWindowIsFull(self) -> None:
        self.assertEqual(self.delivered(1, [1, 3, 4, 5]), ([1, 3, 4, 5], [False, True, False, False]))
        self.assertEqual(self.delivered(2, [1, 3, 5]), ([1], [False]))
        self.assertEqual(self.delivered(2, [1, 3, 5, 7]), ([1, 3], [False, True]))
        self.assertEqual(self.delivered(2, [1, 3, 5, 7, 4]), ([1, 3, 4, 5], [False, True, False, False]))
        self.assertEqual(self.delivered(2, [1, 3, 5, 7, 2]), ([1, 3], [False, True]))

    def test_theEndOfTheStream(self) -> None:
        self.assertEqual(self.delivered(8, [1, 3, 6], flush=True), ([1, 3, 6], [False, True, True]))

    def test_twiceInTheWindow(self) -> None:
        subject, recorder = receiver(4)
        for number in (1, 3, 3, 2, 3):
            subject.receive(packet(number), 0.0)
        self.assertEqual((len(recorder.calls), subject.duplicates, subject.lost), (3, 2, 0))

    def test_othersTypesInTheWindow(self) -> None:
        subject, recorder = receiver(4)
        for number, kind in ((1, 96), (3, 13), (4, 96), (2, 96)):
            subject.receive(packet(number, kind=kind), 0.0)
        self.assertEqual((recorder.losses, subject._held), ([False] * 3, {}))

    @given(st.integers(0, 65535), st.integers(1, 8), st.randoms(use_true_random=False))
    def test_anyOrderWithinTheWindow(self, first: int, reorder: int, choice: random.Random) -> None:
        numbers = list(range(first, first + 60))
        # Whole blocks are shuffled: none is further from its place than the window is wide. The first stays.
        mixed = numbers[:1]
        for start in range(1, 60, reorder + 1):
            block = numbers[start : start + reorder + 1]
            choice.shuffle(block)
            mixed += block
        self.assertEqual(self.delivered(reorder, mixed), (numbers, [False] * 60))


class SourceTests(SynchronousTestCase):
    def test_anotherSourceGoesOnByTheTimeThatPassed(self) -> None:
        subject, recorder = receiver()
        subject.receive(packet(1, 1000, b"a"), 10.0)
        subject.receive(packet(2, 1800, b"b"), 10.1)
        self.assertEqual(subject.receive(packet(500, 3_000_000_000, b"c", ssrc=8), 10.6), ())
        units = subject.receive(packet(501, 3_000_000_800, b"d", ssrc=8), 10.7)
        self.assertEqual([unit.data for unit in units], [b"flushed", b"c", b"d"])
        # Half a second after the last of the first source.
        self.assertEqual(recorder.calls[2:], [(b"c", 1800 + 4000, False, True), (b"d", 1800 + 4800, False, False)])
        self.assertEqual((subject.ssrc, subject.sources, subject.received, subject.strangers), (8, 2, 2, 0))
        report = subject.report(11.0)
        assert report is not None
        self.assertEqual((report.ssrc, report.highest, report.lost), (8, 501, 0))

    def test_twoSourcesAtOnce(self) -> None:
        subject, recorder = receiver()
        for number in range(20):
            subject.receive(packet(number, payload=b"a"), 0.0)
            subject.receive(packet(number + 500, payload=b"b", ssrc=8), 0.0)
        self.assertEqual((recorder.payloads, subject.sources, subject.strangers), ([b"a"] * 20, 1, 20))

    def test_anotherSourceMayBeginAnywhere(self) -> None:
        subject, recorder = receiver(reorder=3)
        subject.receive(packet(1, payload=b"a"), 0.0)
        subject.receive(packet(3, payload=b"c"), 0.0)
        for number in (2, 3, 4):
            subject.receive(packet(number, payload=b"n", ssrc=8), 1.0)
        self.assertEqual(recorder.payloads, [b"a", b"c", b"n", b"n", b"n"])

    def test_theSameSourceWithAnotherClock(self) -> None:
        # 11 seconds more than passed here, or less.
        for begin in (17000 + 88000, 17000 - 88000, 1_000_000_000):
            subject, recorder = receiver()
            subject.receive(packet(1, 1000), 10.0)
            subject.receive(packet(30000, begin), 12.0)
            subject.receive(packet(30001, begin + 160), 12.02)
            self.assertEqual(recorder.times, [1000, 17000, 17160])
            self.assertEqual(subject.sources, 2)

    def test_twoStrangersConfirmNothing(self) -> None:
        subject, recorder = receiver()
        for number, ssrc in ((1, 7), (500, 8), (501, 9), (503, 9), (2, 7)):
            subject.receive(packet(number, ssrc=ssrc), 0.0)
        self.assertEqual((len(recorder.calls), subject.sources, subject.strangers), (2, 1, 3))

    def test_wholePacketsOfAnotherSource(self) -> None:
        subject, recorder = receiver(whole=True)
        padded = b"\xa0" + packet(500, ssrc=8)[1:] + b"\1"
        for data in (packet(1), padded, packet(501, ssrc=8)):
            subject.receive(data, 0.0)
        self.assertEqual(recorder.payloads, [packet(1), padded, packet(501, ssrc=8)])


class TimeTests(SynchronousTestCase):
    def test_unwrappedOverManyWraps(self) -> None:
        subject, recorder = receiver()
        time = 0xFFFFFF00
        expected = []
        for number in range(2000):
            subject.receive(packet(number, time), 0.0)
            expected.append(time)
            time += 0x7FFFFFFF if number % 3 else -0x7FFFFFF0 if number % 2 else 160
        self.assertEqual(recorder.times, expected)
        self.assertGreater(max(expected), 200 << 32)

    def test_framesMayBeShownBeforeThoseThatCameEarlier(self) -> None:
        subject, recorder = receiver(clockRate=90000)
        start = (1 << 32) - 3600
        shown = [0, 4, 2, 1, 3, 8, 6, 5, 7]
        for number, index in enumerate(shown):
            subject.receive(packet(number, start + 3600 * index), 0.04 * number)
        self.assertEqual(recorder.times, [start + 3600 * index for index in shown])

    def test_aSenderReportBeforeTheFirstPacket(self) -> None:
        # As ffmpeg sends it; the first packet may be of an earlier time than its report.
        subject, recorder = receiver()
        self.assertEqual(subject.senderReported(SenderReport(7, 1 << 32, 5, 0, 0), 0.0), 5)
        subject.receive(packet(1, 0xFFFFFFFF), 0.0)
        subject.receive(packet(2, 100), 0.0)
        self.assertEqual(recorder.times, [-1, 100])
        self.assertEqual(subject.senderReported(SenderReport(7, 1 << 32, 0xFFFFFFF0, 0, 0), 0.0), -16)

    def test_aSenderReportOfAnotherSource(self) -> None:
        subject, recorder = receiver()
        self.assertEqual(subject.senderReported(SenderReport(9, 1 << 32, 5, 0, 0), 0.0), 5)
        subject.receive(packet(1, 0xFFFFFFFF), 0.0)
        self.assertEqual(recorder.times, [0xFFFFFFFF])
        self.assertIsNone(subject.senderReported(SenderReport(9, 1 << 32, 5, 0, 0), 0.0))
        self.assertEqual(subject.senderReported(SenderReport(7, 1 << 32, 5, 0, 0), 0.0), (1 << 32) + 5)


class ReportTests(SynchronousTestCase):
    def test_nothingToReport(self) -> None:
        self.assertIsNone(receiver()[0].report(0.0))

    def test_fractionsAndSums(self) -> None:
        subject, _ = receiver()
        for number in range(100):
            if number % 4 != 2:
                subject.receive(packet(number), 0.0)
        report = subject.report(0.0)
        assert report is not None
        self.assertEqual((report.ssrc, report.fractionLost, report.lost, report.highest), (7, 64, 25, 99))
        for number in range(100, 110):
            subject.receive(packet(number), 0.0)
        report = subject.report(0.0)
        assert report is not None
        self.assertEqual((report.fractionLost, report.lost, report.highest), (0, 25, 109))
        again = subject.report(0.0)
        assert again is not None
        self.assertEqual((again.fractionLost, again.lost), (0, 25))

    def test_duplicatesMayMakeItNegative(self) -> None:
        subject, _ = receiver()
        for number in (1, 2, 2, 2):
            subject.receive(packet(number), 0.0)
        report = subject.report(0.0)
        assert report is not None
        self.assertEqual((report.fractionLost, report.lost), (0, -2))

    def test_whatWaitsWasReceived(self) -> None:
        subject, _ = receiver(reorder=4)
        for number in (1, 3, 4):
            subject.receive(packet(number), 0.0)
        report = subject.report(0.0)
        assert report is not None
        self.assertEqual((report.lost, report.highest), (1, 4))

    def test_jitterAsInTheRFC(self) -> None:
        # RFC 3550, A.8, in ticks; one packet per time, the timestamp wraps.
        subject, _ = receiver()
        choice = random.Random(3)
        jitter, transit = 0.0, None
        for number in range(200):
            timestamp = 0xFFFFF000 + 160 * number
            arrival = 5.0 + 0.02 * number + choice.random() * 0.03
            subject.receive(packet(number, timestamp), arrival)
            now = arrival * 8000 - timestamp
            if transit is not None:
                jitter += (abs(now - transit) - jitter) / 16
            transit = now
        report = subject.report(0.0)
        assert report is not None
        self.assertEqual(report.jitter, int(jitter))
        self.assertGreater(report.jitter, 40)

    def test_packetsOfOneTimeAreNoJitter(self) -> None:
        subject, _ = receiver()
        for number, arrival in ((1, 0.0), (2, 1.0), (4, 2.0), (5, 3.0)):
            subject.receive(packet(number, 50), arrival)
        report = subject.report(4.0)
        assert report is not None
        self.assertEqual(report.jitter, 0)

    def test_timeSinceTheSenderReport(self) -> None:
        subject, _ = receiver()
        subject.receive(packet(1), 1.0)
        report = subject.report(2.0)
        assert report is not None
        self.assertEqual((report.lastReport, report.delay), (0, 0))
        subject.senderReported(SenderReport(7, 0x11223344_55667788, 0, 0, 0), 10.0)
        report = subject.report(12.5)
        assert report is not None
        self.assertEqual((report.lastReport, report.delay), (0x33445566, 163840))


class RobustnessTests(SynchronousTestCase):
    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=40),
                st.builds(
                    packet,
                    st.integers(0, 65535) | st.integers(0, 10),
                    st.integers(0, 2**32 - 1),
                    st.binary(max_size=5),
                    st.integers(7, 9),
                    st.sampled_from([96, 97, 13]),
                    st.booleans(),
                ),
            ),
            max_size=60,
        ),
        st.integers(0, 4),
        st.booleans(),
    )
    def test_neverRaisesAndNeverKeepsMuch(self, packets: list[bytes], reorder: int, whole: bool) -> None:
        subject, recorder = receiver(reorder, whole=whole)
        units = 0
        for index, data in enumerate(packets):
            units += len(subject.receive(data, index / 50))
            self.assertLessEqual(len(subject._held), reorder)
            self.assertLessEqual(len(subject._missing), MAX_MISORDER)
            subject.report(index / 50)
        units += len(subject.flush())
        self.assertEqual(units, len(recorder.calls) + recorder.flushes)
