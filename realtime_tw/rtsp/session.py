"""
One publisher's session (RFC 2326, appendix A): announced, ready, recording; and where its packets go.

The connection answers; the session knows what is allowed, which channel carries what, and what is reported back.
"""

import secrets
from collections.abc import Iterator
from enum import Enum

from realtime_tw.errors import ProtocolError
from realtime_tw.rtsp.clock import Timeline
from realtime_tw.rtsp.messages import Request
from realtime_tw.rtsp.outputs import Output, Publisher
from realtime_tw.rtsp.rtcp import encodeReceiverReport
from realtime_tw.rtsp.rtp import isRTCP
from realtime_tw.rtsp.sdp import SessionDescription, matchControl, parseSDP
from realtime_tw.rtsp.stream import Stream, streamsOf
from realtime_tw.rtsp.transport import chooseTransport, formatSession, formatTransport, parseSession, parseTransports


class State(Enum):
    """Of RFC 2326, appendix A.2; a session begins with its announcement."""

    INIT = "init"
    READY = "ready"
    RECORDING = "recording"
    OVER = "over"


_ALLOWED = {
    State.INIT: "SETUP, TEARDOWN",
    State.READY: "SETUP, RECORD, TEARDOWN",
    State.RECORDING: "PAUSE, RECORD, TEARDOWN",
}

#: What the answers say more than their status.
Pairs = list[tuple[str, str]]


class Session:
    """
    :param output: where the media go; closed with the session.
    :param timeout: seconds, told to the client.
    :param reorder: see :class:`realtime_tw.rtsp.server.Publication`.
    :ivar state: see :class:`State`.
    """

    def __init__(self, output: Output, timeout: float, reorder: int) -> None:
        self.state = State.INIT
        self._output = output
        self._timeout = timeout
        self._reorder = reorder
        self._id = ""
        self._base = ""
        self._description = SessionDescription()
        # Who reports: any number does, and any name (RFC 3550, section 6.5.1; RFC 7022).
        self._ssrc = secrets.randbits(32)
        self._name = secrets.token_hex(8)
        self._streams: list[Stream] = []
        # By channels of the connection.
        self._media: dict[int, Stream] = {}
        self._control: dict[int, Stream] = {}

    @property
    def isRecording(self) -> bool:
        """Whether media are expected."""
        return self.state is State.RECORDING

    @property
    def isOver(self) -> bool:
        """Whether the connection may be used for another session."""
        return self.state is State.OVER

    # Requests; all of them return headers, and raise ProtocolError

    def announce(self, request: Request, publisher: Publisher, now: float) -> None:
        """:raises ProtocolError: for a description that cannot be used, or an output that does not want it."""
        description = parseSDP(request.body)
        if not description.medias:
            raise ProtocolError("the description has no media")
        headers = request.headers
        self._base = headers.get("Content-Base") or headers.get("Content-Location") or request.url
        self._description = description
        # Both clocks are one here: Twisted's is Unix time.
        self._timeline = Timeline(now, now)
        self._streams = streamsOf(description.medias, self._timeline, self._reorder)
        self._output.open(publisher, self._streams)
        for stream in self._streams:
            if self._output.wantsPackets(stream):
                stream.passPackets()

    def check(self, request: Request) -> None:
        """:raises ProtocolError: 454 for a request of another session. To name ours is optional on its connection."""
        named = request.headers.get("Session")
        if named is not None and parseSession(named) != self._id:
            raise ProtocolError("there is no such session", 454)

    def header(self) -> Pairs:
        """The Session header, once there is an id."""
        return [("Session", formatSession(self._id, round(self._timeout)))] if self._id else []

    def setup(self, request: Request) -> Pairs:
        """One stream gets its channels."""
        self._require(State.INIT, State.READY)
        index = matchControl(request.url, self._base, self._description.medias)
        if index is None:
            if len(self._streams) > 1 and request.url.rstrip("/") == self._base.rstrip("/"):
                raise ProtocolError("several streams: set them up one by one", 459)
            raise ProtocolError("there is no such stream", 404)
        stream = self._streams[index]
        if stream in self._media.values():
            raise ProtocolError("set up already", 455)
        transports = request.headers.getAll("Transport")
        chosen = chooseTransport(parseTransports(",".join(transports)), self._taken())
        self._media[chosen.rtp] = stream
        self._control[chosen.rtcp] = stream
        if not self._id:
            self._id = secrets.token_hex(8)
        self.state = State.READY
        return [("Transport", formatTransport(chosen)), *self.header()]

    def record(self, request: Request) -> Pairs:
        """Media follow."""
        self._require(State.READY)
        self.state = State.RECORDING
        self._output.begin([stream for stream in self._streams if stream in self._media.values()])
        return self.header()

    def pause(self, request: Request) -> Pairs:
        """Media stop for a while."""
        self._require(State.RECORDING)
        self._flush()
        self.state = State.READY
        return self.header()

    def teardown(self, request: Request) -> Pairs:
        """The end."""
        headers = self.header()
        self._flush()
        self.state = State.OVER
        return headers

    def _require(self, *states: State) -> None:
        if self.state not in states:
            raise ProtocolError(f"not now: {_ALLOWED[self.state]} would do", 455)

    def _taken(self) -> set[int]:
        return {*self._media, *self._control}

    # Media

    def received(self, channel: int, packet: bytes, now: float) -> None:
        """
        What came on a channel of the connection.

        :param now: seconds.
        """
        if self.state is not State.RECORDING:
            return
        stream = self._media.get(channel)
        if stream is None or isRTCP(packet):
            stream = self._control.get(channel, stream)
            if stream is not None:
                stream.control(packet, now)
                self._output.control(stream, packet)
        else:
            frames = stream.receive(packet, now)
            if frames:
                self._output.frames(stream, frames)

    def _flush(self) -> None:
        if self.state is State.RECORDING:
            for stream in self._streams:
                frames = stream.flush()
                if frames:
                    self._output.frames(stream, frames)

    def reports(self, now: float) -> Iterator[tuple[int, bytes]]:
        """Receiver reports (RFC 3550, section 6.4.2), each with its channel."""
        for channel, stream in self._control.items():
            block = stream.report(now)
            if block is not None:
                yield channel, encodeReceiverReport(self._ssrc, [block], self._name)

    def farewell(self, now: float) -> Iterator[tuple[int, bytes]]:
        """Reports that say goodbye, each with its channel."""
        for channel, stream in self._control.items():
            block = stream.report(now)
            yield channel, encodeReceiverReport(self._ssrc, [block] if block else [], self._name, goodbye=True)

    def close(self) -> None:
        """The publisher is gone."""
        self._flush()
        self.state = State.OVER
        self._output.close()
