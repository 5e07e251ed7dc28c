"""
Bits as the headers of H264 and HEVC hold them: fixed lengths, and Exp-Golomb codes (ITU-T H.264 and H.265, section 9.1
and 9.2), after the emulation prevention bytes are taken out (sections 7.4.1 and 7.4.2).
"""

from realtime_tw.errors import ProtocolError

#: Leading zeros of an Exp-Golomb code: the largest value that the standards use is 2**32 - 2.
MAX_ZEROS = 31

# A whole Exp-Golomb code, wherever in a byte it begins: 7 bits before it, and twice MAX_ZEROS and 1 of its own.
_WINDOW = (7 + 2 * MAX_ZEROS + 1 + 7) // 8


def unescape(data: bytes) -> bytes:
    """A NAL unit's content without the bytes that keep start codes out of it: each 3 after two zeros."""
    return data.replace(b"\0\0\3", b"\0\0")


class BitReader:
    """
    Reads from the most significant bit on.

    :param data: without emulation prevention bytes; see :func:`unescape`.
    :ivar position: bits read so far.
    """

    __slots__ = ("_data", "_end", "position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._end = len(data) * 8
        self.position = 0

    @property
    def left(self) -> int:
        """Bits that are still there."""
        return self._end - self.position

    def skip(self, count: int) -> None:
        """
        Pass over bits.

        :raises ProtocolError: when fewer are left.
        """
        if count > self._end - self.position:
            raise ProtocolError("header cut short")
        self.position += count

    def bits(self, count: int) -> int:
        """
        An unsigned number of that many bits, the u(n) of the standards.

        :raises ProtocolError: when fewer are left.
        """
        start = self.position
        self.skip(count)
        end = self.position
        return int.from_bytes(self._data[start >> 3 : (end + 7) >> 3]) >> (-end & 7) & ((1 << count) - 1)

    def flag(self) -> bool:
        """
        One bit.

        :raises ProtocolError: when none is left.
        """
        position = self.position
        if position >= self._end:
            raise ProtocolError("header cut short")
        self.position = position + 1
        return bool(self._data[position >> 3] >> (~position & 7) & 1)

    def ue(self, most: int = (1 << 32) - 2) -> int:
        """
        An unsigned Exp-Golomb code, the ue(v) of the standards.

        :param most: the largest value that makes sense here.
        :raises ProtocolError: for a larger one, or when the bits end before the code.
        """
        position = self.position
        start = position >> 3
        window = int.from_bytes(self._data[start : start + _WINDOW].ljust(_WINDOW, b"\0"))
        offset = position & 7
        zeros = _WINDOW * 8 - offset - (window & (1 << (_WINDOW * 8 - offset)) - 1).bit_length()
        if zeros > MAX_ZEROS:
            raise ProtocolError("bad Exp-Golomb code in a header")
        size = 2 * zeros + 1
        self.skip(size)
        value = (window >> (_WINDOW * 8 - offset - size) & (1 << size) - 1) - 1
        if value > most:
            raise ProtocolError(f"{value} in a header where {most} is the largest that makes sense")
        return value

    def se(self) -> int:
        """
        A signed Exp-Golomb code, the se(v) of the standards.

        :raises ProtocolError: when the bits end before it.
        """
        value = self.ue()
        return (value + 1) // 2 if value & 1 else -(value // 2)
