"""
WebSocket frames as a server sends them (RFC 6455, section 5): unmasked, one frame per message, so that one ``bytes``
object serves all connections. The receiving side is Autobahn's.

:func:`deflated` compresses a message for permessage-deflate (RFC 7692) without context takeover: the result depends on
nothing but the message and the window, so it can be shared, too.
"""

import zlib
from enum import IntEnum

from realtime_tw.errors import LimitExceeded, ProtocolError

#: The payload of a control frame (RFC 6455, section 5.5).
MAX_CONTROL = 125

#: A close frame's reason: its payload less the two bytes of the code.
MAX_REASON = MAX_CONTROL - 2

#: What ends a sync flush, and is left out of every message (RFC 7692, section 7.2.1).
FLUSH_TAIL = b"\x00\x00\xff\xff"

# deflate finds matches up to its window less this (MIN_LOOKAHEAD in zlib): a message that is shorter by it gets the
# same result from a smaller window, which costs much less to set up.
_LOOKAHEAD = 262

_FINAL = 0x80
_RSV1 = 0x40


class Opcode(IntEnum):
    """RFC 6455, section 5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


def frame(opcode: int, payload: bytes, rsv1: bool = False) -> bytes:
    """
    A whole message as one frame.

    :param rsv1: the message is compressed (RFC 7692, section 6).
    :raises LimitExceeded: for a control frame of more than :data:`MAX_CONTROL` bytes.
    """
    first = _FINAL | _RSV1 | opcode if rsv1 else _FINAL | opcode
    size = len(payload)
    if size < 126:
        return b"%c%c%b" % (first, size, payload)
    if opcode >= Opcode.CLOSE:
        raise LimitExceeded(f"control frame of more than {MAX_CONTROL} bytes")
    if size < 0x10000:
        return b"%c\x7e%b%b" % (first, size.to_bytes(2), payload)
    return b"%c\x7f%b%b" % (first, size.to_bytes(8), payload)


def textFrame(payload: bytes) -> bytes:
    """A text message. :param payload: UTF-8; nobody checks it here, see :func:`isText`."""
    return frame(0x1, payload)


def binaryFrame(payload: bytes) -> bytes:
    """A binary message."""
    return frame(0x2, payload)


def closeFrame(code: int | None = None, reason: str = "") -> bytes:
    """
    The goodbye.

    :param code: None for a close frame without code and reason.
    :param reason: cut to what fits (:data:`MAX_REASON` bytes), between two characters.
    :raises ProtocolError: for a code that must not be sent (RFC 6455, section 7.4; IANA's registry).
    """
    if code is None:
        return frame(Opcode.CLOSE, b"")
    if not (3000 <= code < 5000 or 1000 <= code <= 1014) or code in (1004, 1005, 1006):
        raise ProtocolError(f"close code {code} cannot be sent")
    text = reason.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")
    return frame(Opcode.CLOSE, code.to_bytes(2) + text.encode())


def isText(payload: bytes) -> bool:
    """Whether the payload can be a text message: it is valid UTF-8."""
    if payload.isascii():
        return True
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def deflated(payload: bytes, windowBits: int = 15, level: int = zlib.Z_DEFAULT_COMPRESSION) -> bytes:
    """
    A message's payload, compressed: goes into a frame with ``rsv1``.

    :param windowBits: ``server_max_window_bits``, 8 to 15. zlib cannot do 8; its 9 does: it never refers back by more
        than 512 - 262 = 250 bytes, which a window of 256 holds.
    """
    if not payload:
        # RFC 7692, section 7.2.3.6: an empty message is an empty block.
        return b"\x00"
    needed = (len(payload) + _LOOKAHEAD).bit_length()
    compressor = zlib.compressobj(level, zlib.DEFLATED, -max(9, min(windowBits, needed, 15)))
    data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(FLUSH_TAIL)
