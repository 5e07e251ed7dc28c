"""
The routing file's ini dialect: lines, sections, includes, and the options they add up to.

It is uWSGI's dialect (reference/routing.md, section 1), for ``[uwsgi]`` and ``[realtime]`` alike: no
quoting, no continuation, no inline comments, the first ``=`` separates, options repeat and keep their
order.

Narrowed: logic blocks (``for``, ``if-env`` ...) are refused. Wider: a byte order mark is accepted, includes
may use placeholders defined above them, a section that is missing is an error, and what uWSGI drops without
a word is a notice.

Limits: 4 MiB a file, 32 includes deep, 256 files in all.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from realtime_tw.errors import ConfigError
from realtime_tw.routing.expand import Expander, Magic, readText
from realtime_tw.routing.text import quoted

MAX_FILE = 4 * 1024 * 1024
MAX_DEPTH = 32
MAX_FILES = 256

_BLANKS = " \t\r"
_INCLUDES = ("ini", "include", "inherit")
_PLACEHOLDER_SETTERS = ("set-placeholder", "set-ph")
_LOGIC = frozenset({"for", "foreach", "endfor", "end-for", "else", "endif", "end-if"})


@dataclass(frozen=True, slots=True)
class Option:
    """One ``key = value`` line, expanded."""

    key: str
    value: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that loads, but that its author should know: it probably does not do what was meant."""

    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        return str(ConfigError(self.message, self.file, self.line))


@dataclass(frozen=True, slots=True)
class IniFile:
    """
    A loaded file.

    :ivar path: the file as given.
    :ivar section: the dialect: ``"realtime"`` or ``"uwsgi"``.
    :ivar options: every option in order, included files spliced in place.
    :ivar notices: see :class:`Notice`.
    :ivar placeholders: the names that some ``%(name)`` refers to; such an option is in use, known or not.
    """

    path: str
    section: str
    options: tuple[Option, ...]
    notices: tuple[Notice, ...]
    placeholders: frozenset[str]


def loadIni(
    path: str,
    environ: Mapping[str, str],
    *,
    cwd: str | None = None,
    hostname: str | None = None,
    version: str = "",
) -> IniFile:
    """
    Read a routing file and all it includes.

    :param path: the file, or ``file:section`` to choose a section by name.
    :param environ: what ``$(NAME)`` refers to.
    :param cwd: what relative paths and ``%v`` refer to; the process's own by default.
    :param hostname: ``%h``; the machine's by default.
    :param version: ``%V``.
    :raises ConfigError: with file and line where there is one.
    """
    loader = _Loader(
        environ, os.getcwd() if cwd is None else cwd, os.uname().nodename if hostname is None else hostname, version
    )
    return loader.load(path)


