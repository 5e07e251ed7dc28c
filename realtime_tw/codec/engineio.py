"""
Engine.IO packets and polling payloads, protocol revisions 4 and 3 (https://github.com/socketio/engine.io-protocol).

======================  ===============================  ==================================================
what                    revision 4 (``EIO=4``)           revision 3 (``EIO=3``)
======================  ===============================  ==================================================
text packet             type digit, data                 the same
binary in a WebSocket   the bytes alone                  one byte 4, the bytes
binary in text          ``b``, base64                    ``b4``, base64
polling payload         packets joined by byte 0x1e      ``length:packet``..., counted as JavaScript counts
binary polling payload  (none)                           0 or 1, length as bytes 0-9, 255, packet
======================  ===============================  ==================================================

Text is UTF-8 ``bytes`` wherever it is on its way out, so that a broadcast is encoded once and only spliced after that:
:func:`messageText`, :func:`messageBinary` and :func:`messageBase64` make the packet, :func:`joinPayload` the payload.
"""

import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import unquote_to_bytes

from realtime_tw.errors import LimitExceeded, ProtocolError

#: The body of one POST. What engine.io allows by default (``maxHttpBufferSize``), and so what its clients expect.
MAX_BYTES = 1_000_000

#: Packets in one POST. A client sends all that waits in one body as long as it fits, events of a loop included, so
#: the 16 of python-engineio cut off honest clients. Ten thousand take about 10 ms to decode.
MAX_PACKETS = 10_000

#: 10 digits hold any length that fits into memory; more is an attempt to overflow somebody's integer.
MAX_LENGTH_DIGITS = 10

SEPARATOR = b"\x1e"

# What a separator inside of a text becomes: U+FFFD, the replacement character.
_REPLACEMENT = b"\xef\xbf\xbd"

# UTF-8 bytes by what they add to the length of a JavaScript string: continuation bytes nothing, others one, and those
# that begin four bytes one more, because UTF-16 needs a surrogate pair there.
_CONTINUATION = bytes(range(0x80, 0xC0))
_BELOW_FOUR_BYTES = bytes(range(0xF0))


class PacketType(IntEnum):
    """The first character of a text packet."""

    OPEN = 0
    CLOSE = 1
    PING = 2
    PONG = 3
    MESSAGE = 4
    UPGRADE = 5
    NOOP = 6


_TYPES = {str(int(kind)): kind for kind in PacketType}

#: Packets without data, and the two of the upgrade probe, ready to be sent as text.
CLOSE = b"1"
PING = b"2"
PONG = b"3"
UPGRADE = b"5"
NOOP = b"6"
PROBE = b"2probe"
PROBE_REPLY = b"3probe"


@dataclass(frozen=True, slots=True)
class Packet:
    """
    One packet.

    :ivar data: ``str``; or ``bytes`` for a binary message, which only a MESSAGE can be.
    """

    type: PacketType
    data: str | bytes = ""


def messageText(data: bytes) -> bytes:
    """A text message as a text packet. :param data: UTF-8."""
    return b"4" + data


def messageBinary(data: bytes, version: int = 4) -> bytes:
    """A binary message as the content of a binary WebSocket message."""
    return b"\x04" + data if version == 3 else data


def messageBase64(data: bytes, version: int = 4) -> bytes:
    """A binary message as a text packet: for polling, and for what asked for it by ``b64=1``."""
    return (b"b4" if version == 3 else b"b") + b2a_base64(data, newline=False)


def encodePacketText(packet: Packet, version: int = 4) -> bytes:
    """
    Any packet as a text packet, UTF-8; a binary one in base64. Lone surrogates, which are not text, become ``?``.

    :raises ProtocolError: for binary data in a packet that is no message.
    """
    if isinstance(packet.data, str):
        return b"%d%b" % (packet.type, packet.data.encode("utf-8", "replace"))
    return messageBase64(_binaryData(packet), version)


def encodePacketBinary(packet: Packet, version: int = 4) -> bytes:
    """
    A binary message as the content of a binary WebSocket message.

    :raises ProtocolError: for anything else than a binary message.
    """
    return messageBinary(_binaryData(packet), version)


def _binaryData(packet: Packet) -> bytes:
    if packet.type is not PacketType.MESSAGE or isinstance(packet.data, str):
        raise ProtocolError(f"a {packet.type.name} packet with {type(packet.data).__name__} data cannot be binary")
    return packet.data


