"""One timeline for all tracks of a publisher, and decode times."""

import random
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ConfigError
from realtime_tw.rtsp.clock import DRIFT, MAX_REORDER, DecodeTimes, Timeline, TrackClock
from realtime_tw.rtsp.rtcp import SenderReport, ntpToUnixMicros
from realtime_tw.rtsp.rtp import Receiver
from tests.rtsp.test_rtp import Recorder, packet

#: 2026-11-22 21:22:15 UTC, in seconds, and in microseconds.
UNIX = 1_795_382_535
WALL = UNIX * 1_000_000


def ntp(moment: Fraction) -> int:
    """Unix seconds as 64 bits of NTP time."""
    return int((moment + 2_208_988_800) * (1 << 32))


def pair(videoReport: int | None = None, audioReport: int | None = None) -> tuple[Timeline, TrackClock, TrackClock]:
    """
    Video that began at 100 s with RTP time 900, and sound, ready to begin at 100.3 s with RTP time 5.

    :param videoReport: microseconds of the wall clock in a report about the first RTP time, before that.
    """
    timeline = Timeline(UNIX, 100.0)
    video, audio = timeline.track(90000), timeline.track(48000)
    if videoReport is not None:
        video.senderReported(900, videoReport)
    if audioReport is not None:
        audio.senderReported(5, audioReport)
    return timeline, video, audio


class LongRunTests(SynchronousTestCase):
    def test_thirtyHoursOfSoundAndPictures(self) -> None:
        # As packets with 32-bit times and sender reports every 5 s of an exact sender; arrival is up to 0.2 s late.
        choice = random.Random(1)
        timeline = Timeline(UNIX, 0.0)
        rates = (90000, 44100, 48000)
        # Where each track begins in the sender's time, in seconds, and in its own RTP clock: just before it wraps.
        begins = (Fraction(0), Fraction(1, 7), Fraction(1, 13))
        starts = (0xFFFFFFF0, 0xFFFFFF00, 0xFFFF0000)
        clocks = [timeline.track(rate) for rate in rates]
        recorders = [Recorder() for _ in rates]
        receivers = [Receiver(recorder, [96], rate) for recorder, rate in zip(recorders, rates, strict=True)]
        worst = Fraction(0)
        zero: Fraction | None = None
        # One frame in 10 s: exactness is no matter of their number, but of the wraps.
        for index in range(30 * 360):
            for number, rate in enumerate(rates):
                ticks = index * 10 * rate + (index * 1024 if number else index * 3600)
                sent = begins[number] + Fraction(ticks, rate)
                arrival = float(sent) + choice.random() * 0.2
                receiver, clock = receivers[number], clocks[number]
                for unit in receiver.receive(packet(index, starts[number] + ticks), arrival):
                    output = Fraction(clock.convert(unit.time, arrival), rate)
                    if zero is None:
                        zero = output - sent
                    if index > 30:
                        worst = max(worst, abs(output - sent - zero))
                if index % 2:
                    # Reports speak of another moment than the packets around them.
                    moment = sent - Fraction(1, 30)
                    stamp = starts[number] + ticks - rate // 30
                    report = SenderReport(7, ntp(UNIX + moment), stamp & 0xFFFFFFFF, 0, 0)
                    time = receiver.senderReported(report, arrival)
                    assert time is not None
                    clock.senderReported(time, report.unixMicros)
        self.assertLess(worst, Fraction(1, 1000))
        self.assertGreater(recorders[0].times[-1], 2 << 32)
        self.assertEqual([receiver.lost for receiver in receivers], [0, 0, 0])

    def test_withoutReportsOnlyTheBeginningIsAGuess(self) -> None:
        timeline = Timeline(UNIX, 0.0)
        video, audio = timeline.track(90000), timeline.track(44100)
        for second in range(0, 30 * 3600, 60):
            self.assertEqual(video.convert(second * 90000 + 17, second + 0.1), (second + 1) * 90000)
            self.assertEqual(audio.convert(second * 44100 + 99, second + 0.35), second * 44100 + 55125)