class _Loader:
    """Collects the options of one file and of those it includes, then expands them all at once."""

    def __init__(self, environ: Mapping[str, str], cwd: str, hostname: str, version: str) -> None:
        self._environ = environ
        self._cwd = cwd
        self._hostname = hostname
        self._version = version
        self._options: list[Option] = []
        self._definitions: list[tuple[str, str]] = []
        self._notices: list[Notice] = []
        self._placeholders: set[str] = set()
        self._loading: list[tuple[str, str]] = []
        self._firstFile = ""
        self._lastFile = ""
        self._defaultSection = "uwsgi"
        self._filesRead = 0

    def load(self, path: str) -> IniFile:
        file, section = path, ""
        if not os.path.exists(os.path.join(self._cwd, path)) and ":" in os.path.basename(path):
            file, _, section = path.rpartition(":")
        self._firstFile = file
        try:
            text = self._read(file)
        except ConfigError as error:
            raise error.located(file, None) from error
        if not section:
            section = _chooseSection(file, text)
        if section == "realtime":
            self._defaultSection = section
        self._readSection(file, section, text)
        return IniFile(
            path, self._defaultSection, self._expanded(), tuple(self._notices), frozenset(self._placeholders)
        )

    def _read(self, file: str) -> str:
        self._filesRead += 1
        if self._filesRead > MAX_FILES:
            raise ConfigError(f"more than {MAX_FILES} files are included")
        try:
            return readText(os.path.join(self._cwd, file), MAX_FILE)
        except ConfigError as error:
            if error.line is None:
                raise  # not read at all: the line that names the file is the place to look at
            raise ConfigError(error.message, file, error.line) from error

    def _readSection(self, file: str, section: str, text: str) -> None:
        """Add what ``[section]`` of ``file`` holds."""
        entry = (os.path.realpath(os.path.join(self._cwd, file)), section)
        if entry in self._loading:
            raise ConfigError(f"{quoted(file)} includes itself")
        if len(self._loading) >= MAX_DEPTH:
            raise ConfigError(f"files include each other more than {MAX_DEPTH} deep")
        self._loading.append(entry)
        self._lastFile = file
        magic = Magic.forFile(file, self._firstFile, section, self._cwd, self._hostname, self._version)
        found = False
        inSection = False
        for number, raw in enumerate(text.split("\n"), 1):
            # Only lines that count are expanded, so that a comment or a foreign section can hold anything.
            stripped = raw.strip(_BLANKS)
            if not stripped or stripped[0] in ";#":
                continue
            if stripped[0] == "[":
                inSection = stripped[1:-1] == section
                found = found or inSection
                if not inSection and stripped.strip("[] \t") == section:
                    self._notice(f"{quoted(stripped)} is not [{section}]: this section is not read", file, number)
                continue
            if inSection:
                try:
                    self._readLine(raw, magic, file, number)
                except ConfigError as error:
                    raise error.located(file, number) from error
        if not found:
            raise ConfigError(f"the file has no section [{section}]", file)
        self._loading.pop()

    def _readLine(self, raw: str, magic: Magic, file: str, number: int) -> None:
        line, vanished = magic.expand(raw)
        key, _, value = line.strip(_BLANKS).partition("=")
        key, value = key.rstrip(_BLANKS), value.strip(_BLANKS)
        for piece in vanished:
            self._notice(f"{quoted(piece)} vanishes from the value (write %{piece})", file, number)
        if raw.rstrip(_BLANKS).endswith("%") and not raw.rstrip(_BLANKS).endswith("%%"):
            self._notice("a percent sign at the end of a line is kept here, uWSGI joins the lines", file, number)
        if " ; " in value or " # " in value:
            self._notice("a comment needs a line of its own: this one is part of the value", file, number)
        if key in _LOGIC or key.startswith(("for-", "if-")):
            raise ConfigError(f"logic blocks ({key}) are not supported")
        if key in _INCLUDES:
            self._include(self._expandNow(value))
        elif key in _PLACEHOLDER_SETTERS:
            name, separator, content = value.partition("=")
            if not separator:
                raise ConfigError(f"{key} needs name=value")
            self._definitions.append((name, content))
        else:
            self._definitions.append((key, value))
            self._options.append(Option(key, value, file, number))

    def _expandNow(self, value: str) -> str:
        expander = Expander(self._definitions, self._environ, self._cwd)
        result = expander.expand(value)
        self._placeholders |= expander.used
        return result

    def _include(self, value: str) -> None:
        if "://" in value:
            raise ConfigError(f"{quoted(value)}: only plain files can be included")
        file, section = value, self._defaultSection
        if value.startswith(":"):
            file, section = self._lastFile, value[1:]
        elif ":" in value and not os.path.exists(os.path.join(self._cwd, value)):
            file, _, section = value.rpartition(":")
        if not file or not section:
            raise ConfigError(f"{quoted(value)} names no file to include")
        self._readSection(file, section, self._read(file))

    def _expanded(self) -> tuple[Option, ...]:
        expander = Expander(self._definitions, self._environ, self._cwd)
        result = []
        for option in self._options:
            try:
                value = expander.expand(option.value)
            except ConfigError as error:
                raise ConfigError(error.message, option.file, option.line) from error
            for text in dict.fromkeys(expander.unknown):
                self._notice(f"{text} names no option: it is left as it is", option.file, option.line)
            expander.unknown.clear()
            result.append(Option(option.key, value, option.file, option.line))
        self._placeholders |= expander.used
        return tuple(result)

    def _notice(self, message: str, file: str, line: int) -> None:
        self._notices.append(Notice(message, file, line))


def _chooseSection(file: str, text: str) -> str:
    """The section to read when none was named."""
    lines = [line.strip(_BLANKS) for line in text.split("\n")]
    names = {line[1:-1] for line in lines if line.startswith("[")}
    if "realtime" in names and "uwsgi" in names:
        raise ConfigError(
            f"the file has both [realtime] and [uwsgi]: choose one with {file}:realtime or {file}:uwsgi", file
        )
    for name in ("realtime", "uwsgi"):
        if name in names:
            return name
    near = next((number for number, line in enumerate(lines, 1) if line and line[0] not in ";#"), None)
    raise ConfigError("the file has no section [realtime] or [uwsgi]", file, near)
