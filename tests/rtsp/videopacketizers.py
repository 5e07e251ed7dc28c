"""The other side of the depacketizers of VP8, VP9, JPEG and PNG: frames in, payloads of packets out."""

from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import Depacketizer

#: Ticks between two frames.
STEP = 3600


class Packet(NamedTuple):
    payload: bytes
    time: int
    marker: bool


#: What :func:`damaged` does to a stream.
losses = st.sets(st.integers(0, 60))


def captured(text: str) -> list[Packet]:
    """Packets as they are written down here: a line with time and marker, then the payload in base64."""
    packets: list[Packet] = []
    for line in text.split("\n"):
        if " " in line:
            time, marker = line.split()
            packets.append(Packet(b"", int(time), marker == "1"))
        elif line:
            last = packets[-1]
            packets[-1] = last._replace(payload=last.payload + b64decode(line))
    return packets


def deliver(receiver: Depacketizer, packets: Iterable[Packet]) -> list[AccessUnit]:
    """All access units of packets that arrive without loss."""
    return [unit for packet in packets for unit in receiver.receive(*packet, False)]


def damaged(receiver: Depacketizer, packets: Sequence[Packet], missing: Collection[int]) -> list[AccessUnit]:
    """The access units when those packets do not arrive, by their place in the sequence."""
    units: list[AccessUnit] = []
    lost = False
    for place, packet in enumerate(packets):
        if place in missing:
            lost = True
        else:
            units += receiver.receive(*packet, lost)
            lost = False
    return units


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def _packets(payloads: Sequence[bytes], time: int) -> list[Packet]:
    last = len(payloads) - 1
    return [Packet(payload, time, place == last) for place, payload in enumerate(payloads)]


# VP8 -----------------------------------------------------------------------------------------------------------------


def vp8Frame(keyframe: bool, body: bytes, width: int = 64, height: int = 48) -> bytes:
    """The header of a frame in front of any bytes, which are its first partition."""
    tag = (len(body) << 5 | 1 << 4 | (not keyframe)).to_bytes(3, "little")
    if not keyframe:
        return tag + body
    return tag + b"\x9d\x01\x2a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + body


#: The parts behind the first byte: each makes another form of descriptor.
VP8_EXTENSIONS = (
    b"",
    b"\x00",
    b"\x80\x11",
    b"\x80\x81\x11",
    b"\x40\x22",
    b"\x20\x43",
    b"\x10\x05",
    b"\x30\x45",
    b"\xf0\x91\x11\x22\x45",
)


def vp8Packets(frame: bytes, time: int, size: int = 1200, extension: bytes = b"\x80\x81\x11") -> list[Packet]:
    """:param size: of the pieces. :param extension: one of :data:`VP8_EXTENSIONS`."""
    flag = 0x80 if extension else 0
    parts = pieces(frame, size)
    return _packets(
        [bytes([flag | (0x10 if not place else 0)]) + extension + part for place, part in enumerate(parts)], time
    )


# VP9 -----------------------------------------------------------------------------------------------------------------


class VP9Style(NamedTuple):
    """
    :ivar flexible: whether the F bit is set: then there is no TL0PICIDX, and references are named.
    :ivar pictureID: its bytes, or none.
    :ivar layers: whether the layer indices are sent.
    :ivar structure: what keyframes carry of the scalability structure, or none.
    """

    flexible: bool = False
    pictureID: bytes = b""
    layers: bool = False
    structure: bytes = b""


VP9_STYLES = (
    VP9Style(),
    VP9Style(pictureID=b"\x11"),
    VP9Style(pictureID=b"\x91\x11"),
    VP9Style(layers=True),
    VP9Style(True, b"\x91\x11", True),
    # One layer, 64x48, a group of one picture with one reference: as GStreamer sends it.
    VP9Style(False, b"\x91\x11", False, bytes.fromhex("1800400030010401")),
    # Three layers with sizes, a group of two pictures with three references and none.
    VP9Style(True, b"\x11", True, bytes.fromhex("58 00100010 00200020 00400040 02 0c010203 20")),
    VP9Style(False, b"", True, b"\x00"),
)


def vp9Frame(keyframe: bool, body: bytes) -> bytes:
    """The header of a frame of profile 0 in front of any bytes."""
    return bytes.fromhex("82498342 0003f002f6" if keyframe else "860040929c2849") + body


