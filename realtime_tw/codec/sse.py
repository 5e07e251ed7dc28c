"""
Server-Sent Events: the ``text/event-stream`` format (WHATWG HTML, section 9.2).

Only the sending side lives here; browsers and client libraries are the receiving one.
"""

import re

#: The three line ends of the format. A payload's own line ends separate its ``data:`` lines.
_LINE_END = re.compile(rb"\r\n|\n|\r")

MEDIA_TYPE = b"text/event-stream"

#: A comment: ignored by clients, and enough to keep a connection alive through proxies.
HEARTBEAT = b":\n\n"


def encodeEvent(data: bytes, event: bytes = b"") -> bytes:
    """
    One event.

    :param data: any bytes; each of its lines (LF, CRLF or CR) becomes a ``data:`` line. Text should be UTF-8.
    :param event: the event's type; empty for the default, ``message``. What it holds after a line end is cut off:
        nothing can be smuggled into the stream by a channel's name.
    """
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    if event:
        return b"event: %b\ndata: %b\n\n" % (_LINE_END.split(event, 1)[0], data)
    return b"data: %b\n\n" % data


def encodeRetry(milliseconds: int) -> bytes:
    """Tells the client how long to wait before it connects again."""
    return b"retry: %d\n\n" % milliseconds


def encodeComment(text: bytes) -> bytes:
    """A comment, for people who look at the stream; clients ignore it."""
    return b"".join(b": %b\n" % line for line in _LINE_END.split(text)) + b"\n"
