"""
Socket.IO packets, protocol revisions 5 and 4 (https://github.com/socketio/socket.io-protocol), as they travel in
Engine.IO messages: ``<type>[<attachments>-][<namespace>,][<ack id>][JSON]``, then the attachments as binary messages.

Revision 4 (library 2.x, over Engine.IO 3) differs in three places: a namespace may carry a query, CONNECT has no
payload, and the payload of type 4, there called ERROR, is a string.

What goes out is spliced where JSON is already there: :func:`eventPrefix`, :func:`encodeEventRaw`. What comes in keeps
its JSON: :attr:`SocketPacket.raw`, :func:`rawArguments`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from realtime_tw.codec.jsontext import (
    DECODER,
    MAX_DEPTH,
    encodeJSON,
    encodeWithAttachments,
    findPlaceholders,
    parseJSON,
)
from realtime_tw.errors import LimitExceeded, ProtocolError

#: Binary attachments of a packet. socket.io-parser allows 10; a form with a page of thumbnails has more.
MAX_ATTACHMENTS = 64

#: A packet's text and attachments together, which is what is held until the last one is there. Each of them is at
#: most one Engine.IO message (1 MB); four times that lets some large pictures travel in one event.
MAX_BYTES = 4 << 20

#: Characters of a namespace with its query. Names are short; a query holds a token.
MAX_NAMESPACE = 4096

#: JavaScript's last safe integer, and the digits it has.
MAX_ACK_ID = (1 << 53) - 1
_MAX_ACK_DIGITS = 16

#: Names of events that the libraries raise themselves: a peer that sends one pretends to be the library.
RESERVED_EVENTS = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)


class SocketPacketType(IntEnum):
    """The first character of a packet. Revision 4 calls CONNECT_ERROR ERROR."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


_TYPES = {str(int(kind)): kind for kind in SocketPacketType}
_WITHOUT_BINARY = {
    SocketPacketType.BINARY_EVENT: SocketPacketType.EVENT,
    SocketPacketType.BINARY_ACK: SocketPacketType.ACK,
}
_WITH_BINARY = {plain: binary for binary, plain in _WITHOUT_BINARY.items()}


@dataclass(frozen=True, slots=True)
class SocketPacket:
    """
    One packet, its attachments in place.

    :ivar type: never a BINARY type: the attachments tell.
    :ivar ackId: asks for an acknowledgement (EVENT), or says which event is acknowledged (ACK).
    :ivar data: the payload: parsed JSON with ``bytes`` where attachments belong; None when there is none.
    :ivar attachments: the binary parts in the order they came.
    :ivar query: what followed ``?`` in the namespace (revision 4 only), still encoded.
    :ivar raw: the payload's JSON as it came, with placeholders for attachments.
    """

    type: SocketPacketType
    namespace: str = "/"
    ackId: int | None = None
    data: Any = None
    attachments: tuple[bytes, ...] = ()
    query: str = field(default="", compare=False)
    raw: str = field(default="", compare=False, repr=False)

    @property
    def event(self) -> str:
        """An event's name. Numbers are allowed, and are the same as their text, as in JavaScript."""
        name = self.data[0]
        if isinstance(name, float) and name.is_integer():
            name = int(name)
        return str(name)

    @property
    def arguments(self) -> list[Any]:
        """The arguments of an event or of an acknowledgement."""
        return list(self.data[1:] if self.type is SocketPacketType.EVENT else self.data)


# -- Out


def _head(kind: int, namespace: str, ackId: int | None = None, attachments: int = 0) -> bytes:
    """Everything before the JSON."""
    head = f"{kind:d}{attachments}-" if attachments else f"{kind:d}"
    if namespace != "/":
        if namespace[:1] != "/" or "," in namespace:
            raise ProtocolError(f"{namespace!r} cannot be a namespace")
        head += namespace + ","
    if ackId is not None:
        head += str(ackId)
    return head.encode("utf-8", "replace")


def _encode(kind: SocketPacketType, namespace: str, ackId: int | None, data: Any) -> tuple[bytes, tuple[bytes, ...]]:
    text, attachments = encodeWithAttachments(data)
    if attachments:
        kind = _WITH_BINARY[kind]
    return _head(kind, namespace, ackId, len(attachments)) + text, attachments


def encodeEvent(
    namespace: str, name: str, args: Iterable[Any] = (), ackId: int | None = None
) -> tuple[bytes, tuple[bytes, ...]]:
    """
    An event.

    :param args: what JSON can say; ``bytes`` at any depth become attachments.
    :return: the text, and the attachments to be sent after it, each as a binary message.
    :raises ProtocolError: for arguments that cannot be sent, and for a namespace that is none.
    """
    return _encode(SocketPacketType.EVENT, namespace, ackId, [name, *args])


