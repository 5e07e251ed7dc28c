"""
Small helpers on configuration text: bytes and back, quoting for messages, "did you mean".

Configuration is ``str`` (UTF-8, undecodable bytes of the environment kept by surrogateescape); requests are
``bytes``.
"""

import difflib
from collections.abc import Iterable

from realtime_tw.errors import ConfigError

# difflib is quadratic in the length of its words, and no name we know is longer.
_LONGEST_WORD = 64


def toBytes(text: str) -> bytes:
    """
    The bytes a piece of configuration text stands for.

    :raises ConfigError: for a lone surrogate, which no file can have contained.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ConfigError("the text holds a character that no encoding can express") from error


def toText(data: bytes) -> str:
    """The reverse of :func:`toBytes`, for any bytes."""
    return data.decode("utf-8", "surrogateescape")


def quoted(text: str, limit: int = 80) -> str:
    """``text`` in double quotes for a one-line message: control characters escaped, long text cut."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in cut)
    return f'"{shown}"'


def didYouMean(word: str, known: Iterable[str]) -> str:
    """``" (did you mean x?)"`` when a known word is close, else an empty string."""
    close = difflib.get_close_matches(word[:_LONGEST_WORD].lower(), sorted(known), n=1, cutoff=0.7)
    return f" (did you mean {close[0]}?)" if close else ""


def loggable(data: bytes) -> str:
    """Bytes that a client may have chosen, as one harmless line: control characters become ``\\xNN``."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
