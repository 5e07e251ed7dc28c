"""
Request targets and paths: splitting, decoding, normalising.

The one place where a path is decoded, and it is decoded once: percent escapes first, then ``.`` and ``..``
segments, so that ``%2e%2e`` is worth as much as ``..``. uWSGI does it the other way round
(reference/routing.md, section 8).
"""

import re

from realtime_tw.errors import ProtocolError

_ESCAPE = re.compile(rb"%(%|[0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)(.*)", re.DOTALL)
_SLASHES = re.compile(rb"//+")
_UNSAFE_IN_QUERY = re.compile(rb"[^\x21\x22\x24-\x7e]")
_UNSAFE_IN_LOCATION = re.compile(rb"[^\x21-\x7e]")
_SPLITS_HEADERS = re.compile(rb"[\r\n\0]")


def unquote(data: bytes) -> bytes:
    """``%xx`` decoded once and ``%%`` as one percent sign; a malformed escape and ``+`` stay."""
    if b"%" not in data:
        return data
    return _ESCAPE.sub(lambda match: b"%" if match[1] == b"%" else bytes([int(match[1], 16)]), data)


def normalisePath(path: bytes) -> bytes:
    """
    ``.`` and ``..`` segments resolved, never above the root, and ``//`` made one slash: a rule for ``/x`` must not be
    avoidable by asking for ``//x``, which means the same file.
    """
    path = _SLASHES.sub(b"/", path)
    if b"." not in path:
        return path
    segments = path.split(b"/")
    result: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            if len(result) > 1:
                result.pop()
        elif segment != b".":
            result.append(segment)
    if segments[-1] in (b".", b"..") or not result:
        result.append(b"")
    return b"/".join(result)


def splitTarget(target: bytes) -> tuple[bytes, bytes]:
    """
    A request target without scheme and authority, and the authority (empty in the usual form).

    ``http://host/x?q`` and ``rtsp://host/x`` mean ``/x`` of ``host``: a rule must not be avoidable by
    spelling the target in its long form.
    """
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        return target, b""
    rest = match[2]
    return rest if rest.startswith(b"/") else b"/" + rest, match[1].rpartition(b"@")[2]


def pathAndQuery(target: bytes) -> tuple[bytes, bytes]:
    """
    PATH_INFO and QUERY_STRING of a request target that :func:`splitTarget` has shortened.

    :raises ProtocolError: for a decoded NUL, or a target that is neither a path nor ``*``.
    """
    raw, _, query = target.partition(b"?")
    path = unquote(raw.partition(b"#")[0])
    if b"\0" in path:
        raise ProtocolError("NUL in the path of the request")
    if path == b"*":
        return path, query
    if not path.startswith(b"/"):
        raise ProtocolError("the request target is not a path")
    return normalisePath(path), query


def quoteForQuery(value: bytes) -> bytes:
    """A substituted value made fit for a query string that already is one; separators are the caller's business."""
    return _UNSAFE_IN_QUERY.sub(_percent, value)


def quoteForLocation(value: bytes) -> bytes:
    """A URL made of visible ASCII; what is escaped already stays."""
    return _UNSAFE_IN_LOCATION.sub(_percent, value)


def splitsHeaders(value: bytes) -> bool:
    """Whether a header value would end its header: it holds CR, LF or NUL."""
    return _SPLITS_HEADERS.search(value) is not None


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
