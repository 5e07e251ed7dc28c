"""
What becomes of a publisher's media: frames in the envelope, payloads and packets as uwsgi-realtime publishes them, or
packets over UDP.
"""

import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from realtime_tw.codec.aac import adtsHeader
from realtime_tw.codec.envelope import encodeEnd, encodeFrame, encodeTracks
from realtime_tw.codec.h264 import toAnnexB as h264ToAnnexB
from realtime_tw.codec.hevc import toAnnexB as hevcToAnnexB
from realtime_tw.errors import BrokerUnavailable, ProtocolError
from realtime_tw.hub import Hub, channelName
from realtime_tw.media import Codec, Frame, Kind, Track, Tracks
from realtime_tw.rtsp.stream import Stream
from realtime_tw.web.backlog import Backlog

#: Track id and time in milliseconds before each payload, as uwsgi-realtime writes them.
_PREFIX = struct.Struct(">BQ")


#: The last port of UDP: above it there is none for RTCP.
MAX_PORT = 65535

#: Milliseconds by which a sender's own clock must differ from what was described before it is described anew.
EPOCH_STEP = 20


class Publisher(Protocol):
    """The connection that media come from."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Undo :meth:`pause`."""

    def takenOver(self) -> None:
        """Another publisher has the channel now."""

    def failed(self, reason: str) -> None:
        """The output cannot go on."""


class Output(Protocol):
    """Takes the media of one publisher. All methods are synchronous."""

    def open(self, publisher: Publisher, streams: Sequence[Stream]) -> None:
        """
        The publisher has announced these streams.

        :raises ProtocolError: to refuse it, with an RTSP status.
        """

    def begin(self, streams: Sequence[Stream]) -> None:
        """It begins to send those of them that it has set up; again after each pause."""

    def wantsPackets(self, stream: Stream) -> bool:
        """Whether this stream's RTP packets are to be handed over in the place of frames."""

    def frames(self, stream: Stream, frames: Sequence[Frame]) -> None:
        """Frames are complete. ``stream.track`` may have another config than before."""

    def control(self, stream: Stream, packet: bytes) -> None:
        """An RTCP packet."""

    def close(self) -> None:
        """The publisher is gone, or was never let in."""


class _Channel:
    """Publishes for one publisher, and slows it down while the broker is behind."""

    def __init__(self, hub: Hub, name: bytes, publisher: Publisher) -> None:
        self.hub = hub
        self.name = name
        self._backlog = Backlog(publisher.pause, publisher.resume)

    def publish(self, message: bytes, retain: bool = False) -> Deferred[bool]:
        """Fires with whether the broker has taken it."""
        size = len(message)
        self._backlog.add(size)
        done = self.hub.publish(self.name, message, retain)

        def taken(_: int) -> bool:
            self._backlog.done(size)
            return True

        def refused(failure: Failure) -> bool:
            self._backlog.done(size)
            failure.trap(BrokerUnavailable)
            return False

        return done.addCallbacks(taken, refused)


class _Claiming:
    """An output that is a channel's only publisher."""

    _out: _Channel | None = None
    _publisher: Publisher | None = None
    _isOver = False

    def __init__(self, hub: Hub, channel: bytes | str, takeover: bool = False) -> None:
        self._hub = hub
        self._name = channelName(channel)
        self._takeover = takeover

    def open(self, publisher: Publisher, streams: Sequence[Stream]) -> None:
        self.check(streams)
        self._hub.claims.claim(self._name, self, self._takeover)
        self._publisher = publisher
        self._out = _Channel(self._hub, self._name, publisher)

    def check(self, streams: Sequence[Stream]) -> None:
        """:raises ProtocolError: for streams that cannot be published."""

    def takenOver(self) -> None:
        """From the next publisher."""
        self._isOver = True
        assert self._publisher is not None
        self._publisher.takenOver()

    def close(self) -> None:
        if self._out is not None:
            self.end(self._out)
            self._hub.claims.release(self._name, self)
            self._out = None

    def end(self, out: _Channel) -> None:
        """Say goodbye on the channel."""

    def wantsPackets(self, stream: Stream) -> bool:
        """Unless its codec is not known."""
        return False

    def control(self, stream: Stream, packet: bytes) -> None:
        """Nobody on the channel needs it."""


