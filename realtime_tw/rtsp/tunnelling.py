"""
RTSP tunnelled over HTTP: what the client says is in base64 (RFC 4648, section 4), the body of a POST without end.

Each request is encoded on its own, so there is padding in the middle of the body; line breaks can be anywhere.
"""

import re
from binascii import a2b_base64

from realtime_tw.errors import ProtocolError

_WHITESPACE = b" \t\r\n"
_RUN = re.compile(rb"[A-Za-z0-9+/]*+")


class TunnelDecoder:
    """
    Incremental and split-invariant: the bytes given back, joined, are the same for any split of the input.

    :ivar error: what was wrong behind the bytes that :meth:`receive` has just returned.
    """

    __slots__ = ("_rest", "error")

    def __init__(self) -> None:
        self.error: ProtocolError | None = None
        # The begin of a group of four characters: three at most.
        self._rest = b""

    def receive(self, data: bytes) -> bytes:
        """
        Take the body as it arrives.

        As with :class:`realtime_tw.rtsp.messages.RTSPParser`: what is decoded comes first, and an error behind it is
        raised by the next call.

        :return: what the groups that are complete now stand for; three bytes for four at most.
        :raises ProtocolError: 400 for what is not base64. Every later call raises it again.
        """
        if self.error is not None:
            raise self.error
        text = self._rest + data.translate(None, _WHITESPACE)
        pieces: list[bytes] = []
        position = 0
        size = len(text)
        while position < size:
            run = _RUN.match(text, position)
            assert run is not None
            end = run.end()
            group = end - (end - position) % 4
            if group > position:
                pieces.append(a2b_base64(text[position:group]))
                position = group
            # What follows the last whole group of the run: 0 to 3 characters, and then the end or something else.
            padding = 4 - (end - group)
            if end == size:
                break
            ending = text[end : group + 4]
            if padding > 2 or ending.strip(b"="):
                self.error = ProtocolError("not base64")
                break
            if len(ending) < padding:
                break
            position = group + 4
            pieces.append(a2b_base64(text[group:position]))
        decoded = b"".join(pieces)
        self._rest = b"" if self.error is not None else text[position:]
        if self.error is not None and not decoded:
            raise self.error
        return decoded
