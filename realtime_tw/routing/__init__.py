"""
The routing file: which request is handed to which action.

:func:`loadConfiguration` reads a file and checks all of it; its :class:`Table` decides about requests, given as
:class:`Exchange`. Nothing here knows about Twisted: no reactor, no sockets.
"""

from realtime_tw.routing.arguments import ActionSpec, Arguments, BadArgument, Key, Kind, parseArguments
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.ini import IniFile, Notice, Option, loadIni
from realtime_tw.routing.options import (
    Configuration,
    Listener,
    StaticMap,
    buildConfiguration,
    loadConfiguration,
)
from realtime_tw.routing.rules import Rule, parseRules
from realtime_tw.routing.settings import Settings
from realtime_tw.routing.table import Table
from realtime_tw.routing.template import Template
from realtime_tw.routing.values import Address
from realtime_tw.routing.variables import Surroundings, Variables, requestVariables
from realtime_tw.routing.verdicts import Close, Continue, Handle, Reply, ServeFile, Verdict

__all__ = [
    "ActionSpec",
    "Address",
    "Arguments",
    "BadArgument",
    "Close",
    "Configuration",
    "Continue",
    "Exchange",
    "Handle",
    "IniFile",
    "Key",
    "Kind",
    "Listener",
    "Notice",
    "Option",
    "Reply",
    "Rule",
    "ServeFile",
    "Settings",
    "StaticMap",
    "Surroundings",
    "Table",
    "Template",
    "Variables",
    "Verdict",
    "buildConfiguration",
    "loadConfiguration",
    "loadIni",
    "parseArguments",
    "parseRules",
    "requestVariables",
]