def eventPrefix(namespace: str, name: str) -> bytes:
    """What all events of one name begin with: append JSON values, separated by commas, and ``]``."""
    return b"%b[%b," % (_head(SocketPacketType.EVENT, namespace), encodeJSON(name))


def encodeEventRaw(namespace: str, nameJSON: bytes, argJSON: bytes = b"", ackId: int | None = None) -> bytes:
    """
    An event, spliced.

    :param nameJSON: the name as JSON, with its quotes.
    :param argJSON: the argument as JSON; several, separated by commas; or nothing. Whatever a stranger sent must have
        passed :func:`realtime_tw.codec.jsontext.validJSON`.
    """
    head = _head(SocketPacketType.EVENT, namespace, ackId)
    return b"%b[%b,%b]" % (head, nameJSON, argJSON) if argJSON else b"%b[%b]" % (head, nameJSON)


def encodeAck(namespace: str, ackId: int, args: Iterable[Any] = ()) -> tuple[bytes, tuple[bytes, ...]]:
    """The answer to an event that asked for one; see :func:`encodeEvent`."""
    return _encode(SocketPacketType.ACK, namespace, ackId, list(args))


def encodeAckRaw(namespace: str, ackId: int, argJSON: bytes = b"") -> bytes:
    """An acknowledgement, spliced; see :func:`encodeEventRaw`."""
    return b"%b[%b]" % (_head(SocketPacketType.ACK, namespace, ackId), argJSON)


def encodeConnect(namespace: str, sid: str, version: int = 5) -> bytes:
    """The server's answer to CONNECT. In revision 4 it does not tell the sid: it is the Engine.IO session's."""
    head = _head(SocketPacketType.CONNECT, namespace)
    return head if version == 4 else head + encodeJSON({"sid": sid})


def encodeConnectError(namespace: str, message: str, data: Any = None, version: int = 5) -> bytes:
    """
    The refusal of CONNECT.

    :param data: details for the program at the other end; in revision 4 they take the place of the message.
    """
    payload: Any = {"message": message} if data is None else {"message": message, "data": data}
    if version == 4:
        payload = message if data is None else data
    return _head(SocketPacketType.CONNECT_ERROR, namespace) + encodeJSON(payload)


def encodeDisconnect(namespace: str) -> bytes:
    """Ends the connection to one namespace."""
    return _head(SocketPacketType.DISCONNECT, namespace)


def encodePacket(packet: SocketPacket) -> tuple[bytes, tuple[bytes, ...]]:
    """Any packet, from its type, namespace, query, ackId and data, which holds the attachments."""
    namespace = f"{packet.namespace}?{packet.query}" if packet.query else packet.namespace
    kind = _WITHOUT_BINARY.get(packet.type, packet.type)
    if packet.data is None:
        return _head(kind, namespace, packet.ackId), ()
    if kind in _WITH_BINARY:
        return _encode(kind, namespace, packet.ackId, packet.data)
    return _head(kind, namespace, packet.ackId) + encodeJSON(packet.data), ()


def rawArguments(packet: SocketPacket) -> str:
    """
    The arguments of an event or acknowledgement that came, as JSON, separated by commas: what a publisher or an echo
    splices. Placeholders stay placeholders.
    """
    inside = packet.raw.strip()[1:-1].strip()
    if packet.type is SocketPacketType.EVENT:
        inside = inside[DECODER.raw_decode(inside)[1] :].lstrip()
    return inside.removeprefix(",").lstrip()


# -- In

# Lengths are checked afterwards: a pattern with limits would take a long number for the beginning of the JSON.
_HEAD = re.compile(r"([0-6])(?:([0-9]+)-)?(?:(/[^,]*)(?:,|\Z))?([0-9]*)")


