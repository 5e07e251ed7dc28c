"""
Access units out of NAL units: what the depacketizers of H264 (RFC 6184) and HEVC (RFC 7798) have in common.

An access unit ends with the marker, or where the time changes. Parameter sets are taken out of it; so are delimiters
and filler.
"""

import struct
from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress

from realtime_tw.codec.h264 import MAX_NALS, MAX_PARAMETER_SETS, START_CODE
from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import MAX_FRAME, NOTHING

#: What a fragment costs beyond its bytes, counted against the largest frame: many small ones are not cheaper to hold.
OVERHEAD = 64

_LENGTH = struct.Struct(">I")


def decodeSprop(text: str) -> list[bytes]:
    """
    The NAL units of ``sprop-parameter-sets`` (RFC 6184, section 8.1), or of HEVC's ``sprop-vps``, ``sprop-sps`` and
    ``sprop-pps`` (RFC 7798, section 7.1).

    :param text: base64 between commas. What cannot be decoded is left out, and so is what is empty: some senders end
        with a comma, and some forget the padding.
    """
    found = []
    for item in text.split(","):
        item = item.strip().rstrip("=")
        try:
            nal = b64decode(item + "=" * (-len(item) % 4), validate=True)
        except ValueError:
            continue
        if nal:
            found.append(nal)
    return found