class FramesOutput(_Claiming):
    """
    Every track, frame by frame, in the envelope of docs/wire-format.md; their description is retained.

    :param takeover: send a present publisher of the channel away.
    """

    def __init__(self, hub: Hub, channel: bytes | str, takeover: bool = False) -> None:
        super().__init__(hub, channel, takeover)
        self._source = random.getrandbits(32)
        self._streams: Sequence[Stream] = ()
        self._epoch = 0
        # What the channel's retained value says, once the broker has it.
        self._described: tuple[Track, ...] | None = None

    def begin(self, streams: Sequence[Stream]) -> None:
        # They are described with the first frame: before it nobody knows the epoch.
        self._streams = streams

    def _describe(self) -> None:
        assert self._out is not None
        tracks = tuple(stream.track for stream in self._streams)
        self._described = tracks
        self._epoch = self._streams[0].timeline.epoch

        def forget(done: bool) -> None:
            if not done:
                self._described = None

        self._out.publish(encodeTracks(Tracks(tracks, self._source, self._epoch)), retain=True).addCallback(forget)

    def control(self, stream: Stream, packet: bytes) -> None:
        if self._described is not None and abs(stream.timeline.epoch - self._epoch) > EPOCH_STEP:
            self._describe()

    def frames(self, stream: Stream, frames: Sequence[Frame]) -> None:
        out = self._out
        if out is None:
            return
        described = self._described
        if described is None or stream.track not in described:
            self._describe()
        for frame in frames:
            out.publish(encodeFrame(self._source, frame))

    def end(self, out: _Channel) -> None:
        if self._described is not None and not self._isOver:
            out.publish(encodeEnd(self._source))
            self._hub.broker.unretain(self._name).addErrback(lambda failure: failure.trap(BrokerUnavailable))


def webForm(track: Track, frame: Frame) -> bytes:
    """
    A frame as players of a bare stream of that codec want it: Annex B, ADTS, or as it is.

    :raises ProtocolError: when it cannot be said in that form.
    """
    if track.codec is Codec.H264:
        return h264ToAnnexB(frame.data, track.config, frame.keyframe)
    if track.codec is Codec.HEVC:
        return hevcToAnnexB(frame.data, track.config, frame.keyframe)
    if track.codec is Codec.AAC:
        return adtsHeader(track.config, len(frame.data)) + frame.data
    return frame.data


def checkADTS(track: Track) -> None:
    """:raises ProtocolError: 415 for AAC of a kind that ADTS has no words for."""
    try:
        adtsHeader(track.config, 0)
    except ProtocolError as error:
        raise ProtocolError(f"ADTS cannot express this AAC: {error}", 415) from error


@dataclass(frozen=True, slots=True)
class Selection:
    """
    How uwsgi-realtime's keys treat one kind of track.

    :ivar demuxer: the codec whose payloads are published; None for the RTP packets.
    :ivar number: before each payload, with ``track_prefix``.
    """

    demuxer: Codec | None
    number: int


