"""
How Engine.IO messages become the bytes of one client: which revision of the protocol, over which transport.

Clients of equal wire share bytes. Over a WebSocket a message is a frame, ready to be sent; for polling it is a packet
that waits for the client's next request.
"""

from dataclasses import dataclass

from realtime_tw.codec.engineio import SEPARATOR, joinPayload, messageBase64, messageBinary, messageText
from realtime_tw.codec.websocket import Opcode, deflated, frame


@dataclass(frozen=True, slots=True)
class Wire:
    """
    :ivar version: 3 or 4.
    :ivar polling: long-polling, or else WebSocket.
    :ivar base64: the client cannot take binary data (``b64=1``).
    :ivar windowBits: of compression without context takeover (WebSocket); None for none.
    """

    version: int = 4
    polling: bool = True
    base64: bool = False
    windowBits: int | None = None

    def text(self, data: bytes) -> bytes:
        """A text message. :param data: UTF-8."""
        return self.packet(messageText(data))

    def binary(self, data: bytes) -> bytes:
        """A binary message."""
        if self.polling or self.base64:
            return self.packet(messageBase64(data, self.version))
        return self._frame(Opcode.BINARY, messageBinary(data, self.version))

    def packet(self, packet: bytes) -> bytes:
        """An encoded text packet."""
        if self.polling:
            return joinPayload([packet], self.version)
        return self._frame(Opcode.TEXT, packet)

    def message(self, text: bytes, attachments: tuple[bytes, ...] = ()) -> bytes:
        """A text message and the binary ones that follow it."""
        if not attachments:
            return self.text(text)
        return self.join([self.text(text), *map(self.binary, attachments)])

    def join(self, pieces: list[bytes]) -> bytes:
        """What several of these methods returned, as one piece."""
        if self.polling and self.version != 3:
            return SEPARATOR.join(pieces)
        return b"".join(pieces)

    def _frame(self, opcode: Opcode, data: bytes) -> bytes:
        if self.windowBits is not None:
            return frame(opcode, deflated(data, self.windowBits), rsv1=True)
        return frame(opcode, data)