class SocketDecoder:
    """
    Puts packets together from Engine.IO messages. After an error the connection should be closed: the decoder is in
    no defined state then.

    :param version: 5, or 4 over Engine.IO 3.
    :param maxAttachments: binary parts of one packet.
    :param maxBytes: one packet's text and attachments.
    :param maxDepth: levels of its JSON.
    """

    def __init__(
        self,
        version: int = 5,
        *,
        maxAttachments: int = MAX_ATTACHMENTS,
        maxBytes: int = MAX_BYTES,
        maxDepth: int = MAX_DEPTH,
    ) -> None:
        self._version = version
        self._maxAttachments = maxAttachments
        self._maxBytes = maxBytes
        self._maxDepth = maxDepth
        self._waiting: _Waiting | None = None

    @property
    def incomplete(self) -> bool:
        """Whether a packet waits for its attachments."""
        return self._waiting is not None

    def receiveText(self, text: str) -> SocketPacket | None:
        """
        Take a text message.

        :return: the packet; None when its attachments follow.
        :raises ProtocolError: for what is not a packet, or not expected here.
        :raises LimitExceeded: for what is too large.
        """
        if self._waiting is not None:
            raise ProtocolError("text in place of an attachment")
        # Characters: at most as many as bytes, and the Engine.IO layer has counted those.
        if len(text) > self._maxBytes:
            raise LimitExceeded(f"packet of more than {self._maxBytes} bytes")
        match = _HEAD.match(text)
        if match is None:
            raise ProtocolError("unknown packet type")
        digit, count, name, ack = match.groups()
        namespace, query = self._namespace(name)
        ackId = _ackId(ack)
        raw = text[match.end() :]
        kind = _TYPES[digit]
        plain = _WITHOUT_BINARY.get(kind, kind)
        data = parseJSON(raw, self._maxDepth) if raw else None
        if not self._fits(plain, data, bool(raw)):
            raise ProtocolError(f"bad payload of a {plain.name} packet")
        if ackId is None:
            if plain is SocketPacketType.ACK:
                raise ProtocolError("ACK packet without an id")
        elif plain not in _WITH_BINARY:
            raise ProtocolError(f"{plain.name} packet with an id")
        packet = SocketPacket(plain, namespace, ackId, data, (), query, raw)
        if kind is plain:
            if count is not None:
                raise ProtocolError(f"{kind.name} packet with attachments")
            return packet
        self._waiting = _Waiting(packet, self._attachments(count), self._maxBytes - len(text))
        return None

    def receiveBinary(self, data: bytes) -> SocketPacket | None:
        """
        Take a binary message: the next attachment.

        :return: the packet when it is complete.
        :raises ProtocolError: when no attachment is expected.
        :raises LimitExceeded: when the packet becomes too large.
        """
        if self._waiting is None:
            raise ProtocolError("attachment without a packet")
        packet = self._waiting.add(data)
        if packet is not None:
            self._waiting = None
        return packet

    def _namespace(self, name: str | None) -> tuple[str, str]:
        if name is None:
            return "/", ""
        if len(name) > MAX_NAMESPACE:
            raise LimitExceeded(f"namespace of more than {MAX_NAMESPACE} characters")
        if self._version != 4:
            return name, ""
        namespace, _, query = name.partition("?")
        return namespace, query

    def _attachments(self, count: str | None) -> int:
        if count is None or not count.strip("0"):
            raise ProtocolError("binary packet without attachments")
        # Compared as text first: Python does not convert numbers of thousands of digits.
        if len(count) > 9 or int(count) > self._maxAttachments:
            raise LimitExceeded(f"packet with more than {self._maxAttachments} attachments")
        return int(count)

    def _fits(self, kind: SocketPacketType, data: Any, present: bool) -> bool:
        """Whether a packet of this type can have this payload."""
        if kind is SocketPacketType.EVENT:
            if not isinstance(data, list) or not data:
                return False
            name = data[0]
            if isinstance(name, str):
                return name not in RESERVED_EVENTS
            return isinstance(name, (int, float)) and not isinstance(name, bool)
        if kind is SocketPacketType.ACK:
            return isinstance(data, list)
        if kind is SocketPacketType.CONNECT:
            return not present or isinstance(data, dict)
        if kind is SocketPacketType.CONNECT_ERROR:
            # Revision 4 sends whatever details the refusal had.
            return isinstance(data, (str, dict)) or (self._version == 4 and present)
        return not present


def _ackId(digits: str) -> int | None:
    if not digits:
        return None
    if len(digits) > _MAX_ACK_DIGITS or int(digits) > MAX_ACK_ID:
        raise LimitExceeded("ack id out of range")
    return int(digits)


class _Waiting:
    """A packet whose attachments are on their way."""

    def __init__(self, packet: SocketPacket, count: int, maxBytes: int) -> None:
        self._packet = packet
        self._count = count
        self._left = maxBytes
        self._attachments: list[bytes] = []
        self._places = findPlaceholders(packet.data, count)

    def add(self, data: bytes) -> SocketPacket | None:
        self._left -= len(data)
        if self._left < 0:
            raise LimitExceeded("packet with attachments that are too large")
        self._attachments.append(data)
        if len(self._attachments) < self._count:
            return None
        for container, key, number in self._places:
            container[key] = self._attachments[number]
        packet = self._packet
        return SocketPacket(
            packet.type,
            packet.namespace,
            packet.ackId,
            packet.data,
            tuple(self._attachments),
            packet.query,
            packet.raw,
        )
