"""
The sending side of RTP payload formats, as simple as the RFCs allow: what the depacketizers' tests take apart again.

The payloads of one access unit come as a list; the marker belongs to the last.
"""

from collections.abc import Sequence


def escape(content: bytes) -> bytes:
    """A NAL unit's content with emulation prevention (H.264, 7.4.1), byte by byte. It does not end with a zero."""
    out = bytearray()
    for byte in content:
        if out[-2:] == b"\0\0" and byte <= 3:
            out.append(3)
        out.append(byte)
    return bytes(out)


def stapA(nals: Sequence[bytes]) -> bytes:
    """RFC 6184, section 5.7.1: NRI is the highest of all."""
    most = max(nal[0] & 0x60 for nal in nals)
    return bytes((most | 24,)) + b"".join(len(nal).to_bytes(2) + nal for nal in nals)


def fuA(nal: bytes, mtu: int) -> list[bytes]:
    """RFC 6184, section 5.8. :param mtu: the longest payload."""
    head, kind = bytes((nal[0] & 0xE0 | 28,)), nal[0] & 31
    pieces = _pieces(nal[1:], mtu - 2)
    flags = _flags(len(pieces))
    return [head + bytes((flag | kind,)) + piece for flag, piece in zip(flags, pieces, strict=True)]


def packetizeH264(nals: Sequence[bytes], mtu: int, aggregate: bool = True) -> list[bytes]:
    """An access unit: fragments of what is too large, and neighbours that fit together in one packet."""
    payloads: list[bytes] = []
    for group in _groups(nals, mtu, 1, aggregate):
        if len(group) > 1:
            payloads.append(stapA(group))
        else:
            payloads += [group[0]] if len(group[0]) <= mtu else fuA(group[0], mtu)
    return payloads


def aggregationPacket(nals: Sequence[bytes], number: int | None = None) -> bytes:
    """RFC 7798, section 4.4.2. :param number: the first DONL; the NAL units are in decoding order."""
    layer, temporal = min((nal[0] & 1, nal[1] >> 3) for nal in nals), min(nal[1] & 7 for nal in nals)
    parts = [bytes((48 << 1 | layer[0], layer[1] << 3 | temporal))]
    for index, nal in enumerate(nals):
        if number is not None:
            parts.append(b"\0" if index else number.to_bytes(2))
        parts += [len(nal).to_bytes(2), nal]
    return b"".join(parts)


def singleHEVC(nal: bytes, number: int | None = None) -> bytes:
    """RFC 7798, section 4.4.1."""
    return nal if number is None else nal[:2] + number.to_bytes(2) + nal[2:]


def fragmentationUnits(nal: bytes, mtu: int, number: int | None = None) -> list[bytes]:
    """RFC 7798, section 4.4.3."""
    head, kind = bytes((nal[0] & 0x81 | 49 << 1, nal[1])), nal[0] >> 1 & 63
    pieces = _pieces(nal[2:], mtu - 5)
    if number is not None:
        pieces[0] = number.to_bytes(2) + pieces[0]
    flags = _flags(len(pieces))
    return [head + bytes((flag | kind,)) + piece for flag, piece in zip(flags, pieces, strict=True)]


def packetizeHEVC(
    nals: Sequence[bytes], mtu: int, aggregate: bool = True, number: int | None = None
) -> tuple[list[bytes], int | None]:
    """
    An access unit, as :func:`packetizeH264` does it.

    :param number: the decoding order number of its first NAL unit; None without such numbers.
    :return: the payloads, and the next number.
    """
    payloads: list[bytes] = []
    for group in _groups(nals, mtu, 4, aggregate):
        if len(group) > 1:
            payloads.append(aggregationPacket(group, number))
        elif len(group[0]) + 2 <= mtu:
            payloads.append(singleHEVC(group[0], number))
        else:
            payloads += fragmentationUnits(group[0], mtu, number)
        if number is not None:
            number = (number + len(group)) & 0xFFFF
    return payloads, number


def paci(payload: bytes, extension: bytes = b"") -> bytes:
    """RFC 7798, section 4.4.4: another payload behind an extension of at most 31 bytes."""
    fields = (payload[0] & 0xFE) << 8 | len(extension) << 4
    return bytes((payload[0] & 1 | 50 << 1, payload[1])) + fields.to_bytes(2) + extension + payload[2:]


def _pieces(content: bytes, most: int) -> list[bytes]:
    return [content[at : at + most] for at in range(0, len(content), most)]


def _flags(count: int) -> list[int]:
    """Start and end bits. One fragment alone must not be sent (RFC 6184, section 5.8), but some do."""
    flags = [0] * count
    flags[0] |= 0x80
    flags[-1] |= 0x40
    return flags


def _groups(nals: Sequence[bytes], mtu: int, head: int, aggregate: bool) -> list[list[bytes]]:
    groups: list[list[bytes]] = []
    size = 0
    for nal in nals:
        cost = len(nal) + 3
        if aggregate and groups and size + cost <= mtu:
            groups[-1].append(nal)
            size += cost
        else:
            groups.append([nal])
            size = head + cost
    return groups