class BeginningTests(SynchronousTestCase):
    def test_byArrival(self) -> None:
        timeline, video, audio = pair()
        self.assertEqual(timeline.epoch, 0)
        self.assertEqual(video.convert(900, 100.0), 90000)
        self.assertEqual(audio.convert(5, 100.3), 62400)
        self.assertEqual(timeline.epoch, UNIX * 1000 - 1000)

    def test_startIsTheFirstPacketAndConvertItsFrame(self) -> None:
        timeline, video, _ = pair()
        video.start(900, 100.0)
        video.start(77, 200.0)
        self.assertEqual(video.convert(4500, 100.9), 93600)
        self.assertEqual(timeline.epoch, UNIX * 1000 - 1000)

    def test_byReportsWhenTheyAreThereInTime(self) -> None:
        # As ffmpeg does: 200 ms between the tracks, where arrival says 300.
        timeline, video, audio = pair(WALL, WALL + 200_000)
        self.assertEqual(video.convert(900, 100.0), 90000)
        self.assertEqual(audio.convert(5, 100.3), 48000 + 9600)
        self.assertEqual(audio.pending, 0)
        self.assertEqual(timeline.epoch, UNIX * 1000 - 1000)

    def test_toTheNearestTick(self) -> None:
        _, video, audio = pair(WALL, WALL + 200_011)
        video.convert(900, 100.0)
        self.assertEqual(audio.convert(5, 100.3), 57601)

    def test_earlierThanTheZeroIsNotPossible(self) -> None:
        # 3 s before the picture, but only 1 s is there: 2 s more are made up for slowly.
        _, video, audio = pair(WALL, WALL - 3_000_000)
        video.convert(900, 100.0)
        self.assertEqual(audio.convert(5, 100.3), 0)
        self.assertEqual(audio.pending, -96000)

    def test_clocksThatHaveNothingToDoWithEachOther(self) -> None:
        _, video, audio = pair(WALL, WALL + 3_600_000_000)
        video.convert(900, 100.0)
        self.assertEqual(audio.convert(5, 100.3), 62400)
        self.assertEqual(audio.pending, 0)

    def test_leads(self) -> None:
        timeline = Timeline(UNIX, 0.0, lead=0)
        track = timeline.track(1000)
        self.assertEqual(track.convert(-3, 5.0), 0)
        self.assertEqual(timeline.epoch, UNIX * 1000 + 5000)
        for bad in (-1, 3601):
            with self.assertRaises(ConfigError):
                Timeline(0, 0, bad)
        with self.assertRaises(ConfigError):
            timeline.track(0)


class EpochTests(SynchronousTestCase):
    def test_ofTheSendersClock(self) -> None:
        timeline, video, _ = pair(WALL - 5_000_000)
        video.convert(900, 100.0)
        self.assertEqual(timeline.epoch, UNIX * 1000 - 6000)

    def test_ofALaterReport(self) -> None:
        timeline, video, _ = pair()
        video.convert(900, 100.0)
        video.senderReported(900 + 90000, WALL + 1_250_000)
        self.assertEqual(timeline.epoch, UNIX * 1000 - 750)

    def test_notOfAClockThatWasNeverSet(self) -> None:
        for micros in (ntpToUnixMicros(2_208_988_900 << 32), ntpToUnixMicros(100 << 32)):
            timeline, video, _ = pair(micros)
            video.convert(900, 100.0)
            self.assertEqual(timeline.epoch, UNIX * 1000 - 1000)