def decodePacket(data: bytes, isBinary: bool, version: int = 4) -> Packet:
    """
    The packet in one WebSocket message.

    :param isBinary: whether the message was binary.
    :raises ProtocolError: for what is not a packet.
    """
    if not isBinary:
        return _decodeText(_text(data), version)
    if version != 3:
        return Packet(PacketType.MESSAGE, data)
    if data[:1] != b"\x04":
        raise ProtocolError("binary packet that is not a message")
    return Packet(PacketType.MESSAGE, data[1:])


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ProtocolError("text that is not UTF-8") from None


def _decodeText(text: str, version: int = 4) -> Packet:
    kind = _TYPES.get(text[:1])
    if kind is not None:
        return Packet(kind, text[1:])
    prefix = "b4" if version == 3 else "b"
    if not text.startswith(prefix):
        raise ProtocolError("unknown packet type" if text else "empty packet")
    try:
        return Packet(PacketType.MESSAGE, a2b_base64(text[len(prefix) :], strict_mode=True))
    except (Base64Error, ValueError):
        raise ProtocolError("bad base64") from None


def joinPayload(parts: Sequence[bytes], version: int = 4) -> bytes:
    """
    A polling payload from encoded text packets (UTF-8).

    In revision 4 nothing can escape the separator: a text with byte 0x1e in it would arrive as several packets, and
    whoever may send a text could close the connections of all others. The byte is replaced by U+FFFD. JSON, and so
    all of Socket.IO, never contains it.
    """
    if version == 3:
        # An empty payload is one empty packet: what engine.io-parser 2 writes.
        return b"".join([b"%d:%b" % (_javaScriptLength(part), part) for part in parts]) or b"0:"
    payload = SEPARATOR.join(parts)
    if payload.count(SEPARATOR) >= max(len(parts), 1):
        payload = SEPARATOR.join([part.replace(SEPARATOR, _REPLACEMENT) for part in parts])
    return payload


def _javaScriptLength(text: bytes) -> int:
    """UTF-16 code units of a UTF-8 text: the ``length`` of the string that JavaScript makes of it."""
    if text.isascii():
        return len(text)
    return len(text.translate(None, _CONTINUATION)) + len(text.translate(None, _BELOW_FOUR_BYTES))


def joinBinaryPayload(parts: Iterable[tuple[bytes, bool]]) -> bytes:
    """
    A binary polling payload (revision 3 only, ``application/octet-stream``).

    Clients that can read it read :func:`joinPayload` with base64 as well: it is never needed, only smaller.

    :param parts: encoded packets, as for a WebSocket, and whether each is binary.
    """
    return b"".join(
        [b"%c%b\xff%b" % (isBinary, bytes(map(int, str(len(part)))), part) for part, isBinary in parts],
    )


def encodePayload(packets: Iterable[Packet], version: int = 4) -> bytes:
    """A polling payload: text, with binary messages in base64."""
    return joinPayload([encodePacketText(packet, version) for packet in packets], version)


def encodeBinaryPayload(packets: Iterable[Packet]) -> bytes:
    """A binary polling payload (revision 3 only)."""
    return joinBinaryPayload(
        [
            (encodePacketText(packet, 3), False)
            if isinstance(packet.data, str)
            else (encodePacketBinary(packet, 3), True)
            for packet in packets
        ],
    )


def decodePayload(
    body: bytes,
    version: int = 4,
    isBinary: bool = False,
    *,
    maxPackets: int = MAX_PACKETS,
    maxBytes: int = MAX_BYTES,
) -> list[Packet]:
    """
    The packets of a POST.

    :param isBinary: whether the body is ``application/octet-stream``; matters in revision 3 only.
    :raises ProtocolError: for anything that is not a payload with at least one packet. Nothing of it is used then.
    :raises LimitExceeded: for too many bytes or packets.
    """
    if len(body) > maxBytes:
        raise LimitExceeded(f"payload of more than {maxBytes} bytes")
    if version == 3:
        return _decodeBinaryPayload(body, maxPackets) if isBinary else _decodeCountedPayload(body, maxPackets)
    if body.count(SEPARATOR) >= maxPackets:
        raise _tooMany(maxPackets)
    return [_decodeText(text) for text in _text(body).split("\x1e")]


