"""
The times of a publisher's tracks on one timeline (RFC 3550, 5.1 and 6.4.1), and decode times.

The RTP clocks of two tracks have nothing in common but what sender reports say, and those come seconds late or never.
So a track begins where the arrival of its first packet puts it, relative to the first track that delivered. From then
on it advances by its own RTP clock alone: no rounding can add up, because all there is to add is one integer.

When reports of two tracks are there, they say how far the guess by arrival was off:

- A track that has not delivered yet begins where the reports put it. Nothing was sent, so nothing can jump; ffmpeg
  reports before its first packet, and is exact from the first frame on.
- A track that delivers is moved slowly, by at most 5 ms in each second of its media. Moving at once would tear a hole
  into sound or a freeze into the picture, or send times backwards, for an offset that is mostly below what anybody
  notices. Half a percent is heard by nobody, and 100 ms are gone after 20 seconds. Times keep their order: a move never
  takes back more than 0.5 % of an advance.
- This happens once. Later reports scatter by some milliseconds, and following them would put that into every time. Only
  when a track has drifted off by 40 ms, which lips begin to show (ITU-R BT.1359), is it moved again.

A report that contradicts the one before is wrong, or the sender's wall clock was set. Media do not move for either: the
step is taken out of this report and of all after it, until one contradicts again, as the first good one after a wrong
one does. Reports that put tracks 10 seconds apart come from clocks that have nothing to do with each other, and are not
followed.
"""

from bisect import insort

from realtime_tw.errors import ConfigError

MICROS = 1_000_000

#: Slew: thousandths of a track's advance.
SLEW = 5

#: Microseconds of drift that are left alone once a track was moved.
DRIFT = 40_000

#: Microseconds between two tracks that reports may claim against the times of arrival: more than any sender buffers.
MAX_OFFSET = 10_000_000

#: Microseconds that wall clock and RTP clock may differ between two reports of one track. Reports are 5 seconds apart,
#: and no clock is off by a fifth.
MAX_STEP = 1_000_000

#: Milliseconds between the wall clocks of sender and receiver; beyond a day the sender's was never set.
MAX_SKEW = 86_400_000

#: Seconds that the RTP time may go back: reordered frames do, over 16 at most. And seconds that it may go on beyond
#: what passed here: there is no small number, since files are published faster than they play.
MAX_BACKWARDS = 3
MAX_FORWARDS = 3600

#: Frames that come before one which is shown earlier: the largest decoded picture buffer of H.264 (A.3.1) and HEVC.
MAX_REORDER = 16


