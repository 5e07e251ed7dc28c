"""
From the options of a routing file to everything a service needs to know.

``[realtime]`` is strict: an option nobody knows is an error. ``[uwsgi]`` is compatible: what means nothing
here is accepted with a notice, unless the file says ``strict = true``. An option that some ``%(name)``
refers to is known.

Relative paths are resolved against the working directory, as uWSGI does, or against ``chdir``.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from realtime_tw.brokerurl import parseBrokerURL
from realtime_tw.errors import ConfigError
from realtime_tw.routing.arguments import ActionSpec
from realtime_tw.routing.compat import NOTICED, PROCESS_MODEL, SILENT
from realtime_tw.routing.ini import IniFile, Notice, Option, loadIni
from realtime_tw.routing.rules import RULE_OPTIONS, isRuleOption, parseRules
from realtime_tw.routing.settings import SETTINGS, Settings
from realtime_tw.routing.table import Table
from realtime_tw.routing.text import didYouMean, quoted
from realtime_tw.routing.values import Address, booleanValue, parseAddress

DEFAULT_UWSGI_BROKER = "redis://127.0.0.1:6379"
_BROKERS = ("memory:", "redis://", "rediss://", "redis+unix://")
_OUR_PLUGINS = ("realtime", "http", "router_")


@dataclass(frozen=True, slots=True)
class Listener:
    """
    Where to accept clients.

    :ivar certificate: PEM files for TLS, or empty.
    """

    address: Address
    certificate: str
    privateKey: str
    option: str
    file: str
    line: int

    @property
    def isSecure(self) -> bool:
        return bool(self.certificate)


@dataclass(frozen=True, slots=True)
class StaticMap:
    """
    ``/prefix=path``.

    :ivar prefix: what PATH_INFO begins with.
    :ivar path: a file, or a directory; absolute.
    """

    prefix: str
    path: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Configuration:
    """
    A whole routing file, checked.

    :ivar staticMaps: prefix is cut off before the rest is looked up; ``staticMaps2``: it is kept.
    :ivar checkStatic: directories tried with the whole PATH_INFO; absolute.
    :ivar staticSafe: directories that symbolic links may lead to; absolute.
    :ivar daemons: shell command lines of ``attach-daemon``, to be kept running.
    :ivar mules: Python scripts of ``mule``, to be kept running; absolute.
    :ivar broker: None when the file names none and its dialect has no default.
    """

    file: str
    section: str
    table: Table
    listeners: tuple[Listener, ...]
    staticMaps: tuple[StaticMap, ...]
    staticMaps2: tuple[StaticMap, ...]
    checkStatic: tuple[str, ...]
    staticIndex: tuple[str, ...]
    staticSkipExt: tuple[str, ...]
    staticSafe: tuple[str, ...]
    daemons: tuple[str, ...]
    mules: tuple[str, ...]
    broker: str | None
    settings: Settings
    notices: tuple[Notice, ...]


def loadConfiguration(
    path: str,
    environ: Mapping[str, str],
    actions: Mapping[str, ActionSpec],
    *,
    cwd: str | None = None,
    hostname: str | None = None,
    version: str = "",
) -> Configuration:
    """
    Read and check a routing file.

    :param actions: the realtime actions there are, by name.
    :raises ConfigError: with file and line where there is one.
    """
    ini = loadIni(path, environ, cwd=cwd, hostname=hostname, version=version)
    return buildConfiguration(ini, actions, cwd=cwd)


def buildConfiguration(ini: IniFile, actions: Mapping[str, ActionSpec], *, cwd: str | None = None) -> Configuration:
    """
    Check a file that was read.

    :raises ConfigError: see :func:`loadConfiguration`.
    """
    rules, ruleNotices = parseRules(ini.options, actions)
    collector = _Collector(ini, os.getcwd() if cwd is None else cwd)
    for option in ini.options:
        if not isRuleOption(option.key):
            try:
                collector.take(option)
            except ConfigError as error:
                located = error.located(option.file, option.line)
                raise ConfigError(f"{option.key}: {located.message}", located.file, located.line) from error
    notices = (*ini.notices, *ruleNotices, *collector.finish())
    return Configuration(
        file=ini.path,
        section=ini.section,
        table=Table(rules),
        listeners=tuple(collector.listeners),
        staticMaps=tuple(collector.maps["static-map"]),
        staticMaps2=tuple(collector.maps["static-map2"]),
        checkStatic=tuple(collector.texts["check-static"]),
        staticIndex=tuple(collector.texts["static-index"]),
        staticSkipExt=tuple(collector.texts["static-skip-ext"]),
        staticSafe=tuple(collector.texts["static-safe"]),
        daemons=tuple(collector.texts["attach-daemon"]),
        mules=tuple(collector.texts["mule"]),
        broker=collector.broker,
        settings=Settings(**collector.settings),
        notices=tuple(
            sorted(notices, key=lambda notice: (notice.file != ini.path, notice.file or "", notice.line or 0))
        ),
    )


class _Collector:
    """Takes options one by one and knows, by name, what each of them means."""

    def __init__(self, ini: IniFile, cwd: str) -> None:
        self._ini = ini
        self._isNative = ini.section == "realtime"
        self.listeners: list[Listener] = []
        self.maps: dict[str, list[StaticMap]] = {"static-map": [], "static-map2": []}
        names = ("check-static", "static-index", "static-skip-ext", "static-safe", "attach-daemon", "mule")
        self.texts: dict[str, list[str]] = {name: [] for name in names}
        self.broker = None if self._isNative else DEFAULT_UWSGI_BROKER
        self.settings: dict[str, Any] = {}
        self._notices: list[Notice] = []
        self._processModel: list[Option] = []
        scalars = {option.key: option.value for option in ini.options}
        self._isStrict = self._isNative or booleanValue(scalars.get("strict", "no"))
        self._base = os.path.join(cwd, scalars.get("chdir", ""))
        self._handlers: dict[str, Callable[[Option], None]] = {
            **dict.fromkeys(("http-socket", "http11-socket", "http"), self._listen),
            **dict.fromkeys(("https", "https-socket"), self._listenSecurely),
            **dict.fromkeys(self.maps, self._map),
            **dict.fromkeys(("check-static", "static-safe"), self._directory),
            **dict.fromkeys(("static-index", "static-skip-ext"), self._text),
            **dict.fromkeys(("attach-daemon",), self._daemon),
            "mule": self._mule,
            "broker": self._broker,
            **dict.fromkeys(("plugin", "plugins"), self._plugin),
            **dict.fromkeys(("strict", "chdir"), self._nothing),
            **dict.fromkeys(SETTINGS, self._setting),
        }

    def take(self, option: Option) -> None:
        """
        :raises ConfigError: for a value that cannot be used, and for an option that is unknown and must not be.
        """
        handler = self._handlers.get(option.key)
        if handler is not None:
            handler(option)
        elif option.key in self._ini.placeholders or (not self._isNative and option.key in SILENT):
            pass
        elif not self._isNative and option.key in PROCESS_MODEL:
            self._processModel.append(option)
        elif not self._isNative and option.key in NOTICED:
            self._notice(f"{option.key} is ignored: {NOTICED[option.key]}", option)
        else:
            self._unknown(option)

    def finish(self) -> list[Notice]:
        """The notices, once every option was taken."""
        if self._processModel:
            names = ", ".join(dict.fromkeys(option.key for option in self._processModel))
            self._notice(f"ignored, since twistd decides about processes and logs: {names}", self._processModel[0])
        return self._notices

    def _notice(self, message: str, option: Option) -> None:
        self._notices.append(Notice(message, option.file, option.line))

    def _unknown(self, option: Option) -> None:
        known = {*self._handlers, *RULE_OPTIONS}
        if not self._isNative:
            known |= SILENT | PROCESS_MODEL | NOTICED.keys()
        hint = didYouMean(option.key, known)
        if not self._isStrict:
            self._notice(f"option {quoted(option.key)} means nothing here{hint}", option)
            return
        if self._isNative and option.key in SILENT | PROCESS_MODEL | NOTICED.keys():
            hint = " (it belongs to [uwsgi] files)"
        raise ConfigError(f"unknown option{hint}")

    def _path(self, value: str) -> str:
        if not value or "\0" in value:
            raise ConfigError("a path is needed")
        return os.path.join(self._base, value)

    def _nothing(self, option: Option) -> None:
        """Was read before the others."""

    def _listen(self, option: Option) -> None:
        self._addListener(option, parseAddress(option.value), "", "")
        if option.key == "http":
            self._notice("http: there is no router process, the server itself listens here", option)

    def _listenSecurely(self, option: Option) -> None:
        parts = option.value.split(",")
        if len(parts) != 3:
            raise ConfigError("write address,certificate.pem,key.pem (ciphers and client certificates: use --listen)")
        files = [self._path(part) for part in parts[1:]]
        for path in files:
            if not os.path.isfile(path):
                raise ConfigError(f"there is no file {quoted(path)}")
        self._addListener(option, parseAddress(parts[0]), *files)

    def _addListener(self, option: Option, address: Address, certificate: str, privateKey: str) -> None:
        if address.path:
            address = Address("", 0, self._path(address.path))
        self.listeners.append(Listener(address, certificate, privateKey, option.key, option.file, option.line))

    def _map(self, option: Option) -> None:
        prefix, equals, path = option.value.partition("=")
        if not equals or not path:
            raise ConfigError("write /prefix=path")
        if not prefix.startswith("/"):
            raise ConfigError(f"the prefix {quoted(prefix)} must begin with a slash: no path of a request would match")
        resolved = self._path(path)
        if not os.path.exists(resolved):
            self._notice(f"{option.key}: there is no {quoted(path)} yet (looked up in {self._base})", option)
        self.maps[option.key].append(StaticMap(prefix, resolved, option.file, option.line))

    def _directory(self, option: Option) -> None:
        resolved = self._path(option.value)
        if not os.path.isdir(resolved):
            shown = f"{quoted(option.value)} yet (looked up in {self._base})"
            self._notice(f"{option.key}: there is no directory {shown}", option)
        self.texts[option.key].append(resolved)

    def _text(self, option: Option) -> None:
        if not option.value or "/" in option.value or "\0" in option.value:
            raise ConfigError(f"{quoted(option.value)} is not the name of a file or its ending")
        self.texts[option.key].append(option.value)

    def _daemon(self, option: Option) -> None:
        if not option.value:
            raise ConfigError("a command line is needed")
        self.texts["attach-daemon"].append(option.value)

    def _mule(self, option: Option) -> None:
        path = self._path(option.value)
        if not os.path.isfile(path):
            raise ConfigError(f"there is no file {quoted(option.value)} (looked up in {self._base})")
        self.texts["mule"].append(path)

    def _broker(self, option: Option) -> None:
        if not option.value.startswith(_BROKERS):
            raise ConfigError(f"{quoted(option.value)} is no broker (write memory: or redis://host:port)")
        parseBrokerURL(option.value)
        self.broker = option.value

    def _plugin(self, option: Option) -> None:
        for name in filter(None, (part.strip() for part in option.value.split(","))):
            if not name.startswith(_OUR_PLUGINS):
                self._notice(f"plugin {quoted(name)} is not loaded: there are no uWSGI plugins here", option)

    def _setting(self, option: Option) -> None:
        setting = SETTINGS[option.key]
        self.settings[setting.attribute] = setting.parse(option.value)