def _tooMany(maxPackets: int) -> LimitExceeded:
    return LimitExceeded(f"payload of more than {maxPackets} packets")


def _decodeCountedPayload(body: bytes, maxPackets: int) -> list[Packet]:
    if body == b"0:":
        return []
    # As UTF-16 the lengths are places, and one that would cut a surrogate pair does not decode.
    wide = _text(body).encode("utf-16-le")
    packets: list[Packet] = []
    start = 0
    while start < len(wide) or not packets:
        if len(packets) >= maxPackets:
            raise _tooMany(maxPackets)
        header = wide[start : start + 2 * MAX_LENGTH_DIGITS + 2].decode("utf-16-le", "replace")
        digits, colon, _ = header.partition(":")
        if not colon or not digits.isascii() or not digits.isdigit():
            raise ProtocolError("bad length in a payload")
        start += 2 * len(digits) + 2
        end = start + 2 * int(digits)
        if end > len(wide):
            raise ProtocolError("packet shorter than its length")
        try:
            text = wide[start:end].decode("utf-16-le")
        except UnicodeDecodeError:
            raise ProtocolError("length that divides a character") from None
        packets.append(_decodeText(text, 3))
        start = end
    return packets


def _decodeBinaryPayload(body: bytes, maxPackets: int) -> list[Packet]:
    packets: list[Packet] = []
    start = 0
    while start < len(body) or not packets:
        if len(packets) >= maxPackets:
            raise _tooMany(maxPackets)
        border = body.find(b"\xff", start, start + MAX_LENGTH_DIGITS + 2)
        digits = body[start + 1 : border]
        if border < 0 or body[start] > 1 or not digits or max(digits) > 9:
            raise ProtocolError("bad length in a payload")
        end = border + 1 + int("".join(map(str, digits)))
        if end > len(body):
            raise ProtocolError("packet shorter than its length")
        packet = body[border + 1 : end]
        packets.append(decodePacket(packet, True, 3) if body[start] else _decodeText(_text(packet), 3))
        start = end
    return packets


def encodeOpen(
    sid: str,
    upgrades: Sequence[str],
    pingInterval: int,
    pingTimeout: int,
    maxPayload: int | None = None,
) -> bytes:
    """
    The handshake as a text packet.

    :param pingInterval: milliseconds, as ``pingTimeout``.
    :param maxPayload: bytes of a POST; came with revision 4, clients of revision 3 ignore it. None leaves it out.
    """
    handshake: dict[str, object] = {
        "sid": sid,
        "upgrades": list(upgrades),
        "pingInterval": pingInterval,
        "pingTimeout": pingTimeout,
    }
    if maxPayload is not None:
        handshake["maxPayload"] = maxPayload
    return b"0" + json.dumps(handshake, separators=(",", ":")).encode()


#: JSONP answers are scripts.
JSONP_MEDIA_TYPE = b"text/javascript; charset=UTF-8"

_JSONP_INDEX = re.compile(r"[0-9]{1,10}")
_JSONP_NEWLINE = re.compile(rb"(\\?)\\n")


def encodeJSONP(index: str, payload: bytes) -> bytes:
    """
    A text payload as a script: ``___eio[index]("payload");``

    It is ASCII without ``<``: neither U+2028 and U+2029, which end lines in older JavaScript, nor ``</script>`` or
    ``<!--`` can appear in it.

    :param index: the query's ``j``, which clients count up.
    :raises ProtocolError: for an index that is not a number: it would be code.
    """
    if not _JSONP_INDEX.fullmatch(index):
        raise ProtocolError("bad JSONP index")
    return b"___eio[%b](%b);" % (index.encode(), json.dumps(_text(payload)).replace("<", "\\u003c").encode())


def decodeJSONP(body: bytes) -> bytes:
    r"""
    The payload in a JSONP client's form, ``d=...``.

    Browsers turn newlines of a form into CR LF: clients send each as ``\n`` (backslash, n), and what already was a
    ``\n`` as ``\\n``.

    :raises ProtocolError: for a form without ``d``, or with several.
    """
    values = [field[2:] for field in body.split(b"&") if field.startswith(b"d=")]
    if len(values) != 1:
        raise ProtocolError("form without exactly one field d")
    value = unquote_to_bytes(values[0].replace(b"+", b" "))
    return _JSONP_NEWLINE.sub(lambda match: rb"\n" if match[1] else b"\n", value)