def vp9Packets(
    frames: Sequence[bytes], time: int, size: int = 1200, style: VP9Style = VP9_STYLES[0], keyframe: bool = False
) -> list[Packet]:
    """
    :param frames: of one picture, from the lowest layer on.
    :param keyframe: whether P is clear and the structure goes along.
    """
    payloads = []
    for layer, frame in enumerate(frames):
        parts = pieces(frame, size)
        for place, part in enumerate(parts):
            first = (0x80 if style.pictureID else 0) | (0x20 if style.layers else 0) | (0x10 if style.flexible else 0)
            first |= (0x08 if not place else 0) | (0x04 if place == len(parts) - 1 else 0)
            first |= 0 if keyframe else 0x40
            rest = style.pictureID
            if style.layers:
                rest += bytes([layer << 1 | (layer > 0)]) + (b"" if style.flexible else b"\x07")
            if style.flexible and not keyframe:
                rest += b"\x03\x05\x06"
            if style.structure and keyframe and not place and not layer:
                first |= 0x02
                rest += style.structure
            payloads.append(bytes([first]) + rest + part)
    return _packets(payloads, time)


# JPEG ----------------------------------------------------------------------------------------------------------------


class JPEGParts(NamedTuple):
    """
    A baseline file in parts.

    :ivar tables: the quantization tables by their number.
    :ivar huffman: the Huffman tables by the byte in front of them.
    :ivar sampling: of the luma component, across and down.
    :ivar scan: entropy-coded data, with the EOI marker.
    """

    tables: dict[int, bytes]
    huffman: dict[int, bytes]
    interval: int
    width: int
    height: int
    sampling: int
    selectors: tuple[int, ...]
    scan: bytes


def jpegParts(file: bytes) -> JPEGParts:
    tables: dict[int, bytes] = {}
    huffman: dict[int, bytes] = {}
    interval = width = height = sampling = 0
    selectors: tuple[int, ...] = ()
    at = 2
    while True:
        assert file[at] == 0xFF
        marker = file[at + 1]
        end = at + 2 + int.from_bytes(file[at + 2 : at + 4], "big")
        segment = file[at + 4 : end]
        if marker == 0xDB:
            while segment:
                length = 128 if segment[0] >> 4 else 64
                tables[segment[0] & 15] = segment[1 : 1 + length]
                segment = segment[1 + length :]
        elif marker == 0xC4:
            while segment:
                length = 17 + sum(segment[1:17])
                huffman[segment[0]] = segment[1:length]
                segment = segment[length:]
        elif marker == 0xDD:
            interval = int.from_bytes(segment, "big")
        elif marker in (0xC0, 0xC1):
            height = int.from_bytes(segment[1:3], "big")
            width = int.from_bytes(segment[3:5], "big")
            sampling = segment[7]
            selectors = tuple(segment[8::3])
        elif marker == 0xDA:
            return JPEGParts(tables, huffman, interval, width, height, sampling, selectors, file[end:])
        at = end


def jpegPackets(
    file: bytes, time: int, size: int = 1200, q: int = 255, withTables: bool = True, interval: int = 0
) -> list[Packet]:
    """
    :param withTables: for Q of 128 and more: whether this picture carries them.
    :param interval: of restart markers; makes it a type of 64 and more.
    """
    parts = jpegParts(file)
    kind = {0x21: 0, 0x22: 1}[parts.sampling] | (64 if interval else 0)
    fixed = bytes([kind, q, parts.width + 7 >> 3, parts.height + 7 >> 3])
    restart = interval.to_bytes(2, "big") + b"\xff\xff" if interval else b""
    tables = b""
    if q >= 128:
        sent = b"".join(parts.tables[number] for number in sorted(parts.tables)) if withTables else b""
        precision = sum((len(table) == 128) << number for number, table in parts.tables.items())
        tables = bytes([0, precision]) + len(sent).to_bytes(2, "big") + sent
    payloads = []
    offset = 0
    for part in pieces(parts.scan, size):
        payloads.append(offset.to_bytes(4, "big") + fixed + restart + (tables if not offset else b"") + part)
        offset += len(part)
    return _packets(payloads, time)


# PNG -----------------------------------------------------------------------------------------------------------------


def pngPackets(file: bytes, time: int, size: int = 1200) -> list[Packet]:
    return _packets(pieces(file, size), time)


# Any payload format --------------------------------------------------------------------------------------------------


def noise(heads: Sequence[bytes]) -> st.SearchStrategy[list[tuple[Packet, bool]]]:
    """Packets that are damaged and without sense. :param heads: what payloads of the format may begin with."""
    payloads = st.one_of(st.binary(max_size=40), st.builds(bytes.__add__, st.sampled_from(heads), st.binary()))
    packets = st.builds(Packet, payloads, st.integers(0, 3), st.booleans())
    return st.lists(st.tuples(packets, st.booleans()), max_size=30)


def flood(make: Callable[[], Depacketizer], first: bytes, following: Callable[[int], bytes], held: int) -> None:
    """
    A frame that never ends, in packets of one byte each after a first that is genuine. Afterwards the depacketizer
    has given up, and holds nothing.

    :param following: the payload of a packet, by its number.
    :param held: the packets that it takes at most until then.
    """
    receiver = make()
    assert not receiver.receive(first, 0, False, False)
    for place in range(held):
        assert not receiver.receive(following(place), 0, False, False)
        if receiver.discarded:
            return
    raise AssertionError("it is never given up")