class Timeline:
    """What the tracks of one publisher have in common: the zero of their times."""

    __slots__ = ("_arrivalEpoch", "_lead", "_reference", "_referenceTrack", "_zero")

    def __init__(self, unixTime: float, arrival: float, lead: float = 1.0) -> None:
        """
        :param unixTime: the wall clock, in seconds, at ...
        :param arrival: ... this moment of the clock of arrivals, which is never set.
        :param lead: seconds from the zero to the first frame: decode times are before presentation times, tracks that
            deliver later may begin earlier, and containers know no negative times.
        """
        if not 0 <= lead <= 3600:
            raise ConfigError("a timeline begins 0 to 3600 seconds before its first frame")
        self._lead = round(lead * MICROS)
        # Unix time in microseconds where the clock of arrivals has its zero.
        self._arrivalEpoch = round((unixTime - arrival) * MICROS)
        # Where the timeline's zero is on the clock of arrivals, in microseconds.
        self._zero: int | None = None
        # Where it is on the sender's wall clock, and the track that says so.
        self._reference: int | None = None
        self._referenceTrack: TrackClock | None = None

    def track(self, clockRate: int) -> "TrackClock":
        """A clock for one more track."""
        return TrackClock(self, clockRate)

    @property
    def epoch(self) -> int:
        """
        Unix time of the zero, in milliseconds: of the sender's clock once a report told it, else by the time of
        arrival. 0 before the first frame.
        """
        if self._zero is None:
            return 0
        arrival = (self._arrivalEpoch + self._zero) // 1000
        if self._reference is None or abs(self._reference // 1000 - arrival) > MAX_SKEW:
            return arrival
        return self._reference // 1000


class TrackClock:
    """
    From the RTP time of one track to the timeline, both in ticks of the track's clock.

    :ivar pending: ticks by which the track will still be moved.
    """

    __slots__ = (
        "_advance",
        "_aligned",
        "_arrival",
        "_clockRate",
        "_newest",
        "_offset",
        "_report",
        "_shift",
        "_started",
        "_timeline",
        "pending",
    )

    def __init__(self, timeline: Timeline, clockRate: int) -> None:
        if clockRate <= 0:
            raise ConfigError("a clock rate is larger than 0")
        self._timeline = timeline
        self._clockRate = clockRate
        self._started = False
        self._offset = 0
        self._newest = 0
        self._arrival = 0.0
        # What is left of the advance, in thousandths of a tick, that was too little to move by a whole tick.
        self._advance = 0
        self.pending = 0
        self._aligned = False
        # The last report: RTP time, microseconds since 1970.
        self._report: tuple[int, int] | None = None
        # Microseconds by which the wall clock of the reports was set since the first of them.
        self._shift = 0

    def start(self, time: int, arrival: float) -> None:
        """
        The track delivers: its first packet, or its first frame when nobody calls this before :meth:`convert`.

        :param time: unwrapped RTP time.
        :param arrival: seconds, of the clock of arrivals.
        """
        if self._started:
            return
        self._started = True
        timeline = self._timeline
        now = round(arrival * MICROS)
        if timeline._zero is None:
            timeline._zero = now - timeline._lead
        self._newest = time
        self._arrival = arrival
        self._offset = max(self._ticks(now - timeline._zero), 0) - time
        if self._report is not None:
            offset = self._correction()
            if offset:
                begin = max(time + self._offset + offset, 0)
                self.pending = time + self._offset + offset - begin
                self._offset = begin - time

    def convert(self, time: int, arrival: float) -> int:
        """
        The time on the timeline of a frame; frames come in decode order.

        :param time: unwrapped RTP time.
        :param arrival: seconds, of the clock of arrivals; 0 for what no packet completed, once the track has started.
        """
        if not self._started:
            self.start(time, arrival)
        advance = time - self._newest
        if advance > 0:
            if advance > MAX_FORWARDS * self._clockRate:
                self._rejoin(time, arrival)
            else:
                self._newest = time
                if arrival > self._arrival:
                    self._arrival = arrival
                if self.pending:
                    self._slew(advance)
        elif advance < -MAX_BACKWARDS * self._clockRate:
            self._rejoin(time, arrival)
        return time + self._offset

    def _slew(self, advance: int) -> None:
        step, self._advance = divmod(self._advance + advance * SLEW, 1000)
        if self.pending > 0:
            step = min(step, self.pending)
        else:
            step = max(-step, self.pending)
        self.pending -= step
        self._offset += step
        if not self.pending:
            self._advance = 0

    def _rejoin(self, time: int, arrival: float) -> None:
        """The RTP clock itself was set: go on by the time that passed here, and forget what reports said."""
        arrival = max(arrival, self._arrival)
        passed = round((arrival - self._arrival) * self._clockRate)
        if time > self._newest and time - self._newest - passed <= MAX_FORWARDS * self._clockRate:
            passed = time - self._newest
        else:
            self.restart()
        self._offset += self._newest + max(passed, 1) - time
        self._newest = time
        self._arrival = arrival

    def restart(self) -> None:
        """The track has another source from now on (another SSRC): earlier reports mean nothing any more."""
        self._report = None
        self._shift = 0
        self._aligned = False
        self.pending = 0

    def senderReported(self, time: int, unixMicros: int) -> None:
        """
        A sender report of this track. Do not hand in those with an NTP time of 0: their sender has no clock.

        :param time: the report's RTP time, unwrapped (:meth:`realtime_tw.rtsp.rtp.Receiver.senderReported`).
        :param unixMicros: its wall clock (:attr:`realtime_tw.rtsp.rtcp.SenderReport.unixMicros`).
        """
        if self._report is not None:
            before, microsBefore = self._report
            # By how much the wall clock advanced more than the RTP clock.
            step = unixMicros - microsBefore - self._micros(time - before)
            if abs(step) > MAX_STEP:
                self._shift += step
        self._report = (time, unixMicros)
        if self._started:
            self.pending += self._correction()

    def _correction(self) -> int:
        """Ticks that the track has to be moved by, so that its reports agree with the timeline's reference."""
        assert self._report is not None
        timeline = self._timeline
        time, micros = self._report
        zero = micros - self._shift - self._micros(time + self._offset + self.pending)
        if timeline._reference is None or timeline._referenceTrack is self:
            # The reference drifts with its RTP clock; the others follow it.
            timeline._reference = zero
            timeline._referenceTrack = self
            return 0
        error = zero - timeline._reference
        if abs(error) > MAX_OFFSET or (self._aligned and abs(error) <= DRIFT):
            return 0
        self._aligned = True
        return self._ticks(error)

    def _micros(self, ticks: int) -> int:
        return _scale(ticks, MICROS, self._clockRate)

    def _ticks(self, micros: int) -> int:
        return _scale(micros, self._clockRate, MICROS)


def _scale(value: int, multiplier: int, divisor: int) -> int:
    """Exact, and rounded once, to the nearest integer."""
    return (2 * value * multiplier + divisor) // (2 * divisor)


class DecodeTimes:
    """
    Decode times of a track whose RTP times say only when frames are shown.

    With a reorder depth of *n*, a frame is decoded at the time at which the frame is shown that has *n* fewer before
    it: of the frames so far the ``n + 1`` latest are kept, and the earliest of them is the decode time. It is never
    after the frame's own time, since that is among them. Without B-frames *n* is 0 and both times are equal. The first
    *n* frames, which have too few before them, count back from the first in steps of the usual frame duration.

    When the depth is not known, it is 0 until a frame is shown before an earlier one, and then grows by one for each
    such surprise. Those frames cannot be decoded in time any more, their decode times are already past: they are shown
    one tick after the other. This costs the first group of B-frames its times, once. The parameter sets of H.264 and
    HEVC mostly tell the depth, and it is better to hand it in.

    :ivar depth: frames that may be decoded before a frame that is shown earlier.
    """

    __slots__ = ("_last", "_natural", "_step", "_window", "depth")

    def __init__(self, depth: int | None, step: int) -> None:
        """
        :param depth: ``max_num_reorder_frames`` or ``sps_max_num_reorder_pics``; None when nothing tells it. What is
            above 16, which no profile allows, counts as 16.
        :param step: usual ticks from frame to frame; a guess will do.
        """
        self.depth = min(max(depth or 0, 0), MAX_REORDER)
        self._step = max(step, 1)
        self._window: list[int] = []
        self._last: int | None = None
        self._natural: int | None = None

    def setDepth(self, depth: int | None) -> None:
        """New parameter sets. None changes nothing."""
        if depth is not None:
            self.depth = min(max(depth, 0), MAX_REORDER)

    def next(self, pts: int) -> tuple[int, int]:
        """
        :param pts: of the next frame in decode order.
        :return: its pts and its dts. ``dts <= pts``, and each dts is larger than the one before. The pts is the same
            but for frames that come too late to be shown in time.
        """
        last = self._last
        window = self._window
        if not self.depth and not window and (last is None or pts > last):
            self._last = self._natural = pts
            return pts, pts
        natural = self._natural
        insort(window, pts)
        if natural is not None and window[0] < natural and self.depth < MAX_REORDER and len(window) > self.depth:
            # The frame whose time was given away last should have been kept.
            self.depth += 1
            insort(window, natural)
        if len(window) <= self.depth:
            dts = pts - self.depth * self._step if last is None else min(last + self._step, pts)
        else:
            while len(window) > self.depth:
                dts = window.pop(0)
            self._natural = dts
        if last is not None and dts <= last:
            dts = last + 1
        self._last = dts
        return (pts if pts >= dts else dts), dts