class NALDepacketizer:
    """
    Access units out of NAL units.

    Nothing comes out before the first keyframe, nor from a loss to the next one. A keyframe right after a loss is
    taken only when it shows its beginning, by a delimiter or by parameter sets: else nobody knows what else was in it.

    :ivar config: built of the newest parameter sets; empty until all kinds are there. It changes in the same call that
        returns the first access unit that needs it, and no other access unit comes out of that call before it.
    :ivar discarded: access units that were damaged. What was whole and only had no keyframe to follow is not counted.
    :ivar awaitingKeyframe: decoding could not go on with anything but a keyframe.
    :ivar width: of the picture in samples; 0 as long as it is not known.
    :ivar reorder: how many frames at most are decoded before, and shown after, another one; None when not known.
    """

    __slots__ = (
        "_annexB",
        "_append",
        "_count",
        "_damaged",
        "_ended",
        "_mark",
        "_markerless",
        "_open",
        "_parts",
        "_picture",
        "_prefix",
        "_sets",
        "_setsChanged",
        "_size",
        "_sizeBefore",
        "_suspect",
        "_time",
        "awaitingKeyframe",
        "config",
        "discarded",
        "height",
        "reorder",
        "width",
    )

    def __init__(self) -> None:
        self.config = b""
        self.discarded = 0
        self.awaitingKeyframe = True
        self.width = 0
        self.height = 0
        self.reorder: int | None = None
        # By type and id.
        self._sets: dict[tuple[int, int], bytes] = {}
        self._setsChanged = False
        # The sender puts start codes inside of packets.
        self._annexB = False
        # The access unit: lengths and (parts of) NAL units in turn, joined once.
        self._parts: list[bytes] = []
        self._append = self._parts.append
        self._open = False
        self._time = 0
        self._size = 0
        self._count = 0
        self._picture = -1
        self._damaged = False
        # Packets were lost right before it.
        self._suspect = False
        # The sender ends access units with nothing but the next time.
        self._markerless = False
        # It is complete, but has to wait for the next call.
        self._ended = False
        # How the packets begin that continue the NAL unit in fragments; None without one.
        self._prefix: bytes | None = None
        # Where in the parts that NAL unit begins, and the size up to there.
        self._mark = 0
        self._sizeBefore = 0

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        """See :class:`~realtime_tw.rtsp.depacketizers.base.Depacketizer`."""
        prefix = self._prefix
        if prefix is not None and time == self._time and not marker and not lost and payload.startswith(prefix):
            # Most packets of large pictures: the middle of a fragmented NAL unit.
            self._append(payload[len(prefix) :])
            self._size = size = self._size + len(payload) + OVERHEAD
            if size > MAX_FRAME:
                self._damage()
            return NOTHING
        first = None
        if lost:
            if self._ended:
                first = self._finish()
            elif self._open:
                self._damage()
            self.awaitingKeyframe = True
        if self._open and (time != self._time or self._ended):
            self._markerless = not self._ended and (self._markerless or not self._damaged)
            first = self._finish()
        if not self._open:
            self._begin(time, lost)
        if payload:
            self._packet(payload)
        if marker:
            self._markerless = False
            if first is not None and self._setsChanged:
                # Two access units out of one call, and only the second needs the new configuration.
                self._ended = True
            else:
                second = self._finish()
                if second is not None:
                    return (second,) if first is None else (first, second)
        return NOTHING if first is None else (first,)

    def flush(self) -> Sequence[AccessUnit]:
        """See :class:`~realtime_tw.rtsp.depacketizers.base.Depacketizer`."""
        if self._open and not self._ended and not self._markerless:
            # The rest of it is still missing.
            self._damage()
        unit = self._finish() if self._open else None
        return NOTHING if unit is None else (unit,)

    # What differs between the codecs.

    def _packet(self, payload: bytes) -> None:
        """A packet of the access unit in hand; not empty."""
        raise NotImplementedError

    def _nal(self, nal: bytes) -> None:
        """A whole NAL unit; not empty."""
        raise NotImplementedError

    def _note(self, kind: int, start: bytes) -> None:
        """A NAL unit that stays in the access unit, by its type and first bytes."""
        raise NotImplementedError

    def _admit(self) -> bool | None:
        """Whether the access unit is a keyframe; None when it cannot be decoded after what came out before it."""
        raise NotImplementedError

    def _identify(self, kind: int, nal: bytes) -> int:
        """
        The id of a parameter set.

        :raises ProtocolError: when it makes no sense.
        """
        raise NotImplementedError

    def _configure(self) -> bytes:
        """
        The configuration, with what the first SPS says noted.

        :raises ProtocolError: while sets are missing.
        """
        raise NotImplementedError

    # What they share.

    def _begin(self, time: int, suspect: bool) -> None:
        self._open = True
        self._time = time
        self._suspect = suspect
        self._damaged = False
        self._size = 0
        self._count = 0
        self._picture = -1

    def _damage(self) -> None:
        """Give up the access unit in hand: of what follows, only parameter sets are taken."""
        self._damaged = True
        self._prefix = None
        self._parts.clear()

    def _finish(self) -> AccessUnit | None:
        if self._prefix is not None:
            self._damage()
        self._open = self._ended = False
        if self._setsChanged:
            self._setsChanged = False
            with suppress(ProtocolError):
                self.config = self._configure()
        unit = None
        if self._damaged:
            self.discarded += 1
            self.awaitingKeyframe = True
        elif self._picture >= 0:
            keyframe = self._admit()
            if keyframe is not None and (not self.awaitingKeyframe or (keyframe and self.config)):
                self.awaitingKeyframe = False
                unit = AccessUnit(self._time, keyframe, b"".join(self._parts))
        self._parts.clear()
        return unit

    def _nals(self, nal: bytes) -> None:
        """What was sent as one NAL unit: it is several when there is a start code inside, which none can contain."""
        if START_CODE not in nal:
            self._nal(nal)
            return
        self._annexB = True
        pieces = nal.split(START_CODE, MAX_NALS + 1)
        if len(pieces) > MAX_NALS + 1:
            self._damage()
            return
        for piece in pieces:
            found = piece.rstrip(b"\0")
            if found:
                self._nal(found)

    def _add(self, kind: int, nal: bytes) -> None:
        size = len(nal)
        self._size += size + OVERHEAD
        self._count += 1
        if self._size > MAX_FRAME or self._count > MAX_NALS:
            self._damage()
            return
        self._append(_LENGTH.pack(size))
        self._append(nal)
        self._note(kind, nal)

    def _startFragments(self, prefix: bytes, header: bytes, content: bytes) -> None:
        """
        The first fragment of a NAL unit.

        :param prefix: how the packets of further fragments begin.
        """
        self._mark = len(self._parts)
        self._sizeBefore = self._size
        self._prefix = prefix
        # The length is put in when it is known.
        self._parts += (b"", header)
        self._count += 1
        if self._count > MAX_NALS:
            self._damage()
        else:
            self._addFragment(content)

    def _addFragment(self, content: bytes) -> None:
        self._append(content)
        self._size += len(content) + OVERHEAD
        if self._size > MAX_FRAME:
            self._damage()

    def _endFragments(self, kind: int, whole: bool) -> None:
        """:param whole: the NAL unit has to be looked at, and may not stay where it is."""
        parts, mark = self._parts, self._mark
        self._prefix = None
        if whole or self._annexB:
            nal = b"".join(parts[mark + 1 :])
            del parts[mark:]
            self._size = self._sizeBefore
            self._count -= 1
            self._nals(nal)
            return
        parts[mark] = _LENGTH.pack(sum(map(len, parts[mark + 1 :])))
        self._note(kind, parts[mark + 1] + parts[mark + 2][:16])

    def _takeSet(self, kind: int, nal: bytes) -> None:
        sets = self._sets
        if nal in sets.values():
            return
        try:
            key = (kind, self._identify(kind, nal))
        except ProtocolError:
            self._damage()
            return
        if sum(map(len, sets.values())) - len(sets.get(key, b"")) + len(nal) > MAX_PARAMETER_SETS:
            self._damage()
            return
        sets[key] = nal
        self._setsChanged = True

    def _takeFirstSets(self, nals: Sequence[bytes]) -> None:
        """Parameter sets from the description of the stream; what makes no sense is left out."""
        self._begin(0, False)
        for nal in nals:
            if nal:
                self._nals(nal)
        self._parts.clear()
        self._damaged = False
        self._picture = -1
        self._finish()

    def _setsOf(self, kind: int) -> list[bytes]:
        return [nal for key, nal in self._sets.items() if key[0] == kind]