class SlewTests(SynchronousTestCase):
    def test_fiveMillisecondsInEachSecond(self) -> None:
        for offset in (99_950, -99_950):
            _, video, audio = pair()
            video.convert(900, 100.0)
            audio.convert(5, 100.3)
            video.senderReported(900, WALL)
            audio.senderReported(5, WALL + 300_000 + offset)
            moved = []
            # Packets of 20 ms, which allow 4.8 ticks each.
            for index in range(1500):
                time = 960 * index
                moved.append(audio.convert(5 + time, 100.3 + index / 50) - 62400 - time)
            sign = 1 if offset > 0 else -1
            self.assertEqual([moved[50], moved[500], moved[-1]], [sign * 240, sign * 2400, sign * 4798])
            self.assertTrue(all(abs(b - a) <= 5 for a, b in pairwise(moved)))
            self.assertEqual((moved[999], moved[1000]), (sign * 4795, sign * 4798))
            self.assertEqual(max(map(abs, moved)), 4798)
            # The reference does not move.
            self.assertEqual(video.convert(900 + 90000, 200.0), 180000)

    def test_itHappensOnce(self) -> None:
        _, video, audio = pair(WALL, WALL + 300_000)
        video.convert(900, 100.0)
        audio.convert(5, 100.3)
        for second in range(5, 100, 5):
            video.senderReported(900 + second * 90000, WALL + second * 1_000_000)
            noise = DRIFT - 1 if second % 2 else 1 - DRIFT
            audio.senderReported(5 + second * 48000, WALL + 300_000 + second * 1_000_000 + noise)
            self.assertEqual(audio.pending, 0)

    def test_reportsInTheMeantimeChangeNothing(self) -> None:
        _, video, audio = pair()
        video.convert(900, 100.0)
        audio.convert(5, 100.3)
        video.senderReported(900, WALL)
        audio.senderReported(5, WALL + 400_000)
        self.assertEqual(audio.pending, 4800)
        audio.convert(5 + 240000, 105.3)
        self.assertEqual(audio.pending, 3600)
        audio.senderReported(5 + 240000, WALL + 5_400_000)
        self.assertEqual(audio.pending, 3600)

    def test_theReferenceDriftsAndTheOthersFollow(self) -> None:
        _, video, audio = pair(WALL, WALL + 300_000)
        video.convert(900, 100.0)
        audio.convert(5, 100.3)
        moved = 0
        for second in range(5, 70, 5):
            video.senderReported(900 + second * 89910, WALL + second * 1_000_000)
            audio.senderReported(5 + second * 48000, WALL + 300_000 + second * 1_000_000)
            self.assertEqual(video.pending, 0)
            moved = moved or audio.pending
        # After 45 s the picture's clock is 45 ms late, and the sound has to be as late as it is.
        self.assertEqual(moved, -2160)

    def test_driftIsFollowedWhenItShows(self) -> None:
        # The sound card is 0.1 % slow.
        _, video, audio = pair(WALL, WALL + 300_000)
        video.convert(900, 100.0)
        audio.convert(5, 100.3)
        worst = 0.0
        for second in range(5, 600, 5):
            ticks = second * 47952
            video.senderReported(900 + second * 90000, WALL + second * 1_000_000)
            audio.senderReported(5 + ticks, WALL + 300_000 + second * 1_000_000)
            output = audio.convert(5 + ticks, 100.3 + second)
            worst = max(worst, abs(output / 48000 - 1.3 - second))
        self.assertLess(worst, 0.060)
        self.assertGreater(worst, 0.030)

    @given(
        st.integers(-900_000, 900_000),
        st.lists(st.sampled_from([0, 1, 4, 2, 3]), min_size=1, max_size=50),
        st.sampled_from([8000, 44100, 90000]),
    )
    def test_framesKeepTheirOrder(self, offset: int, jumbled: list[int], clockRate: int) -> None:
        timeline = Timeline(UNIX, 0.0)
        reference, track = timeline.track(1000), timeline.track(clockRate)
        reference.senderReported(0, WALL)
        reference.convert(0, 0.0)
        track.convert(0, 0.0)
        track.senderReported(0, WALL + offset)
        duration = clockRate // 25
        times = [(5 * group + index) * duration for group, index in enumerate(jumbled)]
        shown = {time: track.convert(time, time / clockRate) for time in times}
        inOrder = [shown[time] for time in sorted(shown)]
        self.assertEqual(inOrder, sorted(set(inOrder)))