class PayloadsOutput(_Claiming):
    """
    Bare payloads or RTP packets, as uwsgi-realtime publishes them.

    :param selections: the kinds of tracks to publish: the first track of each.
    :param prefixed: put the 9-byte prefix before each: the selection's number, and the time in milliseconds.
    """

    def __init__(
        self,
        hub: Hub,
        channel: bytes | str,
        selections: Mapping[Kind, Selection],
        prefixed: bool = False,
        takeover: bool = False,
    ) -> None:
        super().__init__(hub, channel, takeover)
        self._selections = selections
        self._prefixed = prefixed
        self._chosen: dict[Stream, Selection] = {}

    def check(self, streams: Sequence[Stream]) -> None:
        for kind, selection in self._selections.items():
            stream = next((stream for stream in streams if stream.track.kind is kind), None)
            if stream is None:
                continue
            if selection.demuxer is not None and stream.track.codec is not selection.demuxer:
                announced = stream.track.name or stream.track.codec.value
                raise ProtocolError(f"{kind.value} is {announced} and not {selection.demuxer.value}", 415)
            if selection.demuxer is Codec.AAC and stream.track.config:
                checkADTS(stream.track)
            self._chosen[stream] = selection
        if not self._chosen:
            raise ProtocolError("nothing of what was announced is published here", 415)

    def begin(self, streams: Sequence[Stream]) -> None:
        """Bare payloads have no description."""

    def wantsPackets(self, stream: Stream) -> bool:
        selection = self._chosen.get(stream)
        return selection is None or selection.demuxer is None

    def frames(self, stream: Stream, frames: Sequence[Frame]) -> None:
        selection = self._chosen.get(stream)
        if selection is None or self._out is None:
            return
        track = stream.track
        for frame in frames:
            try:
                payload = frame.data if selection.demuxer is None else webForm(track, frame)
            except ProtocolError:
                # Too large for ADTS, or of a configuration that came later and that ADTS cannot express.
                continue
            if self._prefixed:
                milliseconds = max(frame.pts * 1000 // track.clockRate, 0)
                payload = _PREFIX.pack(selection.number, milliseconds) + payload
            self._out.publish(payload)


class ForwardingOutput:
    """
    RTP packets as they are, over UDP.

    :param targets: host and port for each track, in the order of the announcement; more tracks are dropped.
    :param rtcp: forward RTCP as well, each to the port above.
    """

    _log = Logger()

    def __init__(self, reactor: Any, targets: Sequence[tuple[str, int]], rtcp: bool = False) -> None:
        self._reactor = reactor
        self._targets = targets
        self._rtcp = rtcp
        # For addresses of IPv4, and of IPv6.
        self._ports: dict[bool, Any] = {}
        self._addresses: dict[Stream, tuple[str, int]] = {}
        self._publisher: Publisher | None = None

    def open(self, publisher: Publisher, streams: Sequence[Stream]) -> None:
        self._publisher = publisher
        for stream, (host, port) in zip(streams, self._targets, strict=False):
            if _isIPv6(host):
                # The reactor's names are those of IPv4.
                self._resolved(host, stream, port)
                continue
            self._reactor.resolve(host).addCallbacks(
                self._resolved, self._unknown, callbackArgs=(stream, port), errbackArgs=(host,)
            )

    def _resolved(self, address: str, stream: Stream, port: int) -> None:
        self._addresses[stream] = (address, port)

    def _unknown(self, failure: Failure, host: str) -> None:
        self._log.error("{host} is unknown: {error}", host=host, error=failure.value)
        if self._publisher is not None:
            self._publisher.failed("the address to forward to is unknown")

    def begin(self, streams: Sequence[Stream]) -> None:
        if not self._ports:
            self._ports[False] = self._reactor.listenUDP(0, DatagramProtocol())
            if any(_isIPv6(host) for host, _ in self._targets):
                self._ports[True] = self._reactor.listenUDP(0, DatagramProtocol(), "::")

    def wantsPackets(self, stream: Stream) -> bool:
        return True

    def frames(self, stream: Stream, frames: Sequence[Frame]) -> None:
        address = self._addresses.get(stream)
        for frame in frames:
            self._send(address, frame.data)

    def control(self, stream: Stream, packet: bytes) -> None:
        address = self._addresses.get(stream)
        if self._rtcp and address is not None and address[1] < MAX_PORT:
            self._send((address[0], address[1] + 1), packet)

    def _send(self, address: tuple[str, int] | None, packet: bytes) -> None:
        if address is None or not self._ports or not packet:
            return
        try:
            self._ports[_isIPv6(address[0])].write(packet, address)
        except OSError:
            # Larger than a datagram may be, or nobody listens: UDP promises nothing.
            return

    def close(self) -> None:
        self._publisher = None
        ports, self._ports = self._ports, {}
        for port in ports.values():
            port.stopListening()


def _isIPv6(host: str) -> bool:
    return ":" in host
