"""
RTP packets of one track, from the wire to its depacketizer (RFC 3550, 5.1, 5.3.1, A.1, A.3 and A.8).

The receiver takes a packet apart, puts it in its place by its sequence number, unwraps its time and hands its payload
on, all in one call: this runs for every packet. What it cannot use it counts, and never raises for.

=====================================  ===============================================================================
what comes                             what becomes of it
=====================================  ===============================================================================
the next sequence number               delivered
one further ahead, below MAX_DROPOUT   the ones between are lost; or waits for them in the reorder window
one behind, below MAX_MISORDER         late or a duplicate: counted
any other sequence number              the sender began anew, if the following number comes next
another SSRC                           another source, on the same condition
another payload type                   takes its place in the sequence, its payload is ignored
=====================================  ===============================================================================

The condition is what RFC 3550, A.1 calls MIN_SEQUENTIAL. The packet that it made wait is then delivered as well: over
TCP nothing may be thrown away, and the very first source is believed at once.
"""

import struct
from collections.abc import Collection, Sequence

from realtime_tw.errors import ConfigError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import NOTHING, Depacketizer
from realtime_tw.rtsp.rtcp import ReportBlock, SenderReport

#: Sequence numbers ahead that are still a loss, and behind that are still a delay: RFC 3550, A.1.
MAX_DROPOUT = 3000
MAX_MISORDER = 100

#: Packets in the reorder window. Of 1,400 bytes, these are more than 300 ms of 20 Mbit/s; never more than 32 MiB.
MAX_REORDER = 512

#: Seconds that the RTP clock of a sender that began anew may differ from the time that passed here, and be believed.
MAX_STEP = 10.0

_HEADER = struct.Struct("!HHII").unpack_from
_LENGTH = struct.Struct("!H").unpack_from
_StructError = struct.error


def isRTCP(packet: bytes) -> bool:
    """Whether a packet that came where RTP is expected is RTCP (RFC 5761, 4)."""
    return len(packet) > 1 and 64 <= packet[1] & 0x7F <= 95


def payloadBounds(packet: bytes) -> tuple[int, int] | None:
    """
    Where the payload of a packet begins and ends: without contributing sources, header extension and padding.

    :return: None for what is no valid RTP packet.
    """
    if len(packet) < 12 or packet[0] >> 6 != 2:
        return None
    first = packet[0]
    start = 12 + 4 * (first & 15)
    end = len(packet)
    if first & 0x10:
        if end < start + 4:
            return None
        start += 4 + 4 * _LENGTH(packet, start + 2)[0]
    if end < start:
        return None
    if first & 0x20:
        # The last byte counts itself; with no payload at all it is not there.
        padding = packet[-1] if end > start else 0
        if not 0 < padding <= end - start:
            return None
        end -= padding
    return start, end


