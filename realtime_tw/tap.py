"""The command line: ``twistd realtime``."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from twisted.application.service import IService
from twisted.copyright import version as twistedVersion
from twisted.python import usage

from realtime_tw import __version__
from realtime_tw.brokerurl import parseBrokerURL
from realtime_tw.errors import ConfigError


class Options(usage.Options):
    """What ``twistd realtime`` takes. Everything is checked here, before a reactor runs."""

    synopsis = "[--routes FILE] [--listen ENDPOINT]... [--broker URL] [--check] [--demo]"

    optParameters = [
        ["routes", "r", None, "The routing file: which request is handed to which action."],
        [
            "broker",
            "b",
            None,
            "Where channels are: memory:, redis://[user:password@]host:port[/db], rediss://... or "
            "redis+unix:///path. Wins over the file's.",
        ],
    ]

    optFlags = [
        ["check", None, "Check the routing file, print its table, and exit with status 0 or 1."],
        ["demo", None, "Serve a page that shows everything in a browser."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, description: str) -> None:
        """Where to listen, as a Twisted endpoint; may be repeated. [default: tcp:9090:interface=127.0.0.1]"""
        self["listen"].append(description)

    opt_l = opt_listen

    def opt_version(self) -> NoReturn:
        """Print the versions, and exit."""
        print(f"realtime_tw {__version__} (Twisted {twistedVersion}, Python {sys.version.split()[0]})")
        raise SystemExit(0)

    def postOptions(self) -> None:
        from realtime_tw.routing.actions import ACTIONS
        from realtime_tw.routing.options import loadConfiguration

        self["configuration"] = None
        if self["routes"] is None and not self["demo"]:
            raise usage.UsageError("nothing to serve: give --routes FILE, or --demo")
        if self["check"] and self["routes"] is None:
            raise usage.UsageError("--check needs --routes FILE")
        try:
            if self["broker"] is not None:
                parseBrokerURL(self["broker"])
            if self["routes"] is not None:
                specs = {name: action.spec for name, action in ACTIONS.items()}
                self["configuration"] = loadConfiguration(self["routes"], os.environ, specs, version=__version__)
        except ConfigError as error:
            fail(error)
        if self["check"]:
            # What it does not take only shows when it is made: an endpoint, a file of certificates.
            makeService(self)
            self._printTable(print)
            raise SystemExit(0)

    def _printTable(self, show: Callable[[str], None]) -> None:
        from realtime_tw.service import Plan

        configuration = self["configuration"]
        plan = Plan(configuration, self["listen"], self["broker"], self["demo"])
        for line in configuration.table.describe():
            show(line)
        for entry in (*configuration.staticMaps, *configuration.staticMaps2):
            show(f"static {entry.prefix} -> {entry.path}")
        for directory in configuration.checkStatic:
            show(f"static / -> {directory}")
        for endpoint in plan.endpoints:
            show(f"listen {endpoint}")
        show(f"broker {parseBrokerURL(plan.brokerURL)}")
        for notice in configuration.notices:
            show(f"{notice.file}:{notice.line}: notice: {notice.message}")


def fail(error: ConfigError) -> NoReturn:
    """Say what is wrong with the configuration, and exit with status 1."""
    print(error, file=sys.stderr)
    raise SystemExit(1)


def makeService(options: Options) -> IService:
    """For twistd."""
    from twisted.internet import reactor

    from realtime_tw.service import Plan, RealtimeService

    plan = Plan(options["configuration"], options["listen"], options["broker"], options["demo"])
    try:
        return RealtimeService(plan, reactor)
    except ConfigError as error:
        fail(error)
