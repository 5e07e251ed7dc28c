"""
The Transport and Session headers of RTSP (RFC 2326, sections 12.39 and 12.37).

Only RTP inside the RTSP connection is supported, ``RTP/AVP/TCP``: a client that asks for UDP alone is refused with
461, and tries again with TCP by itself.
"""

import re
from collections.abc import Container, Iterable
from typing import NamedTuple

from realtime_tw.errors import LimitExceeded, ProtocolError

#: Profiles that look the same on the wire to a receiver: AVPF (RFC 4585) only allows RTCP at other times.
PROFILES = ("AVP", "AVPF")

#: Channels are numbers of 8 bits.
MAX_CHANNEL = 0xFF

# Commas and semicolons inside quotes divide nothing: mode="PLAY,RECORD". A quote that nothing closes is a character.
_ENTRY = re.compile(r'(?:[^,"]++|"[^"]*+"|")++')
_PART = re.compile(r'(?:[^;"]++|"[^"]*+"|")++')
_CHANNELS = re.compile(r"([0-9]{1,3})(?:[ \t]*-[ \t]*([0-9]{1,3}))?")

_BLANK = " \t"


class TransportSpec(NamedTuple):
    """
    One entry of a Transport header.

    :ivar protocol: upper case: ``RTP``, or whatever it is.
    :ivar profile: upper case: ``AVP``, ``SAVP`` ...
    :ivar lower: ``TCP``, ``UDP`` (also when the entry names none) or whatever it is, upper case.
    :ivar unicast: it said so, or it did not say multicast. (The RFC's default is multicast, and nobody means that.)
    :ivar channels: of ``interleaved``, as they were asked for: nothing is checked but that they are numbers; one
        number alone is the first of two. None without ``interleaved``.
    :ivar modes: lower case: ``play``, ``record``; ``receive``, which some senders say, is ``record``.
    :ivar parameters: all of them, names in lower case, values without quotes; in their order.
    """

    protocol: str
    profile: str
    lower: str
    unicast: bool
    channels: tuple[int, int] | None
    modes: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...]

    @property
    def supported(self) -> bool:
        """Whether :func:`chooseTransport` could choose it."""
        return self.protocol == "RTP" and self.profile in PROFILES and self.lower == "TCP" and self.unicast


class ChosenTransport(NamedTuple):
    """
    What is agreed on.

    :ivar rtp: channel of the RTP packets.
    :ivar rtcp: channel of the RTCP packets: the next one.
    """

    rtp: int
    rtcp: int
    profile: str = "AVP"


def parseTransports(value: str) -> list[TransportSpec]:
    """
    The entries of a Transport header, in the client's order of preference.

    Entries that nobody understands are in the list, too: it is for :func:`chooseTransport` to pass them over.

    :param value: where the header came more than once: all values, joined with commas.
    :raises ProtocolError: 400 when there is no entry, or ``interleaved`` holds no channels.
    """
    entries = (entry.strip(_BLANK) for entry in _ENTRY.findall(value))
    specs = [_parse(entry) for entry in entries if entry]
    if not specs:
        raise ProtocolError("an empty Transport header")
    return specs


def _parse(entry: str) -> TransportSpec:
    name, _, rest = entry.partition(";")
    protocol, _, below = name.rstrip(_BLANK).upper().partition("/")
    profile, _, lower = below.partition("/")
    parameters = []
    for part in (part.strip(_BLANK) for part in _PART.findall(rest)):
        key, _, text = part.partition("=")
        parameters.append((key.rstrip(_BLANK).lower(), text.strip(_BLANK).strip('"').strip(_BLANK)))
    # The first of a name counts: nobody repeats one.
    found = dict(reversed(parameters))
    channels = _channels(found["interleaved"]) if "interleaved" in found else None
    if not lower:
        # Who names channels means the connection, with or without /TCP.
        lower = "UDP" if channels is None else "TCP"
    modes = (mode.strip(_BLANK).lower() for mode in found.get("mode", "").split(","))
    return TransportSpec(
        protocol=protocol,
        profile=profile,
        lower=lower,
        unicast="multicast" not in found,
        channels=channels,
        modes=tuple("record" if mode == "receive" else mode for mode in modes if mode) or ("play",),
        parameters=tuple(parameters),
    )


def _channels(text: str) -> tuple[int, int]:
    match = _CHANNELS.fullmatch(text)
    if match is None:
        raise ProtocolError("interleaved is not a pair of channels")
    first = int(match[1])
    return first, first + 1 if match[2] is None else int(match[2])


def chooseTransport(specs: Iterable[TransportSpec], taken: Container[int]) -> ChosenTransport:
    """
    The first entry that is supported, with its channels; with the next free even pair when it names none.

    :param taken: the channels of this connection that are in use.
    :raises ProtocolError: 461 when no entry is supported; 400 when its channels are not n and n+1, or in use.
    :raises LimitExceeded: 453 when none are left.
    """
    spec = next((spec for spec in specs if spec.supported), None)
    if spec is None:
        raise ProtocolError("only RTP/AVP/TCP is supported", 461)
    if spec.channels is None:
        for first in range(0, MAX_CHANNEL, 2):
            if first not in taken and first + 1 not in taken:
                return ChosenTransport(first, first + 1, spec.profile)
        raise LimitExceeded("no free pair of channels", 453)
    rtp, rtcp = spec.channels
    if rtcp != rtp + 1 or rtcp > MAX_CHANNEL:
        raise ProtocolError("interleaved channels must be a pair n-n+1 of numbers up to 255")
    if rtp in taken or rtcp in taken:
        raise ProtocolError("interleaved channels are in use")
    return ChosenTransport(rtp, rtcp, spec.profile)


def formatTransport(chosen: ChosenTransport, mode: str = "record") -> str:
    """The Transport header of the response. :param mode: empty for none, which means playing."""
    value = f"RTP/{chosen.profile}/TCP;unicast;interleaved={chosen.rtp}-{chosen.rtcp}"
    return f"{value};mode={mode}" if mode else value


def parseSession(value: str) -> str:
    """The session's id; clients may repeat the timeout that follows it."""
    return value.partition(";")[0].strip(_BLANK)


def formatSession(session: str, timeout: int | None = None) -> str:
    """The Session header. :param timeout: seconds without a sign of life after which the server forgets it."""
    return session if timeout is None else f"{session};timeout={timeout}"