class Receiver:
    """
    Everything about the packets of one track.

    :ivar ssrc: of the source; -1 before the first packet.
    :ivar sources: sources so far. When it grows, the RTP clock is another one, and sender reports of the old one mean
        nothing any more. The times of access units go on all the same, by the time that passed here.
    :ivar time: of the last packet in order, unwrapped.
    :ivar received: packets of this source, with late ones and duplicates.
    :ivar lost: packets that were skipped, of all sources; not less when they come late.
    :ivar late: packets that came after they had been skipped.
    :ivar duplicates: packets that had been there before.
    :ivar ignored: packets of a payload type that is not expected.
    :ivar malformed: packets that are no RTP.
    :ivar strangers: packets of another source, or far from the expected sequence number, that nothing confirmed yet.
    """

    __slots__ = (
        "_arrival",
        "_base",
        "_candidate",
        "_candidateArrival",
        "_candidateNext",
        "_clockRate",
        "_deliver",
        "_depacketizer",
        "_held",
        "_jitter",
        "_lastReport",
        "_marked",
        "_missing",
        "_next",
        "_plain",
        "_priorExpected",
        "_priorReceived",
        "_reorder",
        "_reportArrival",
        "_reportSource",
        "_start",
        "_timestamp",
        "_types",
        "duplicates",
        "ignored",
        "late",
        "lost",
        "malformed",
        "received",
        "sources",
        "ssrc",
        "strangers",
        "time",
    )

    def __init__(
        self,
        depacketizer: Depacketizer,
        payloadTypes: Collection[int],
        clockRate: int,
        reorder: int = 0,
        whole: bool = False,
    ) -> None:
        """
        :param payloadTypes: that are expected; the first is the quickest.
        :param clockRate: ticks per second.
        :param reorder: packets that may wait for one that is missing. Over TCP none is ever out of order: 0.
        :param whole: hand on the whole packet, as it came, instead of its payload.
        :raises ConfigError: for numbers that cannot be.
        """
        if not payloadTypes or not all(0 <= kind <= 127 for kind in payloadTypes):
            raise ConfigError("payload types are numbers from 0 to 127")
        if not 0 <= reorder <= MAX_REORDER:
            raise ConfigError(f"the reorder window has from 0 to {MAX_REORDER} packets")
        if clockRate <= 0:
            raise ConfigError("a clock rate is larger than 0")
        self._depacketizer = depacketizer
        self._deliver = depacketizer.receive
        self._types = frozenset(payloadTypes)
        # The first 16 bits of all usual packets: version 2, nothing optional, with and without marker.
        self._plain = 0x8000 | next(iter(payloadTypes))
        self._marked = self._plain | 0x80
        self._clockRate = clockRate
        self._reorder = reorder
        self._start = 0 if whole else 12
        self._held: dict[int, tuple[bytes | None, int, bool, float]] = {}
        self._missing: set[int] = set()
        self._candidate = b""
        self._candidateArrival = 0.0
        self._candidateNext = -1
        self.ssrc = -1
        self.sources = 0
        self.time = 0
        self._timestamp = 0
        self._arrival = 0.0
        self._reportSource = -1
        self._lastReport = 0
        self._reportArrival = 0.0
        self.lost = self.late = self.duplicates = self.ignored = self.malformed = self.strangers = 0
        self._restart(0)

    def _restart(self, sequence: int) -> None:
        # Extended by the wraps, so that it only grows. One wrap ahead: what is late at the beginning is not negative.
        self._next = self._base = sequence + 0x10000
        self._missing.clear()
        self._jitter = 0.0
        self.received = self._priorExpected = self._priorReceived = 0

    def receive(self, packet: bytes, arrival: float) -> Sequence[AccessUnit]:
        """
        One packet, in the order of arrival.

        :param arrival: seconds, of a clock that is never set.
        :return: the access units that are complete now. Never raises.
        """
        try:
            head, sequence, timestamp, ssrc = _HEADER(packet)
        except _StructError:
            self.malformed += 1
            return NOTHING
        following = self._next
        if (
            sequence != following & 0xFFFF
            or ssrc != self.ssrc
            or (head != self._plain and head != self._marked)
            or self._held
        ):
            return self._unusual(packet, head, sequence, timestamp, ssrc, arrival)
        self._next = following + 1
        self.received += 1
        if timestamp != self._timestamp:
            self._tick(timestamp, arrival)
        return self._deliver(packet[self._start :], self.time, head == self._marked, False)

    def _tick(self, timestamp: int, arrival: float) -> None:
        """
        The time of the packets changes.

        Jitter is measured here, once per time and not for each packet (RFC 3550, A.8): how a sender paces the packets
        of one picture says nothing about the way between.
        """
        step = (timestamp - self._timestamp) & 0xFFFFFFFF
        if step >= 0x80000000:
            step -= 0x100000000
        self._timestamp = timestamp
        self.time += step
        deviation = (arrival - self._arrival) * self._clockRate - step
        self._arrival = arrival
        self._jitter += ((deviation if deviation >= 0 else -deviation) - self._jitter) * 0.0625

    def _unusual(
        self, packet: bytes, head: int, sequence: int, timestamp: int, ssrc: int, arrival: float
    ) -> Sequence[AccessUnit]:
        bounds = payloadBounds(packet)
        if bounds is None:
            self.malformed += 1
            return NOTHING
        expected = head & 0x7F in self._types
        if ssrc != self.ssrc:
            if not expected:
                self.ignored += 1
                return NOTHING
            if self.ssrc >= 0:
                return self._stranger(packet, sequence, ssrc, arrival)
            self._begin(sequence, timestamp, ssrc, arrival)
        ahead = (sequence - self._next) & 0xFFFF
        if ahead >= 0x10000 - MAX_MISORDER:
            self._behind(self._next + ahead - 0x10000)
            return NOTHING
        if ahead >= MAX_DROPOUT:
            return self._stranger(packet, sequence, ssrc, arrival)
        self.received += 1
        payload: bytes | None = None
        if not expected:
            self.ignored += 1
        else:
            payload = packet[bounds[0] : bounds[1]] if self._start else packet
        marker = bool(head & 0x80)
        if ahead and self._reorder:
            return self._hold(self._next + ahead, payload, timestamp, marker, arrival)
        if ahead:
            self._skip(ahead)
        self._next += 1
        units = self._take(payload, timestamp, marker, arrival, ahead > 0)
        return self._release(list(units)) if self._held else units

    def _begin(self, sequence: int, timestamp: int, ssrc: int, arrival: float) -> None:
        """The first packet of the track."""
        self._restart(sequence)
        self.sources = 1
        self.ssrc = ssrc
        self._arrival = arrival
        if self._reportSource == ssrc:
            # Its sender report came first, and its time counts from there.
            step = (timestamp - self._timestamp) & 0xFFFFFFFF
            self.time += step - 0x100000000 if step >= 0x80000000 else step
        else:
            self.time = timestamp
        self._timestamp = timestamp

    def _take(
        self, payload: bytes | None, timestamp: int, marker: bool, arrival: float, lost: bool
    ) -> Sequence[AccessUnit]:
        if payload is None:
            # Of another payload type; but what is lost before it is lost all the same.
            return self._deliver(b"", self.time, False, True) if lost else NOTHING
        if timestamp != self._timestamp:
            self._tick(timestamp, arrival)
        return self._deliver(payload, self.time, marker, lost)

    def _skip(self, count: int) -> None:
        self.lost += count
        following = self._next + count
        oldest = following - MAX_MISORDER
        self._missing = {number for number in self._missing if number >= oldest}
        self._missing.update(range(max(self._next, oldest), following))
        self._next = following

    def _behind(self, number: int) -> None:
        self.received += 1
        if number in self._missing:
            self._missing.discard(number)
            self.late += 1
        elif number < self._base:
            # Overtaken by the first packet.
            self.late += 1
        else:
            self.duplicates += 1

    def _hold(
        self, number: int, payload: bytes | None, timestamp: int, marker: bool, arrival: float
    ) -> Sequence[AccessUnit]:
        held = self._held
        if number in held:
            self.duplicates += 1
            return NOTHING
        held[number] = (payload, timestamp, marker, arrival)
        return self._release([], self._reorder) if len(held) > self._reorder else NOTHING

    def _release(self, units: list[AccessUnit], leave: int = MAX_REORDER) -> Sequence[AccessUnit]:
        """What waits and is in order now; and beyond gaps, until no more than so many packets wait."""
        held = self._held
        while held:
            entry = held.pop(self._next, None)
            skipped = False
            if entry is None:
                if len(held) <= leave:
                    break
                self._skip(min(held) - self._next)
                entry = held.pop(self._next)
                skipped = True
            self._next += 1
            payload, timestamp, marker, arrival = entry
            units += self._take(payload, timestamp, marker, arrival, skipped)
        return units

    def _stranger(self, packet: bytes, sequence: int, ssrc: int, arrival: float) -> Sequence[AccessUnit]:
        """
        From another source, or far off: believed when a second follows it directly and nothing else came between.
        """
        self.strangers += 1
        candidate = self._candidate
        if candidate and self._candidateNext == self._next:
            _, earlier, timestamp, source = _HEADER(candidate)
            if source == ssrc and (earlier + 1) & 0xFFFF == sequence:
                self._candidate = b""
                self.strangers -= 2
                units = list(self.flush())
                self._change(earlier, timestamp, ssrc, self._candidateArrival)
                units += self._first(candidate, self._candidateArrival)
                units += self.receive(packet, arrival)
                return units
        self._candidate = packet
        self._candidateArrival = arrival
        self._candidateNext = self._next
        return NOTHING

    def _change(self, sequence: int, timestamp: int, ssrc: int, arrival: float) -> None:
        """Go on with a source whose sequence numbers, and maybe times, have nothing to do with those before."""
        passed = max(round((arrival - self._arrival) * self._clockRate), 1)
        step = (timestamp - self._timestamp) & 0xFFFFFFFF
        if step >= 0x80000000:
            step -= 0x100000000
        if ssrc != self.ssrc or abs(step - passed) > MAX_STEP * self._clockRate:
            self.sources += 1
            self._reportSource = -1
            self._lastReport = 0
            step = passed
        self.time += step
        self._timestamp = timestamp
        self._arrival = arrival
        self.ssrc = ssrc
        self._restart(sequence)

    def _first(self, packet: bytes, arrival: float) -> Sequence[AccessUnit]:
        """The first packet after a change: its predecessors are unknown, and so count as lost."""
        bounds = payloadBounds(packet)
        head, _, timestamp, _ = _HEADER(packet)
        self._next += 1
        self.received += 1
        payload: bytes | None = None
        if bounds is not None and head & 0x7F in self._types:
            payload = packet[bounds[0] : bounds[1]] if self._start else packet
        return self._take(payload, timestamp, bool(head & 0x80), arrival, True)

    def flush(self) -> Sequence[AccessUnit]:
        """The stream ends or pauses: everything that waits for a packet that will not come."""
        units = self._release([], 0)
        return [*units, *self._depacketizer.flush()]

    def senderReported(self, report: SenderReport, arrival: float) -> int | None:
        """
        A sender report for this track.

        :return: the unwrapped RTP time that it speaks of; None when it is of another source than the packets.
        """
        if self.ssrc >= 0 and report.ssrc != self.ssrc:
            return None
        if self.ssrc < 0:
            # Many senders report before their first packet.
            self.time = self._timestamp = report.timestamp
        self._reportSource = report.ssrc
        self._lastReport = report.ntp >> 16 & 0xFFFFFFFF
        self._reportArrival = arrival
        step = (report.timestamp - self._timestamp) & 0xFFFFFFFF
        return self.time + (step - 0x100000000 if step >= 0x80000000 else step)

    def report(self, now: float) -> ReportBlock | None:
        """
        How the source is received, for a receiver report that is sent now; the next one counts from here.

        :param now: of the clock of arrivals.
        :return: None before the first packet.
        """
        if self.ssrc < 0:
            return None
        highest = max(self._held) if self._held else self._next - 1
        expected = highest - self._base + 1
        expectedNow, receivedNow = expected - self._priorExpected, self.received - self._priorReceived
        self._priorExpected, self._priorReceived = expected, self.received
        lostNow = expectedNow - receivedNow
        fraction = min((lostNow << 8) // expectedNow, 255) if expectedNow > 0 and lostNow > 0 else 0
        lost = min(max(expected - self.received, -0x800000), 0x7FFFFF)
        delay = 0
        if self._lastReport:
            delay = min(max(int((now - self._reportArrival) * 65536), 0), 0xFFFFFFFF)
        return ReportBlock(
            self.ssrc, fraction, lost, (highest - 0x10000) & 0xFFFFFFFF, int(self._jitter), self._lastReport, delay
        )
