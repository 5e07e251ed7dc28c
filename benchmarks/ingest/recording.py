"""
RTP as ffmpeg sends it: recorded once by an RTSP server that answers yes to everything, then kept in ``build/``.

A recording is a file of packets, each after its length in two bytes, and the session description beside it.
"""

import contextlib
import itertools
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from realtime_tw.errors import ProtocolError
from realtime_tw.rtsp.messages import Event, Interleaved, Request, encodeResponse, parseCSeq
from realtime_tw.rtsp.parser import RTSPParser

BUILD = Path(__file__).resolve().parent / "build"

RATE = 30
CLOCK = 90000

#: Bytes of an RTP packet, its header included.
PACKET_SIZE = 1400

#: Seconds without a byte from the encoder after which it is given up.
_PATIENCE = 60.0

_LENGTH = struct.Struct("!H")
_HEADER = struct.Struct("!BBHII")

# A moving test picture under noise: enough to need the whole rate. One keyframe in two seconds, as cameras have it.
_PICTURE = ("-f", "lavfi", "-i", f"testsrc2=size=1920x1080:rate={RATE}", "-vf", "noise=alls=12:allf=t")
_COMMON = ("-b:v", "4M", "-maxrate", "4M", "-bufsize", "4M", "-g", str(2 * RATE), "-pix_fmt", "yuv420p")

#: What makes ffmpeg encode each codec. No B-frames: cameras send none.
CODECS = {
    "h264": ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-sc_threshold", "0"),
    "vp8": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "16", "-max-intra-rate", "500"),
}


class RecordingError(Exception):
    """There is no ffmpeg, or it did not send what was asked for."""


@dataclass(frozen=True, slots=True)
class Recording:
    """
    Whole frames of one video, the first of them a keyframe.

    :ivar path: of its file.
    :ivar description: SDP.
    :ivar packets: RTP.
    :ivar frames: how many they are.
    :ivar seconds: until it can begin again.
    """

    path: Path
    description: bytes
    packets: Sequence[bytes] = field(repr=False)
    frames: int
    seconds: float

    @property
    def bitsPerSecond(self) -> float:
        """RTP headers included."""
        return 8 * sum(map(len, self.packets)) / self.seconds

    @property
    def packetsPerSecond(self) -> float:
        """Of one publisher."""
        return len(self.packets) / self.seconds

    def repeated(self, count: int) -> list[bytes]:
        """The packets at least ``count`` times, in whole rounds; sequence numbers and times go on."""
        rounds = -(-count // len(self.packets))
        heads = [_HEADER.unpack_from(packet) for packet in self.packets]
        first = heads[0]
        ticks = round(self.seconds * CLOCK)
        result = []
        for turn in range(rounds):
            moved, later = turn * len(heads) - first[2], turn * ticks - first[3]
            for (bits, kind, sequence, time, source), packet in zip(heads, self.packets, strict=True):
                head = _HEADER.pack(bits, kind, (sequence + moved) & 0xFFFF, (time + later) & 0xFFFFFFFF, source)
                result.append(head + packet[12:])
        return result


def recording(codec: str, seconds: int, say: Callable[[str], None]) -> Recording:
    """
    The recording of a codec, made now when there is none of that length yet.

    :param say: told when that begins: it takes up to half a minute.
    :raises RecordingError: when that is not possible.
    """
    path = BUILD / f"{codec}-{seconds}.rtp"
    description = path.with_suffix(".sdp")
    if not path.exists() or not description.exists():
        say(f"ffmpeg encodes {seconds} s of {codec}, once")
        sdp, packets = _record(codec, seconds)
        BUILD.mkdir(exist_ok=True)
        # Another run may be doing the same: each writes its own file, and the last one to finish wins.
        for target, content in (
            (description, sdp),
            (path, b"".join(_LENGTH.pack(len(packet)) + packet for packet in packets)),
        ):
            unfinished = target.with_name(f"{target.name}.{os.getpid()}")
            unfinished.write_bytes(content)
            unfinished.replace(target)
    return _load(path, description.read_bytes())


def _load(path: Path, description: bytes) -> Recording:
    packets = list(_split(path.read_bytes()))
    times = list(dict.fromkeys(_HEADER.unpack_from(packet)[3] for packet in packets))
    steps = {(later - earlier) & 0xFFFFFFFF for earlier, later in itertools.pairwise(times)}
    if steps != {CLOCK // RATE}:
        raise RecordingError(f"{path}: frames are {sorted(steps)} ticks apart")
    return Recording(path, description, packets, len(times), len(times) / RATE)


def _split(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        (size,) = _LENGTH.unpack_from(data, position)
        position += 2 + size
        yield data[position - size : position]


def _record(codec: str, seconds: int) -> tuple[bytes, list[bytes]]:
    """The description and the packets."""
    ffmpeg = shutil.which("ffmpeg")
    if not ffmpeg:
        raise RecordingError("ffmpeg is not installed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_PATIENCE)
        command = [ffmpeg, "-nostdin", "-loglevel", "error", *_PICTURE, "-t", str(seconds), *CODECS[codec], *_COMMON]
        command += ["-f", "rtsp", "-rtsp_transport", "tcp", "-pkt_size", str(PACKET_SIZE)]
        command += ["-rtpflags", "skip_rtcp", f"rtsp://127.0.0.1:{server.getsockname()[1]}/record"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as encoder:
            try:
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(_PATIENCE)
                    description, packets = _answerPublisher(connection)
            except (OSError, ProtocolError) as error:
                raise RecordingError(f"ffmpeg did not publish: {error}") from error
            finally:
                encoder.terminate()
    expected = seconds * RATE
    frames = len({_HEADER.unpack_from(packet)[3] for packet in packets})
    if not description or frames != expected:
        raise RecordingError(f"ffmpeg sent {frames} frames instead of {expected}")
    return description, packets


def _answerPublisher(connection: socket.socket) -> tuple[bytes, list[bytes]]:
    parser = RTSPParser()
    description = b""
    packets: list[bytes] = []
    while data := _read(connection):
        for event in _events(parser, data):
            if isinstance(event, Interleaved):
                if event.channel == 0:
                    packets.append(event.payload)
            elif isinstance(event, Request):
                headers = [("CSeq", str(parseCSeq(event.headers))), ("Session", "1")]
                if event.method == "ANNOUNCE":
                    description = event.body
                elif event.method == "SETUP":
                    headers.append(("Transport", event.headers.get("Transport") or ""))
                connection.sendall(encodeResponse(200, headers))
                if event.method == "TEARDOWN":
                    return description, packets
    return description, packets


def _read(connection: socket.socket) -> bytes:
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1 << 16)
    return b""


def _events(parser: RTSPParser, data: bytes) -> list[Event]:
    events = parser.receive(data)
    if parser.error is not None:
        raise parser.error
    return events