class DoubtfulReportTests(SynchronousTestCase):
    def prepared(self) -> tuple[Timeline, TrackClock, TrackClock]:
        timeline, video, audio = pair(WALL, WALL + 300_000)
        video.convert(900, 100.0)
        audio.convert(5, 100.3)
        return timeline, video, audio

    def test_oneAbsurdReportMovesNothing(self) -> None:
        timeline, _, audio = self.prepared()
        epoch = timeline.epoch
        audio.senderReported(5 + 5 * 48000, WALL + 8_300_000)
        audio.senderReported(5 + 10 * 48000, WALL + 10_300_000)
        audio.senderReported(5 + 15 * 48000, WALL + 10)
        self.assertEqual((audio.pending, timeline.epoch), (0, epoch))

    def test_theSendersClockIsSet(self) -> None:
        # By 5 s, which both tracks tell one after the other: no media move, neither then nor later.
        timeline, video, audio = self.prepared()
        epoch = timeline.epoch
        for second in range(5, 60, 5):
            step = 5_000_000 if second > 10 else 0
            video.senderReported(900 + second * 90000, WALL + second * 1_000_000 + step)
            self.assertEqual((audio.pending, timeline.epoch), (0, epoch))
            step = 5_000_000 if second > 20 else 0
            audio.senderReported(5 + second * 48000, WALL + 300_000 + second * 1_000_000 + step)
            self.assertEqual((audio.pending, timeline.epoch), (0, epoch))

    def test_anotherSourceBeginsWithItsOwnReports(self) -> None:
        _, _, audio = self.prepared()
        audio.restart()
        # 50 ms off, which is then made up for; against the reports of the former source it would be an hour.
        audio.senderReported(5 + 48000, WALL + 1_350_000)
        self.assertEqual(audio.pending, 2400)
        audio.restart()
        self.assertEqual(audio.pending, 0)

    def test_theRTPClockIsSet(self) -> None:
        for far in (-4 * 90000, -(10**9), 3601 * 90000, 2**31 - 1):
            timeline = Timeline(UNIX, 0.0)
            track = timeline.track(90000)
            track.convert(10**6, 10.0)
            track.convert(10**6 + 90000, 11.0)
            self.assertEqual(track.convert(10**6 + 90000 + far, 11.5), 90000 * 5 // 2, far)
            self.assertEqual(track.convert(10**6 + 93600 + far, 11.6), 90000 * 5 // 2 + 3600, far)

    def test_whatIsFlushedHasNoArrival(self) -> None:
        timeline = Timeline(UNIX, 10.0**9)
        track = timeline.track(1000)
        track.convert(0, 10.0**9)
        self.assertEqual(track.convert(40, 0.0), 1040)
        self.assertEqual(track.convert(-5000, 10.0**9 + 1), 2040)
        self.assertEqual(track.convert(-9000, 0.0), 2041)
        self.assertEqual(track.convert(-8960, 10.0**9 + 2), 2081)

    def test_aLongPauseIsNone(self) -> None:
        # And files are published faster than they play.
        timeline = Timeline(UNIX, 0.0)
        track = timeline.track(90000)
        track.convert(0, 10.0)
        self.assertEqual(track.convert(5000 * 90000, 5010.2), 5001 * 90000)
        self.assertEqual(track.convert(8000 * 90000, 5010.1), 8001 * 90000)


class DecodeTimesTests(SynchronousTestCase):
    #: libx264 with -bf 3, as ffmpeg sent it: the order in which frames are shown.
    PYRAMID = (0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11, 16, 14, 13, 15, 20, 18, 17, 19, 24, 22, 21, 23)

    def both(self, times: DecodeTimes, shown: tuple[int, ...], step: int = 3600) -> tuple[list[int], list[int]]:
        pairs = [times.next(index * step) for index in shown]
        return [pts for pts, _ in pairs], [dts for _, dts in pairs]

    def test_withoutReorderingBothAreEqual(self) -> None:
        for depth in (0, None):
            pts, dts = self.both(DecodeTimes(depth, 3600), tuple(range(50)))
            self.assertEqual((pts, dts), ([3600 * index for index in range(50)],) * 2)

    def test_theEncodersOwnDecodeTimes(self) -> None:
        pts, dts = self.both(DecodeTimes(2, 3600), self.PYRAMID)
        self.assertEqual(pts, [3600 * index for index in self.PYRAMID])
        self.assertEqual(dts, [3600 * (index - 2) for index in range(25)])

    def test_aDepthThatIsTooLargeOnlyCostsDelay(self) -> None:
        pts, dts = self.both(DecodeTimes(4, 3600), self.PYRAMID)
        self.assertEqual(pts, [3600 * index for index in self.PYRAMID])
        self.assertEqual(dts, [3600 * (index - 4) for index in range(25)])
        self.assertEqual(DecodeTimes(99, 1).depth, MAX_REORDER)

    def test_theDepthIsLearned(self) -> None:
        times = DecodeTimes(None, 3600)
        pts, dts = self.both(times, self.PYRAMID)
        self.assertEqual(times.depth, 2)
        # The first group is shown one tick after the other, once; then all is as if the depth had been known.
        self.assertEqual(pts[:5], [0, 14400, 14401, 14402, 14403])
        self.assertEqual(pts[5:], [3600 * index for index in self.PYRAMID[5:]])
        self.assertEqual(dts[8:], [3600 * (index - 2) for index in range(8, 25)])

    def test_theSameTimeTwiceIsNoReordering(self) -> None:
        times = DecodeTimes(None, 3600)
        self.assertEqual([times.next(pts) for pts in (0, 100, 100, 200)], [(0, 0), (100, 100), (101, 101), (200, 200)])
        self.assertEqual(times.depth, 0)

    def test_anotherDepthInTheMiddle(self) -> None:
        times = DecodeTimes(0, 3600)
        self.both(times, tuple(range(10)))
        times.setDepth(2)
        pts, dts = self.both(times, tuple(10 + index for index in self.PYRAMID))
        self.assertEqual(pts[5:], [3600 * (10 + index) for index in self.PYRAMID[5:]])
        self.assertEqual(dts[5:], [3600 * (8 + index) for index in range(5, 25)])
        # Nor does a step that is too long push a frame out of its time.
        subject = DecodeTimes(0, 3600)
        self.both(subject, (0, 1), 1800)
        subject.setDepth(2)
        self.assertEqual(subject.next(3600), (3600, 3600))
        times.setDepth(None)
        self.assertEqual(times.depth, 2)
        times.setDepth(0)
        pts, dts = self.both(times, tuple(range(40, 50)))
        self.assertEqual((pts, dts), ([3600 * index for index in range(40, 50)],) * 2)

    @given(st.lists(st.integers(-(10**6), 10**6), max_size=100), st.none() | st.integers(0, 20), st.integers(0, 5000))
    def test_alwaysInOrderAndNeverAfter(self, times: list[int], depth: int | None, step: int) -> None:
        subject = DecodeTimes(depth, step)
        last: int | None = None
        for time in times:
            pts, dts = subject.next(time)
            self.assertTrue(dts <= pts and pts >= time)
            self.assertTrue(last is None or dts > last)
            last = dts
            self.assertLessEqual(len(subject._window), MAX_REORDER)

    @given(st.integers(0, 6), st.randoms(use_true_random=False))
    def test_noTimeIsChangedWhenTheDepthIsTrue(self, depth: int, choice: random.Random) -> None:
        # Decoding order: of the frames still to be shown, one of the next few is taken, and none waits for ever.
        waiting = list(range(1, 61))
        shown = [0]
        while waiting:
            early = sum(1 for index in shown if index > waiting[0])
            shown.append(waiting.pop(choice.randrange(min(4, len(waiting))) if early < depth else 0))
        subject = DecodeTimes(depth, 3600)
        pairs = [subject.next(3600 * index) for index in shown]
        self.assertEqual([pts for pts, _ in pairs], [3600 * index for index in shown])
        self.assertEqual([dts for _, dts in pairs], [3600 * (index - depth) for index in range(61)])
        self.assertEqual(subject.depth, depth)
