"""
The actions that a routing file has besides the realtime ones, by name.

An action is built from its argument once, at load, where everything that can be wrong is found; what it
does to a request is its *effect*: a function of the exchange that returns a verdict, or None for "next
rule".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from realtime_tw.errors import ConfigError
from realtime_tw.routing.basicauth import basicAuth, basicAuthNext, describeSource
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.files import sendFile, static, staticNext
from realtime_tw.routing.replies import (
    Effect,
    addHeader,
    breakOff,
    clearHeaders,
    disableHeaders,
    redirect,
    removeHeader,
    returnStatus,
    send,
)
from realtime_tw.routing.rewriting import (
    addVariable,
    cleanPath,
    logVariable,
    rewrite,
    rewriteLast,
    setVariable,
)
from realtime_tw.routing.template import Template
from realtime_tw.routing.verdicts import Continue, Jump

Builder = Callable[[str], Effect]


@dataclass(frozen=True, slots=True)
class Verb:
    """
    One action with its argument.

    :ivar shown: the argument as people may see it: without passwords.
    :ivar notice: what its author should know, or None.
    :ivar target: of a jump, else None.
    """

    name: str
    shown: str
    effect: Effect
    notice: str | None = None
    target: Template | None = None


def _log(text: str) -> Effect:
    template = Template.parse(text)
    return lambda exchange: exchange.log(template.render(exchange))


def _doNotLog(text: str) -> Effect:
    def effect(exchange: Exchange) -> None:
        exchange.isLogged = False

    return effect


def _nothing(text: str) -> Effect:
    return lambda exchange: None


def _continue(text: str) -> Effect:
    return lambda exchange: Continue()


def _goto(text: str) -> Effect:
    template = Template.parse(text)
    return lambda exchange: Jump(template.render(exchange))


_FOUND = redirect(302, b"Moved")
_MOVED = redirect(301, b"Moved Permanently")

BUILDERS: Mapping[str, Builder] = {
    "log": _log,
    "donotlog": _doNotLog,
    "logvar": logVariable,
    "donotoffload": _nothing,
    "goto": _goto,
    "last": _continue,
    "continue": _continue,
    "break": breakOff,
    "return": returnStatus,
    "break-with-status": returnStatus,
    "addheader": addHeader,
    "remheader": removeHeader,
    "delheader": removeHeader,
    "clearheaders": clearHeaders,
    "resetheaders": clearHeaders,
    "disableheaders": disableHeaders,
    "addvar": addVariable,
    "setmethod": setVariable("REQUEST_METHOD"),
    "setpathinfo": setVariable("PATH_INFO", cleanPath),
    "seturi": setVariable("REQUEST_URI"),
    "setuser": setVariable("REMOTE_USER"),
    "setscriptname": setVariable("SCRIPT_NAME"),
    "setscheme": setVariable("REQUEST_SCHEME"),
    "setremoteaddr": setVariable("REMOTE_ADDR"),
    "setdocroot": setVariable("DOCUMENT_ROOT"),
    "rewrite": rewrite,
    "rewrite-last": rewriteLast,
    "redirect": _FOUND,
    "redirect-302": _FOUND,
    "redirect-permanent": _MOVED,
    "redirect-301": _MOVED,
    "send": send(b""),
    "send-crnl": send(b"\r\n"),
    "basicauth": basicAuth,
    "basicauth-next": basicAuthNext,
    "static": static,
    "static-next": staticNext,
    "file": sendFile("file", "text/html"),
    "sendfile": sendFile("sendfile", None),
    "fastfile": sendFile("fastfile", None),
}

# Accepted, so that files load, but there is nothing here for them to act on.
IDLE: Mapping[str, str] = {
    "signal": "there are no uWSGI signals",
    "harakiri": "no worker can be killed: set header-timeout or idle-timeout",
    "setmodifier1": "no plugin is chosen by number",
    "setmodifier2": "no plugin is chosen by number",
    "setprocname": "one process serves every request",
    "flush": "everything is written as soon as it can be",
    "setapp": "no application runs here",
}

_FORWARDING = "requests are not forwarded"
_CACHE = "there is no cache"
_PROGRAMS = "no programs are run for a request"
_AUTHENTICATION = "use basicauth"
_APPLICATION = "no application runs here"

# What uWSGI has and we refuse by name; a star stands for any ending.
_REFUSED: Mapping[str, str] = {
    "cgi*": _PROGRAMS,
    "rpc*": "there is no uWSGI RPC",
    "cache*": _CACHE,
    "redis*": _CACHE,
    "memcached*": _CACHE,
    "http": _FORWARDING,
    "httpdumb": _FORWARDING,
    "httpconnect": _FORWARDING,
    "proxyhttp": _FORWARDING,
    "proxyuwsgi": _FORWARDING,
    "uwsgi": _FORWARDING,
    "fcgi*": _FORWARDING,
    "hash": _FORWARDING,
    "ldapauth*": _AUTHENTICATION,
    "radius*": _AUTHENTICATION,
    "spnego*": _AUTHENTICATION,
    "sethome": _APPLICATION,
    "setfile": _APPLICATION,
    "alarm": "there are no uWSGI alarms",
    "metric*": "there are no uWSGI metrics",
    "chdir": "the working directory belongs to the whole server",
}


def refusal(name: str) -> str | None:
    """Why an action of uWSGI's is not there, or None for a name that is nobody's."""
    for pattern, reason in _REFUSED.items():
        if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])):
            return reason
    return None


def buildVerb(name: str, text: str) -> Verb | None:
    """
    The action of that name, or None if there is none.

    :raises ConfigError: for an argument that cannot work.
    """
    if name in IDLE:
        return Verb(name, text, _nothing(text), f"{name} does nothing here: {IDLE[name]}")
    builder = BUILDERS.get(name)
    if builder is None:
        return None
    try:
        effect = builder(text)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error.message}", error.file, error.line) from error
    shown = describeSource(text) if name.startswith("basicauth") else text
    return Verb(name, shown, effect, target=Template.parse(text) if name == "goto" else None)
