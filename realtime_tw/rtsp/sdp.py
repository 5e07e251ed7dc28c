"""
Session descriptions (RFC 8866, RFC 4566), as publishers announce them.

Only what describes media is read. Real descriptions are loose, and so is the parser: LF or CRLF or nothing after the
last line, media in any order, payload types without rtpmap (RFC 3551, 6), any case in names, a trailing comma or
semicolon, text in an encoding that nobody declared, unknown lines. What is written twice counts the first time.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from realtime_tw.errors import LimitExceeded, ProtocolError

#: Bytes of a description. The largest part is a Vorbis configuration: below 12 KiB in base64 for each such medium.
MAX_SDP = 65536

#: Media in one description. Cameras announce up to five: two pictures, sound, metadata, talk-back.
MAX_MEDIAS = 16

#: Attributes of one section, and parameters of one fmtp. Browsers, the most talkative, write about 60.
MAX_ATTRIBUTES = 128

#: Formats of one medium: there are no more payload types.
MAX_FORMATS = 128

#: Ticks per second. The fastest in use is MPEG's system clock of 27 MHz.
MAX_CLOCK_RATE = 1_000_000_000

MAX_CHANNELS = 255

#: Payload types that need no rtpmap: name, clock rate, channels (0: none or not said). RFC 3551, tables 4 and 5.
STATIC_TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("PCMU", 8000, 1),
    3: ("GSM", 8000, 1),
    8: ("PCMA", 8000, 1),
    9: ("G722", 8000, 1),
    10: ("L16", 44100, 2),
    11: ("L16", 44100, 1),
    14: ("MPA", 90000, 0),
    26: ("JPEG", 90000, 0),
    31: ("H261", 90000, 0),
    32: ("MPV", 90000, 0),
    33: ("MP2T", 90000, 0),
    34: ("H263", 90000, 0),
}

Attributes = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Media:
    """
    One ``m=`` section.

    :ivar kind: ``video``, ``audio``, ``application``, ...; lower case.
    :ivar formats: payload types as numbers, anything else as it was written.
    :ivar control: the value of ``a=control``, empty without one.
    :ivar payloadType: the first format that is mapped to an encoding, else the first that is a number, else -1.
    :ivar encodingName: of that payload type, in upper case; empty when nothing says it.
    :ivar clockRate: ticks per second, 0 without encoding.
    :ivar channels: of sound, 1 unless written; 0 for anything else, and for MPA, which never says it.
    :ivar fmtp: parameters of that payload type: names in lower case, values as written; empty for a bare word.
    :ivar attributes: all other attributes, names in lower case, in order; the value is empty for a property.
    """

    kind: str
    port: int = 0
    protocol: str = "RTP/AVP"
    formats: tuple[int | str, ...] = ()
    control: str = ""
    payloadType: int = -1
    encodingName: str = ""
    clockRate: int = 0
    channels: int = 0
    fmtp: Mapping[str, str] = field(default_factory=dict, hash=False)
    attributes: Attributes = ()

    def attribute(self, name: str) -> str | None:
        """The value of the first attribute of that name (lower case), or None."""
        return _first(self.attributes, name)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """
    :ivar name: of the session (``s=``); empty for the ``-`` that stands for none.
    :ivar control: of the whole session, empty without one.
    :ivar attributes: of the session, without the control; as in :class:`Media`.
    """

    name: str = ""
    control: str = ""
    medias: tuple[Media, ...] = ()
    attributes: Attributes = ()

    def attribute(self, name: str) -> str | None:
        """The value of the first attribute of that name (lower case), or None."""
        return _first(self.attributes, name)


def _first(attributes: Iterable[tuple[str, str]], name: str) -> str | None:
    return next((value for key, value in attributes if key == name), None)


_BLANK = " \t"
_BLANKS = re.compile("[ \t]+")
_LINE = re.compile(rb"[\r\n]+")
_RTPMAP = re.compile(r"([^ \t/]+)[ \t]*/[ \t]*([0-9]{1,10})(?:[ \t]*/[ \t]*([0-9]{1,3}))?")


def parseSDP(data: bytes) -> SessionDescription:
    """
    :raises ProtocolError: for what is no description, an ``m=`` line that makes no sense, and an encoding without a
        usable clock rate.
    :raises LimitExceeded: for too many bytes, media, formats, attributes or parameters.
    """
    if len(data) > MAX_SDP:
        raise LimitExceeded(f"SDP of more than {MAX_SDP} bytes")
    lines = [line for line in _LINE.split(data.removeprefix(b"\xef\xbb\xbf")) if line.strip()]
    if not lines or not re.fullmatch(rb"\s*v=\s*0\s*", lines[0]):
        raise ProtocolError("SDP that does not begin with v=0")
    name = ""
    attributes: list[tuple[str, str]] = []
    sections: list[tuple[str, list[tuple[str, str]]]] = []
    current = attributes
    for line in lines:
        kind, value = line[:2], _text(line[2:]).strip(" \t")
        if kind == b"a=":
            if len(current) >= MAX_ATTRIBUTES:
                raise LimitExceeded(f"more than {MAX_ATTRIBUTES} attributes in one section of an SDP")
            key, _, content = value.partition(":")
            current.append((key.strip(" \t").lower(), content.strip(" \t")))
        elif kind == b"m=":
            if len(sections) >= MAX_MEDIAS:
                raise LimitExceeded(f"SDP of more than {MAX_MEDIAS} media")
            current = []
            sections.append((value, current))
        elif kind == b"s=" and not sections and not name and value != "-":
            name = value
    control, rest = _takeControl(attributes)
    return SessionDescription(name, control, tuple(_media(line, own) for line, own in sections), rest)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _takeControl(attributes: list[tuple[str, str]]) -> tuple[str, Attributes]:
    return _first(attributes, "control") or "", tuple(item for item in attributes if item[0] != "control")


def _media(line: str, own: list[tuple[str, str]]) -> Media:
    words = _words(line)
    if len(words) < 4:
        raise ProtocolError("m= line of less than four words")
    if len(words) > 3 + MAX_FORMATS:
        raise LimitExceeded(f"medium of more than {MAX_FORMATS} formats")
    kind, protocol = words[0].lower(), words[2]
    # "port/count": the count is of ports in a row, for layered coding.
    port = _number(words[1].partition("/")[0], 65535)
    if port < 0:
        raise ProtocolError("m= line without a port")
    isRTP = "RTP/" in protocol.upper()
    formats = tuple(_format(word, isRTP) for word in words[3:])
    numbers = [entry for entry in formats if isinstance(entry, int)]
    maps = _byPayloadType(own, "rtpmap")
    parameters = _byPayloadType(own, "fmtp")
    payloadType = next((n for n in numbers if n in maps or n in STATIC_TYPES), numbers[0] if numbers else -1)
    encodingName, clockRate, channels = "", 0, 0
    if payloadType in maps:
        encodingName, clockRate, channels = _encoding(maps[payloadType][0], kind)
    elif payloadType in STATIC_TYPES:
        encodingName, clockRate, channels = STATIC_TYPES[payloadType]
        # As an rtpmap would have it.
        channels = 0 if kind != "audio" or encodingName == "MPA" else max(channels, 1)
    fmtp: dict[str, str] = {}
    for text in parameters.get(payloadType, ()):
        _addParameters(text, fmtp)
    control, rest = _takeControl(own)
    used = str(payloadType)
    attributes = tuple(
        (key, value) for key, value in rest if key not in ("rtpmap", "fmtp") or _payloadTypeOf(value) != used
    )
    return Media(
        kind, port, protocol, formats, control, payloadType, encodingName, clockRate, channels, fmtp, attributes
    )


def _words(text: str, most: int = 0) -> list[str]:
    """Between blanks: of the other white space of Unicode, bytes in another encoding than ours seem to have some."""
    return _BLANKS.split(text.strip(_BLANK), most) if text.strip(_BLANK) else []


def _number(text: str, most: int) -> int:
    """-1 for what is no number or is larger."""
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        return -1
    number = int(text)
    return number if number <= most else -1


def _format(word: str, isRTP: bool) -> int | str:
    number = _number(word, 127) if isRTP else -1
    return word if number < 0 else number


def _payloadTypeOf(value: str) -> str:
    """The payload type that an rtpmap or fmtp begins with, as plain digits; empty when it begins with none."""
    words = _words(value, 1)
    number = _number(words[0], 127) if words else -1
    return str(number) if number >= 0 else ""


def _byPayloadType(attributes: Iterable[tuple[str, str]], name: str) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for key, value in attributes:
        if key == name and (payloadType := _payloadTypeOf(value)):
            words = _words(value, 1)
            found.setdefault(int(payloadType), []).append(words[1] if len(words) > 1 else "")
    return found


def _encoding(text: str, kind: str) -> tuple[str, int, int]:
    match = _RTPMAP.match(text)
    clockRate = int(match[2]) if match else 0
    if match is None or not 0 < clockRate <= MAX_CLOCK_RATE:
        raise ProtocolError("rtpmap without a usable clock rate")
    name = match[1].upper()
    channels = 0
    if kind == "audio" and (match[3] or name != "MPA"):
        channels = int(match[3] or 1)
        if not 0 < channels <= MAX_CHANNELS:
            raise ProtocolError(f"sound of {channels} channels")
    return name, clockRate, channels


def _addParameters(text: str, fmtp: dict[str, str]) -> None:
    # Base64 ends with "=": only the first one of a parameter divides.
    for item in text.split(";"):
        key, _, value = item.partition("=")
        key = key.strip(_BLANK).lower()
        if not key:
            continue
        if len(fmtp) >= MAX_ATTRIBUTES:
            raise LimitExceeded(f"fmtp of more than {MAX_ATTRIBUTES} parameters")
        fmtp.setdefault(key, value.strip(_BLANK))


def encodeSDP(
    description: SessionDescription, origin: str = "- 0 0 IN IP4 127.0.0.1", address: str = "0.0.0.0"
) -> bytes:
    """
    :param origin: the value of ``o=``.
    :param address: IPv4 or IPv6, for ``c=``; the zero address where the transport is agreed on later.
    :raises ProtocolError: when a value contains the end of a line, and so would be more than a value.
    """
    family = "IP6" if ":" in address else "IP4"
    lines = ["v=0", f"o={origin}", f"s={description.name or '-'}", f"c=IN {family} {address}", "t=0 0"]
    if description.control:
        lines.append(f"a=control:{description.control}")
    lines += _attributeLines(description.attributes)
    for media in description.medias:
        formats = " ".join(map(str, media.formats))
        lines.append(f"m={media.kind} {media.port} {media.protocol} {formats}")
        if media.encodingName:
            suffix = f"/{media.channels}" if media.channels > 1 else ""
            lines.append(f"a=rtpmap:{media.payloadType} {media.encodingName}/{media.clockRate}{suffix}")
        if media.fmtp:
            parameters = "; ".join(f"{key}={value}" if value else key for key, value in media.fmtp.items())
            lines.append(f"a=fmtp:{media.payloadType} {parameters}")
        if media.control:
            lines.append(f"a=control:{media.control}")
        lines += _attributeLines(media.attributes)
    for line in lines:
        if "\n" in line or "\r" in line:
            raise ProtocolError("line break in a value of an SDP")
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace")


def _attributeLines(attributes: Attributes) -> list[str]:
    return [f"a={key}:{value}" if value else f"a={key}" for key, value in attributes]


_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


def resolveControl(base: str, control: str) -> str:
    """
    The URL that a control attribute means (RFC 2326, C.1.1).

    A relative one is appended after a slash, behind a query string when there is one: what senders do. Resolving it as
    in HTML would cut off the last part of a base that does not end with a slash.

    :param base: the URL of the presentation, with or without a slash at its end.
    :param control: absolute, beginning with a slash, relative, ``*`` or empty.
    """
    if not control or control == "*":
        return base
    if _ABSOLUTE.match(control):
        return control
    if control.startswith("/"):
        match = _ABSOLUTE.match(base)
        return (match[0] if match else "") + control
    return (base if base.endswith("/") else base + "/") + control


def matchControl(setupUrl: str, base: str, medias: Sequence[Media]) -> int | None:
    """
    Which medium a SETUP is for.

    Compared without scheme, host and port (proxies and address translation change them), without percent-encoding,
    repeated slashes and a slash at the end. A query string may be missing on either side, and may stand before the
    control or behind it.

    :param setupUrl: absolute or relative.
    :return: an index into ``medias``, or None.
    """
    wanted = _comparable(setupUrl)
    bare = wanted.partition("?")[0].rstrip("/")
    candidates = [_candidates(base, media.control) for media in medias]
    for url in (wanted, bare):
        for index, forms in enumerate(candidates):
            if url in forms:
                return index
    # A base that is not the one of the ANNOUNCE: then the end has to do, when only one medium has it.
    ends = [_comparable("/" + media.control.strip("/")) for media in medias]
    found = [
        index
        for index, media in enumerate(medias)
        if media.control not in ("", "*") and (wanted.endswith(ends[index]) or bare.endswith(ends[index]))
    ]
    if len(found) == 1:
        return found[0]
    if len(medias) == 1 and not found and {wanted, bare} & {_comparable(base), _comparable(base.partition("?")[0])}:
        return 0
    return None


def _candidates(base: str, control: str) -> frozenset[str]:
    """All comparable forms of a medium's URL; none for a medium that has no URL of its own."""
    if not control or control == "*":
        return frozenset()
    path = base.partition("?")[0]
    forms = (
        control,
        resolveControl(base, control),
        resolveControl(path, control),
        resolveControl(path, control.lstrip("/")),
    )
    return frozenset(map(_comparable, forms))


def _comparable(url: str) -> str:
    match = _ABSOLUTE.match(url)
    path = unquote(url[match.end() :] if match else url)
    return re.sub("/+", "/", "/" + path).rstrip("/") or "/"
