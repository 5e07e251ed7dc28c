"""
JSON as strangers send it and as clients can read it: nothing but RFC 8259, UTF-8, finite, compact, and not too deep;
and JSON with binary attachments, as Socket.IO has it.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from realtime_tw.errors import LimitExceeded, ProtocolError

#: Levels of arrays and objects. Real events have fewer than ten; the rest of the program may walk them recursively.
MAX_DEPTH = 128


def _refuseConstant(name: str) -> NoReturn:
    raise ProtocolError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if number - number != 0:
        # 1e999: it would be sent on as Infinity.
        raise ProtocolError("number out of range")
    return number


DECODER = json.JSONDecoder(parse_constant=_refuseConstant, parse_float=_finite)
SETTINGS: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}
ENCODER = json.JSONEncoder(**SETTINGS)
_SURROGATE = re.compile("[\ud800-\udfff]")


def parseJSON(text: str, maxDepth: int) -> Any:
    """
    The value of a JSON text.

    :raises ProtocolError: for what is not JSON; ``LimitExceeded`` for what is nested too deeply.
    """
    try:
        value = DECODER.decode(text)
    except RecursionError:
        raise LimitExceeded("JSON nested too deeply") from None
    except ValueError:
        # Not JSON, or an integer of more digits than Python converts.
        raise ProtocolError("bad JSON") from None
    # Only a text with that many brackets can be that deep.
    if text.count("[") + text.count("{") > maxDepth and _deeper(value, maxDepth):
        raise LimitExceeded("JSON nested too deeply")
    return value


def _deeper(value: Any, maxDepth: int) -> bool:
    """Whether arrays and objects are nested more than that deep: looked at level by level, without recursion."""
    level: list[Any] = [[value]]
    for _ in range(maxDepth + 1):
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def validJSON(payload: bytes) -> bool:
    """
    Whether the payload is one JSON value, UTF-8, and so may be spliced into another.

    Stricter than :func:`json.loads`: no NaN, no Infinity, no UTF-16, no byte order mark, no endless nesting.
    """
    try:
        parseJSON(payload.decode(), MAX_DEPTH)
    except (UnicodeDecodeError, ProtocolError):
        return False
    return True


def encodeJSON(value: Any) -> bytes:
    """
    Compact JSON, UTF-8. Lone surrogates, which UTF-8 does not have, stay ``\\u`` escapes.

    :raises ProtocolError: for what JSON cannot say: NaN, infinities, circles, bytes and other objects.
    """
    return dumpJSON(ENCODER, value)


def dumpJSON(encoder: json.JSONEncoder, value: Any) -> bytes:
    """What an encoder with these :data:`SETTINGS` makes of a value; see :func:`encodeJSON`."""
    try:
        text = encoder.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"cannot be sent as JSON: {error}") from None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):x}", text).encode()


def encodeWithAttachments(value: Any) -> tuple[bytes, tuple[bytes, ...]]:
    """JSON with placeholders, and what they stand for."""
    try:
        return ENCODER.encode(value).encode(), ()
    except (TypeError, ValueError, RecursionError):
        # The usual reason is binary in it: the encoder hands over every object it does not know, in order.
        attachments: list[bytes] = []

    def placeholder(part: object) -> dict[str, object]:
        if not isinstance(part, (bytes, bytearray, memoryview)):
            raise TypeError(f"{type(part).__name__} object")
        attachments.append(bytes(part))
        return {"_placeholder": True, "num": len(attachments) - 1}

    return dumpJSON(json.JSONEncoder(default=placeholder, **SETTINGS), value), tuple(attachments)


def putAttachments(data: Sequence[Any], attachments: Sequence[bytes]) -> None:
    """
    Put attachments where their placeholders are.

    :raises ProtocolError: for a placeholder without an attachment.
    """
    for container, key, number in findPlaceholders(data, len(attachments)):
        container[key] = attachments[number]


def findPlaceholders(data: Sequence[Any], count: int) -> list[tuple[Any, Any, int]]:
    """Where the attachments belong: container, key, index. All of them are checked before any attachment comes."""
    places: list[tuple[Any, Any, int]] = []
    containers: list[Any] = [data]
    while containers:
        container = containers.pop()
        for key, value in container.items() if isinstance(container, dict) else enumerate(container):
            if isinstance(value, dict) and value.get("_placeholder") is True:
                number = value.get("num")
                if type(number) is not int or not 0 <= number < count:
                    raise ProtocolError("placeholder without an attachment")
                places.append((container, key, number))
            elif isinstance(value, (dict, list)):
                containers.append(value)
    return places
