"""
The conditions of ``route-if`` and ``route-if-not``.

``name:one`` or ``name:left;right``; the first ``;`` separates, both sides may hold variables. The right
side of ``regexp`` is a pattern, taken as it stands. Comparison is of bytes, case matters.

Unlike uWSGI: a missing ``;``, a bad pattern and a bad network are errors at load, ``contains`` finds what is
there, and an IPv4 address that arrives mapped into IPv6 is still that address.
"""

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from realtime_tw.errors import ConfigError
from realtime_tw.routing.regexps import compileRegexp
from realtime_tw.routing.template import Template
from realtime_tw.routing.text import didYouMean, quoted, toText
from realtime_tw.routing.variables import Context

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_LEADING_NUMBER = re.compile(rb"[ \t\r\n\v\f]*([+-]?)0*([0-9]*)")


class Condition(Protocol):
    """Something a request fulfils or not."""

    def holds(self, context: Context) -> bool:
        """A match of a regexp also sets ``context.captures``."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two texts and a test on them."""

    left: Template
    right: Template
    test: Callable[[bytes, bytes], bool]

    def holds(self, context: Context) -> bool:
        return self.test(self.left.render(context), self.right.render(context))


@dataclass(frozen=True, slots=True)
class Matching:
    """A text and a pattern, whose groups become the captures."""

    subject: Template
    pattern: re.Pattern[bytes]

    def holds(self, context: Context) -> bool:
        match = self.pattern.search(self.subject.render(context))
        if match is None:
            return False
        context.captures = capturesOf(match)
        return True


@dataclass(frozen=True, slots=True)
class InNetwork:
    """
    An address and a network of version 4 or 6.

    :ivar network: the constant one, or None when ``template`` has to be rendered for every request.
    """

    address: Template
    template: Template
    version: int
    network: _Network | None

    def holds(self, context: Context) -> bool:
        network = self.network
        try:
            if network is None:
                network = parseNetwork(toText(self.template.render(context)), self.version)
            address = ipaddress.ip_address(toText(self.address.render(context)))
        except (ConfigError, ValueError):
            return False
        if isinstance(address, ipaddress.IPv6Address) and self.version == 4:
            # What a socket that serves both versions calls an IPv4 client.
            return address.ipv4_mapped is not None and address.ipv4_mapped in network
        return address in network


@dataclass(frozen=True, slots=True)
class Single:
    """A text and a test on it."""

    subject: Template
    test: Callable[[bytes], bool]

    def holds(self, context: Context) -> bool:
        return self.test(self.subject.render(context))


def capturesOf(match: re.Match[bytes]) -> tuple[bytes, ...]:
    """The whole match and its groups; a group that took no part is empty."""
    return (match[0], *match.groups(b""))


def leadingNumber(text: bytes) -> int:
    """The number a text begins with, 0 when it begins with none; one too large for 63 bits counts as their limit."""
    match = _LEADING_NUMBER.match(text)
    if match is None or not match[2]:
        return 0
    value = int(match[2]) if len(match[2]) < 19 else 2**63 - 1
    return -value if match[1] == b"-" else value


def parseNetwork(text: str, version: int) -> _Network:
    """
    :raises ConfigError: for anything but an address or ``address/length`` of that version.
    """
    try:
        if version == 4:
            return ipaddress.IPv4Network(text, strict=False)
        return ipaddress.IPv6Network(text, strict=False)
    except ValueError as error:
        raise ConfigError(f"{quoted(text)} is not an IPv{version} network") from error


def _contains(text: bytes, part: bytes) -> bool:
    # uWSGI says no to an empty needle, although everything starts and ends with one.
    return bool(part) and part in text


def _executable(path: bytes) -> bool:
    return b"\0" not in path and os.access(path, os.X_OK)


_EQUAL: Callable[[bytes, bytes], bool] = bytes.__eq__
_COMPARISONS: dict[str, Callable[[bytes, bytes], bool]] = {
    **dict.fromkeys(("equal", "isequal", "eq", "=="), _EQUAL),
    "startswith": bytes.startswith,
    "endswith": bytes.endswith,
    **dict.fromkeys(("contains", "contain"), _contains),
    **dict.fromkeys(("ishigher", ">"), lambda left, right: leadingNumber(left) > leadingNumber(right)),
    **dict.fromkeys(("ishigherequal", ">="), lambda left, right: leadingNumber(left) >= leadingNumber(right)),
    **dict.fromkeys(("islower", "<"), lambda left, right: leadingNumber(left) < leadingNumber(right)),
    **dict.fromkeys(("islowerequal", "<="), lambda left, right: leadingNumber(left) <= leadingNumber(right)),
}
_SINGLES: dict[str, Callable[[bytes], bool]] = {
    "exists": os.path.exists,
    "isfile": os.path.isfile,
    "isdir": os.path.isdir,
    "islink": os.path.islink,
    "isexec": _executable,
    "empty": lambda text: not text,
}
_REGEXPS = ("regexp", "re")
_NETWORKS = {"ipv4in": 4, "ipv6in": 6}
_REFUSED = {
    "lord": "there is no legion here",
    "incache": "there is no cache here",
}

CONDITIONS = frozenset({*_COMPARISONS, *_SINGLES, *_REGEXPS, *_NETWORKS})


def parseCondition(text: str) -> Condition:
    """
    :raises ConfigError: for anything that cannot work, whatever the request.
    """
    name, colon, argument = text.partition(":")
    if not colon:
        raise ConfigError(f"condition {quoted(text)} lacks its colon (write {name}:...)")
    if name in _REFUSED:
        raise ConfigError(f"condition {name} is not supported: {_REFUSED[name]}")
    if name not in CONDITIONS:
        raise ConfigError(f"unknown condition {quoted(name)}{didYouMean(name, CONDITIONS)}")
    if name in _SINGLES:
        return Single(Template.parse(argument), _SINGLES[name])
    left, semicolon, right = argument.partition(";")
    if not semicolon:
        raise ConfigError(f"condition {name} compares two things: write {name}:left;right")
    subject = Template.parse(left)
    if name in _REGEXPS:
        return Matching(subject, compileRegexp(right))
    template = Template.parse(right)
    if name in _NETWORKS:
        version = _NETWORKS[name]
        network = parseNetwork(right, version) if template.isConstant else None
        return InNetwork(subject, template, version, network)
    return Comparison(subject, template, _COMPARISONS[name])
