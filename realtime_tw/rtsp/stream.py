"""
One announced medium: its packets, put in order, taken apart, and on the timeline that it shares with the publisher's
other media.
"""

from collections.abc import Sequence

from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit, Codec, Frame
from realtime_tw.rtsp.clock import DecodeTimes, Timeline
from realtime_tw.rtsp.depacketizers.raw import RawDepacketizer
from realtime_tw.rtsp.formats import describe, openMedia, rawTrack
from realtime_tw.rtsp.rtcp import ReportBlock, SenderReport, parseRTCP
from realtime_tw.rtsp.rtp import Receiver
from realtime_tw.rtsp.sdp import Media

#: Frames per second of a video that says nothing, for the decode times of its first frames.
USUAL_RATE = 25

_REORDERED = frozenset((Codec.H264, Codec.HEVC))

#: Codecs with frames that may be shown after a later one; of those that are not known, nobody knows.
_MAYBE_REORDERED = _REORDERED | {Codec.RTP}


class Stream:
    """
    :param media: from the description.
    :param number: the track's id.
    :param timeline: of all media of the publisher.
    :param reorder: packets that may wait for one that is late.
    :ivar track: what is known of it by now.
    """

    def __init__(self, media: Media, number: int, timeline: Timeline, reorder: int) -> None:
        self.media = media
        self.timeline = timeline
        self.track, self._depacketizer = openMedia(media, number)
        self._reorder = reorder
        self._started = False
        self._sources = 1
        self._prepare()

    def _prepare(self) -> None:
        track = self.track
        isRaw = track.codec is Codec.RTP
        numbers = [number for number in self.media.formats if isinstance(number, int)] or [127]
        types = numbers if isRaw or self.media.payloadType < 0 else [self.media.payloadType]
        self._receiver = Receiver(self._depacketizer, types, track.clockRate, self._reorder, whole=isRaw)
        self._clock = self.timeline.track(track.clockRate)
        self._last = -1
        self._decoding: DecodeTimes | None = None
        if track.codec in _MAYBE_REORDERED:
            depth = getattr(self._depacketizer, "reorder", None)
            self._decoding = DecodeTimes(depth, track.clockRate // USUAL_RATE)

    def passPackets(self) -> None:
        """Give RTP packets in the place of frames, whatever the codec; before the first packet."""
        self.track = rawTrack(self.media, self.track.id)
        self._depacketizer = RawDepacketizer()
        self._prepare()

    def receive(self, packet: bytes, arrival: float) -> Sequence[Frame]:
        """
        One RTP packet. Never raises.

        :param arrival: seconds.
        :return: the frames that are complete now.
        """
        receiver = self._receiver
        units = receiver.receive(packet, arrival)
        if receiver.sources > self._sources:
            self._sources = receiver.sources
            self._clock.restart()
        if not self._started and receiver.ssrc >= 0:
            self._started = True
            self._clock.start(receiver.time, arrival)
        return self._frames(units, arrival) if units else ()

    def flush(self) -> Sequence[Frame]:
        """The publisher pauses or ends: what waited for another packet."""
        units = self._receiver.flush()
        return self._frames(units, 0.0) if units and self._started else ()

    def _frames(self, units: Sequence[AccessUnit], arrival: float) -> list[Frame]:
        depacketizer = self._depacketizer
        track = self.track = describe(self.track, depacketizer)
        convert, decoding, number = self._clock.convert, self._decoding, track.id
        frames = []
        if decoding is None:
            last = self._last
            for time, keyframe, data in units:
                # A sender that repeats itself or steps back is believed as soon as it is ahead again.
                last = max(convert(time, arrival), last + 1)
                frames.append(Frame(number, last, last, keyframe, data))
            self._last = last
            return frames
        if track.codec in _REORDERED:
            decoding.setDepth(getattr(depacketizer, "reorder", None))
        for time, keyframe, data in units:
            pts, dts = decoding.next(convert(time, arrival))
            frames.append(Frame(number, pts, dts, keyframe, data))
        return frames

    def control(self, packet: bytes, arrival: float) -> None:
        """One RTCP packet. What makes no sense is forgotten."""
        try:
            found = parseRTCP(packet)
        except ProtocolError:
            return
        for report in found:
            if isinstance(report, SenderReport):
                time = self._receiver.senderReported(report, arrival)
                if time is not None and report.ntp:
                    self._clock.senderReported(time, report.unixMicros)

    def report(self, now: float) -> ReportBlock | None:
        """How it is received, for a receiver report; None before the first packet."""
        return self._receiver.report(now)


def streamsOf(medias: Sequence[Media], timeline: Timeline, reorder: int = 0) -> list[Stream]:
    """
    The streams of a description, in its order.

    :raises ProtocolError: for a medium that is not carried by RTP, or cannot be decoded with its own parameters.
    """
    for media in medias:
        if "RTP/" not in media.protocol.upper():
            raise ProtocolError(f"{media.kind} is not carried by RTP", 415)
    return [Stream(media, number, timeline, reorder) for number, media in enumerate(medias, 1)]
