"""
Real media for the tests: files made by ffmpeg, what ffprobe finds in them, programs that publish them, and what arrived
on a channel.
"""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from realtime_tw.codec.envelope import SourceEnd, SourceFrame, decode, isEnvelope
from realtime_tw.media import Frame, Track, Tracks
from tests.conftest import program
from tests.integration.support import PATIENCE, Redis, Subscription

_VIDEO = ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25")
_AUDIO = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000")
_H264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-pix_fmt", "yuv420p")
_HEVC = ("-c:v", "libx265", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-x265-params")
_AAC = ("-c:a", "aac", "-ac", "2", "-b:a", "96k")
_JPEG = ("-c:v", "mjpeg", "-q:v", "5", "-huffman", "default")
_VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-b:v", "600k")

#: All that was coded is in the file to be played, and pictures begin at zero as sound does.
_WHOLE = ("-use_editlist", "0", "-movflags", "negative_cts_offsets")

#: What ffmpeg makes of the test signals, by file name. Small pictures with a keyframe every second.
RECIPES: dict[str, Sequence[str]] = {
    # With an edit list, which leaves out the sound before the first picture: AAC's priming.
    "h264-edited.mp4": (*_VIDEO, *_AUDIO, *_H264, "-bf", "3", *_AAC, "-ar", "44100"),
    "h264.mp4": (*_VIDEO, *_AUDIO, *_H264, "-bf", "0", *_AAC, *_WHOLE),
    "h264-bframes.mp4": (*_VIDEO, *_AUDIO, *_H264, "-bf", "3", *_AAC, "-ar", "44100", *_WHOLE),
    # Several slices in a picture, delimiters before it, and times in milliseconds.
    "h264-slices.mkv": (*_VIDEO, *_H264, "-bf", "2", "-x264-params", "aud=1:slices=3"),
    # Open groups: keyframes that are no IDR pictures.
    "h264-open.mkv": (*_VIDEO, *_H264, "-bf", "2", "-x264-params", "open-gop=1"),
    "hevc.mp4": (*_VIDEO, *_HEVC, "bframes=0:keyint=25:log-level=error", "-tag:v", "hvc1"),
    # Open groups are x265's default.
    "hevc-bframes.mkv": (*_VIDEO, *_HEVC, "bframes=3:keyint=25:log-level=error"),
    "vp8.webm": (*_VIDEO, *_AUDIO, *_VP8, "-c:a", "libopus", "-ac", "2"),
    # With frames that are not shown, in superframes.
    "vp9.webm": (
        *_VIDEO,
        *("-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", "8", "-auto-alt-ref", "1", "-lag-in-frames", "12"),
        *("-g", "25", "-b:v", "600k"),
    ),
    "opus.mkv": (*_AUDIO, "-c:a", "libopus", "-ac", "1", "-frame_duration", "60"),
    "vorbis.mkv": (*_AUDIO, "-c:a", "libvorbis", "-ac", "2"),
    "vp8-vorbis.webm": (*_VIDEO, *_AUDIO, *_VP8, "-c:a", "libvorbis", "-ar", "44100", "-ac", "2"),
    "jpeg.mkv": (*_VIDEO, *_JPEG, "-pix_fmt", "yuvj420p"),
    "png.mkv": (*_VIDEO, "-c:v", "png", "-pix_fmt", "rgb24"),
    "pcmu.mkv": (*_AUDIO, "-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1"),
    "pcma.wav": (*_AUDIO, "-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"),
    "mp3.mkv": (*_AUDIO, "-c:a", "libmp3lame", "-ac", "2"),
    "l16.mkv": (*_AUDIO, "-c:a", "pcm_s16be", "-ar", "44100", "-ac", "2"),
}

#: The same, made by GStreamer: ffmpeg's encoder samples 4:2:2 in a way that RFC 2435 cannot say.
PIPELINES = {
    "jpeg-422.mkv": "videotestsrc num-buffers=50 ! video/x-raw,format=Y42B,width=320,height=240,framerate=25/1"
    " ! jpegenc ! matroskamux"
}

#: Seconds.
DURATION = 2


@dataclass(frozen=True)
class Packet:
    """
    :ivar time: seconds at which it is shown.
    :ivar data: as it is in the file.
    """

    time: Fraction
    keyframe: bool
    data: bytes


@dataclass(frozen=True)
class Elementary:
    """
    One stream of a file.

    :ivar kind: ``video`` or ``audio``.
    :ivar codec: ffmpeg's name.
    :ivar config: its extradata.
    """

    kind: str
    codec: str
    config: bytes
    width: int
    height: int
    sampleRate: int
    channels: int
    packets: list[Packet] = field(repr=False)


class Library:
    """Files, each made when a test first wants it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._probed: dict[str, list[Elementary]] = {}

    def file(self, name: str) -> Path:
        """One of :data:`RECIPES` or :data:`PIPELINES`."""
        path = self._directory / name
        if path.exists():
            return path
        if name in PIPELINES:
            run("gst-launch-1.0", "-q", *PIPELINES[name].split(), "!", "filesink", f"location={path}")
        else:
            run("ffmpeg", "-nostdin", "-loglevel", "error", *RECIPES[name], "-t", str(DURATION), str(path))
        return path

    def streams(self, name: str) -> list[Elementary]:
        """What is in it."""
        if name not in self._probed:
            self._probed[name] = probe(self.file(name))
        return self._probed[name]


def run(name: str, *arguments: str, data: bytes | None = None) -> bytes:
    """A program that ends by itself; what it prints."""
    done = subprocess.run([program(name), *arguments], input=data, capture_output=True, timeout=60)
    assert done.returncode == 0, f"{name}: {done.stderr.decode(errors='replace')}"
    return done.stdout


def probe(path: Path) -> list[Elementary]:
    """A file's streams and packets, read by ffprobe."""
    found = json.loads(
        run("ffprobe", "-v", "error", "-show_streams", "-show_packets", "-show_data", "-of", "json", str(path))
    )
    streams = []
    for described in found["streams"]:
        packets = []
        for packet in found["packets"]:
            if packet["stream_index"] == described["index"]:
                time = int(packet["pts"]) * Fraction(described["time_base"].replace(":", "/"))
                packets.append(Packet(time, "K" in packet["flags"], _undump(packet["data"])))
        streams.append(
            Elementary(
                described["codec_type"],
                described["codec_name"],
                _undump(described.get("extradata", "")),
                int(described.get("width", 0)),
                int(described.get("height", 0)),
                int(described.get("sample_rate", 0)),
                int(described.get("channels", 0)),
                packets,
            )
        )
    return streams


def _undump(text: str) -> bytes:
    """The bytes of a dump: after the offset, groups of four digits up to column 50."""
    return bytes.fromhex("".join(line[10:50] for line in text.splitlines()))


def url(port: int, path: str = "/cam", credentials: str = "", scheme: str = "rtsp") -> str:
    """:param credentials: user and password with a colon between them."""
    return f"{scheme}://{credentials}{'@' if credentials else ''}127.0.0.1:{port}{path}"


class Sender:
    """
    A program that publishes. A context manager that ends it.

    :ivar output: what it has said is on this file.
    """

    def __init__(self, arguments: Sequence[str], output: Path) -> None:
        self.output = output
        with open(output, "wb") as file:
            self.process = subprocess.Popen(
                [program(arguments[0]), *arguments[1:]], stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    def __enter__(self) -> "Sender":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def wait(self) -> int:
        """For its end; its exit status."""
        return self.process.wait(PATIENCE)

    def finish(self) -> None:
        """Wait for its end, which must be a good one."""
        assert self.wait() == 0, self.said

    def kill(self) -> None:
        """SIGKILL: it has no time to say goodbye."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class GStreamerSender(Sender):
    """
    How GStreamer ends says little about the server. Once in twenty runs or so, rtspclientsink loses its own end of
    stream after everything was sent, and waits for ever; once in fifty it stumbles over the end of its connection.
    """

    def finish(self) -> None:
        """Wait for its end, for a while."""
        try:
            self.process.wait(DURATION + 4)
        except subprocess.TimeoutExpired:
            self.kill()


class Senders:
    """
    Starts senders.

    :param directory: for what they say.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    def _output(self) -> Path:
        self._count += 1
        return self._directory / f"sender-{self._count}.log"

    def ffmpeg(
        self,
        source: Path | Sequence[str],
        target: str,
        *options: str,
        paced: bool = True,
        transport: str | None = "tcp",
        loop: bool = False,
    ) -> Sender:
        """
        ffmpeg, which sends what is in a file as it is.

        :param source: a file, or the arguments of inputs and encoders.
        :param options: more for the output.
        :param paced: as fast as the file is played, instead of as fast as the server takes it.
        :param loop: over and over.
        """
        if isinstance(source, Path):
            words = [*(("-re",) if paced else ()), *(("-stream_loop", "-1") if loop else ()), "-i", str(source)]
            words += ["-map", "0", "-c", "copy"]
        else:
            words = [*source]
        if transport is not None:
            words += ["-rtsp_transport", transport]
        words += [*options, "-f", "rtsp", target]
        return Sender(["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "verbose", *words], self._output())

    def gstreamer(self, pipeline: str, target: str, *properties: str) -> Sender:
        """
        GStreamer.

        :param pipeline: of which ``s.`` is the sink.
        :param properties: more of the sink.
        """
        sink = ["rtspclientsink", "name=s", f"location={target}", *properties]
        return GStreamerSender(["gst-launch-1.0", "-e", *sink, *pipeline.split()], self._output())


@dataclass
class Recording:
    """
    What one publisher has put on a channel.

    :ivar tracks: every description, in their order.
    :ivar order: all frames, as they came.
    :ivar firsts: by id: how each track was described when its first frame came.
    """

    tracks: list[Tracks] = field(default_factory=list)
    order: list[Frame] = field(default_factory=list, repr=False)
    firsts: dict[int, Track] = field(default_factory=dict)
    ended: bool = False

    def of(self, track: Track) -> list[Frame]:
        """A track's frames."""
        return [frame for frame in self.order if frame.track == track.id]

    def add(self, payload: bytes) -> None:
        """One message; what it may not be is an error of the test."""
        assert isEnvelope(payload), payload[:100]
        assert not self.ended, "a message after the source's end"
        message = decode(payload)
        if isinstance(message, Tracks):
            self.tracks.append(message)
            assert message.source == self.tracks[0].source
        elif isinstance(message, SourceFrame):
            assert self.tracks, "a frame before the first description"
            assert message.source == self.tracks[0].source
            number = message.frame.track
            (track,) = [track for track in self.tracks[-1].tracks if track.id == number]
            self.firsts.setdefault(number, track)
            self.order.append(message.frame)
        elif isinstance(message, SourceEnd):
            assert message.source == self.tracks[0].source
            self.ended = True


class Listener:
    """A subscriber of a channel at Redis. A context manager that leaves."""

    def __init__(self, redis: Redis, channel: str = "cam") -> None:
        self._redis = redis
        self._channel = channel
        self._subscription = Subscription(redis, channel)

    def __enter__(self) -> "Listener":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._subscription.__exit__(kind, error, traceback)

    def recording(
        self,
        enough: Callable[[Recording], Any] = lambda recording: recording.ended,
        begun: Recording | None = None,
    ) -> Recording:
        """
        Take messages until there are enough.

        :param begun: a recording to be continued.
        """
        deadline = time.monotonic() + PATIENCE
        recording = begun or Recording()
        while not enough(recording):
            assert time.monotonic() < deadline, f"waited in vain, with {len(recording.order)} frames: {recording}"
            recording.add(self._subscription.payload())
        return recording

    def payload(self) -> bytes:
        """The next message."""
        return self._subscription.payload()


def retained(redis: Redis, channel: str = "cam") -> Tracks | None:
    """What a newcomer on the channel is told first."""
    value = redis.command("GET", f"{channel}:retained")
    if value is None:
        return None
    assert isinstance(value, bytes)
    tracks = decode(value)
    assert isinstance(tracks, Tracks)
    return tracks
