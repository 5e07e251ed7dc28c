"""
Tracks and frames as messages on a channel: the envelope, version 1 (docs/wire-format.md).

All integers are big-endian::

    0   4  ff 52 54 01: what no picture, container or text begins with; the last byte is the version
    4   1  type: 1 tracks, 2 frame, 3 end
    5   1  frame: the track's id
    6   1  frame: flags; bit 0: keyframe
    7   1  zero
    8   4  the source's number
   12   8  frame: pts, signed, in ticks of the track's clock
   20   8  frame: dts
   28      frame: its bytes

   12      tracks: JSON, UTF-8

A reader ignores types and flags that it does not know.
"""

import base64
import binascii
import json
import struct
from typing import Any, NamedTuple

from realtime_tw.errors import ProtocolError
from realtime_tw.media import Codec, Frame, Kind, Track, Tracks

MAGIC = b"\xffRT\x01"

#: Bytes before a frame's own.
FRAME_HEADER = 28

#: Tracks of one source. Cameras have two to four; a number of tracks is one byte.
MAX_TRACKS = 32

_TRACKS, _FRAME, _END = 1, 2, 3
_KEYFRAME = 1

_HEADER = struct.Struct(">4sBBBxI")
_FRAME_HEADER = struct.Struct(">4sBBBxIqq")
_ANY = _HEADER.size

_NUMBERS = ("clockRate", "width", "height", "sampleRate", "channels")


class SourceFrame(NamedTuple):
    """A frame, and the number of the source that it is from."""

    source: int
    frame: Frame


class SourceEnd(NamedTuple):
    """The source has ended in good order."""

    source: int


def isEnvelope(payload: bytes) -> bool:
    """Whether a message is one of these, rather than a picture, a container or anything else."""
    return payload.startswith(MAGIC)


def encodeFrame(source: int, frame: Frame) -> bytes:
    """One frame as a message."""
    track, pts, dts, keyframe, data = frame
    return _FRAME_HEADER.pack(MAGIC, _FRAME, track, _KEYFRAME if keyframe else 0, source, pts, dts) + data


def encodeTracks(tracks: Tracks) -> bytes:
    """The description of a source as a message; to be retained."""
    described = {
        "epoch": tracks.epoch,
        "tracks": [
            {
                "id": track.id,
                "kind": track.kind.value,
                "codec": track.codec.value,
                **{name: getattr(track, name) for name in _NUMBERS if getattr(track, name)},
                **({"name": track.name} if track.name else {}),
                **({"config": base64.b64encode(track.config).decode()} if track.config else {}),
            }
            for track in tracks.tracks
        ],
    }
    return _HEADER.pack(MAGIC, _TRACKS, 0, 0, tracks.source) + json.dumps(described, separators=(",", ":")).encode()


def encodeEnd(source: int) -> bytes:
    """The end of a source as a message."""
    return _HEADER.pack(MAGIC, _END, 0, 0, source)


def decode(payload: bytes) -> Tracks | SourceFrame | SourceEnd | None:
    """
    A message for which :func:`isEnvelope` holds.

    :return: None for a type that we do not know.
    :raises ProtocolError: for one that is damaged.
    """
    if len(payload) < _ANY:
        raise ProtocolError("the envelope is cut off")
    _, kind, _, _, source = _HEADER.unpack_from(payload)
    if kind == _FRAME:
        if len(payload) < FRAME_HEADER:
            raise ProtocolError("the envelope of a frame is cut off")
        _, _, track, flags, source, pts, dts = _FRAME_HEADER.unpack_from(payload)
        return SourceFrame(source, Frame(track, pts, dts, bool(flags & _KEYFRAME), payload[FRAME_HEADER:]))
    if kind == _TRACKS:
        return _tracks(source, payload[_ANY:])
    if kind == _END:
        return SourceEnd(source)
    return None


def _tracks(source: int, text: bytes) -> Tracks:
    try:
        described = json.loads(text)
        listed = described["tracks"]
        if not isinstance(listed, list) or len(listed) > MAX_TRACKS:
            raise ProtocolError("too many tracks")
        return Tracks(tuple(map(_track, listed)), source, _number(described.get("epoch", 0)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise ProtocolError(f"tracks that cannot be read: {error}") from error


def _track(described: dict[str, Any]) -> Track:
    number = _number(described["id"])
    if not 1 <= number <= 255:
        raise ProtocolError("a track's id is 1 to 255")
    values = {name: _number(described.get(name, 0)) for name in _NUMBERS}
    if not values["clockRate"]:
        raise ProtocolError("a track without a clock")
    return Track(
        number,
        Kind(described["kind"]),
        Codec(described["codec"]),
        config=base64.b64decode(described.get("config", ""), validate=True),
        name=str(described.get("name", "")),
        **values,
    )


def _number(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise ProtocolError("a number that is none")
    return value
