"""
Static files: which file a path means, and serving it.

A file is served only when its real path, all symbolic links followed, is below the real path of the directory that the
configuration names, compared segment by segment. uWSGI compares strings, so that ``/srv/www`` also serves
``/srv/www-secret``.
"""

import os
from collections.abc import Iterable

from twisted.python.filepath import FilePath
from twisted.web.server import Request
from twisted.web.static import File

from realtime_tw.routing.options import Configuration, StaticMap
from realtime_tw.web.base import answer

#: For names that the system's table of media types does not know.
DEFAULT_TYPE = "application/octet-stream"


class StaticFiles:
    """
    The ``static-map``, ``static-map2`` and ``check-static`` options of a configuration, in that order, which is
    uWSGI's as well except that it keeps the file's order between the kinds.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._maps = configuration.staticMaps
        self._maps2 = configuration.staticMaps2
        self._directories = configuration.checkStatic
        self._index = configuration.staticIndex
        self._skip = configuration.staticSkipExt
        self._safe = tuple(configuration.staticSafe)

    def __bool__(self) -> bool:
        return bool(self._maps or self._maps2 or self._directories)

    def find(self, path: bytes) -> str | None:
        """
        The file for a decoded path.

        :return: the real path of an existing file that may be served, or None.
        """
        text = os.fsdecode(path)
        if "\0" in text or any(text.endswith(ending) for ending in self._skip):
            return None
        for directory in self._directories:
            found = self._below(directory, text)
            if found is not None:
                return found
        for entry in self._maps:
            if covers(entry, text):
                found = self._below(entry.path, text[len(entry.prefix) :])
                if found is not None:
                    return found
        for entry in self._maps2:
            if covers(entry, text):
                found = self._below(entry.path, text)
                if found is not None:
                    return found
        return None

    def _below(self, root: str, rest: str) -> str | None:
        """The file that ``rest`` means below ``root``; when ``root`` is a file, that file."""
        if os.path.isfile(root):
            return os.path.realpath(root)
        found = contained(root, os.path.join(root, rest.lstrip("/")), self._safe)
        if found is not None and os.path.isdir(found):
            candidates = (contained(root, os.path.join(found, name), self._safe) for name in self._index)
            found = next((real for real in candidates if real is not None and os.path.isfile(real)), None)
        return found if found is not None and os.path.isfile(found) else None


def covers(entry: StaticMap, path: str) -> bool:
    """Whether a path is the entry's prefix or below it: ``/s`` covers ``/s`` and ``/s/x`` but not ``/sx``."""
    prefix = entry.prefix
    return path.startswith(prefix) and (prefix.endswith("/") or path[len(prefix) : len(prefix) + 1] in ("", "/"))


def contained(root: str, path: str, alsoSafe: Iterable[str] = ()) -> str | None:
    """The real path, if it is below the real path of ``root`` or of another safe directory."""
    real = os.path.realpath(path)
    if path.endswith("/") and not os.path.isdir(real):
        # "/file/" must not be another name of "/file", which a rule may guard.
        return None
    for directory in (root, *alsoSafe):
        base = os.path.realpath(directory)
        if real == base or real.startswith(base.rstrip("/") + "/"):
            return real
    return None


class StaticFile(File):
    """
    One file: GET and HEAD, with ranges and conditional requests as ``twisted.web.static.File`` does them.

    :param path: its real path.
    :param contentType: instead of what its name says.
    :param status: instead of 200 (``sendfile`` in an error page).
    """

    isLeaf = True
    ignoresBody = True

    def __init__(self, path: str, contentType: bytes | None = None, status: int = 200) -> None:
        super().__init__(path, defaultType=DEFAULT_TYPE)
        if contentType is not None:
            self.type, self.encoding = contentType.decode("latin-1"), None
        self._status = status

    def render(self, request: Request) -> bytes | int:
        if request.method not in (b"GET", b"HEAD"):
            return answer(request, 405, "a file answers GET, HEAD", {b"Allow": b"GET, HEAD"})
        if self._status != 200:
            return self._renderWhole(request)
        answered: bytes | int = self.render_GET(request)
        return answered

    def _renderWhole(self, request: Request) -> bytes:
        """A file in the place of an error's body: neither ranges nor conditions apply."""
        body: bytes = FilePath(self.path).getContent()
        kind = self.type or self.contentTypes.get(os.path.splitext(self.path)[1].lower(), DEFAULT_TYPE)
        request.setResponseCode(self._status)
        request.setHeader(b"Content-Type", kind.encode("latin-1"))
        return body
