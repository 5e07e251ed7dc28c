"""
Packets to frames without a socket: RTP parsing, sequence, clock and depacketizer of one stream.
"""

import contextlib
import gc
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from realtime_tw.rtsp.clock import Timeline
from realtime_tw.rtsp.sdp import parseSDP
from realtime_tw.rtsp.stream import Stream, streamsOf

from .recording import Recording

#: Between two reads of a busy connection; the arrival of a packet is only noted here.
_ARRIVAL = 1000.0


@dataclass(frozen=True, slots=True)
class Depacketized:
    """
    One pass over the packets.

    :ivar cpuNs: of the thread.
    :ivar faults: what went wrong, in words; empty when all frames came out.
    """

    packets: int
    bytes: int
    frames: int
    cpuNs: int
    faults: str

    @property
    def perCpuSecond(self) -> float:
        """Packets."""
        return self.packets * 1e9 / self.cpuNs if self.cpuNs else 0.0


class Depacketizing:
    """
    :param packets: how many at least; they are made here and not in the runs.
    """

    def __init__(self, recording: Recording, packets: int) -> None:
        self._recording = recording
        self._packets = recording.repeated(packets)
        self._frames = len(self._packets) // len(recording.packets) * recording.frames

    def run(self, core: int) -> Depacketized:
        """
        Receive them all, as a new stream.

        :param core: where.
        """
        medias = parseSDP(self._recording.description).medias
        (stream,) = streamsOf(medias, Timeline(_ARRIVAL, _ARRIVAL))
        with _onCore(core):
            started = time.thread_time_ns()
            frames = _receive(stream, self._packets)
            used = time.thread_time_ns() - started
        fault = f"{frames:,} frames instead of {self._frames:,}" if frames != self._frames else ""
        return Depacketized(len(self._packets), sum(map(len, self._packets)), frames, used, fault)


def _receive(stream: Stream, packets: list[bytes]) -> int:
    receive = stream.receive
    frames = 0
    for packet in packets:
        complete = receive(packet, _ARRIVAL)
        if complete:
            frames += len(complete)
    return frames + len(stream.flush())


@contextlib.contextmanager
def _onCore(core: int) -> Iterator[None]:
    """Alone there, and without garbage of ours that the collector would look through."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        os.sched_setaffinity(0, before)
