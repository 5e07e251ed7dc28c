"""
Actions that answer by themselves, or shape the answer: break, return, redirect, send, headers.

A value that came from the request and holds CR, LF or NUL never gets into a header: the request is answered
400.
"""

import re
from collections.abc import Callable
from http import HTTPStatus

from realtime_tw.errors import ConfigError
from realtime_tw.routing.arguments import BadArgument
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.paths import quoteForLocation, splitsHeaders
from realtime_tw.routing.template import Template
from realtime_tw.routing.text import quoted, toBytes
from realtime_tw.routing.verdicts import Close, Jump, Reply, Verdict

Effect = Callable[[Exchange], Verdict | Jump | None]

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUS = re.compile(r"([2-5][0-9]{2})(?: (.+))?")
_TEXT_PLAIN = (b"Content-Type", b"text/plain")
_BODILESS = (204, 304)


def reasonOf(status: int) -> bytes:
    """The usual reason phrase, or ``Unknown``."""
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b"Unknown"


def plainReply(status: int, body: bytes = b"", close: bool = False) -> Reply:
    """A text/plain response with the usual reason."""
    return Reply(status, reasonOf(status), (_TEXT_PLAIN,), b"" if status in _BODILESS else body, close)


def checkHeaderValue(value: bytes) -> bytes:
    """
    :raises BadArgument: when the value would begin a header of its own.
    """
    if splitsHeaders(value):
        raise BadArgument("a header value would hold a line break or NUL")
    return value


def headerTemplate(text: str) -> Template:
    """A template for a header value: no line break of its own, which ``@(file)`` could bring in."""
    template = Template.parse(text)
    if splitsHeaders(template.constant):
        raise ConfigError("a header value cannot hold a line break")
    return template


def parseStatus(text: str) -> tuple[int, bytes]:
    """``"404"`` or ``"404 Some reason"``."""
    match = _STATUS.fullmatch(text)
    if match is None or splitsHeaders(toBytes(text)):
        raise ConfigError(f"{quoted(text)} is not a status (write 404, or 404 and a reason)")
    status = int(match[1])
    return status, toBytes(match[2]) if match[2] else reasonOf(status)


def breakOff(text: str) -> Effect:
    """``break:`` ends the connection without a reply, ``break:404`` with a status and nothing else."""
    if not text:
        return lambda exchange: Close()
    status, reason = parseStatus(text)
    reply = Reply(status, reason, (_TEXT_PLAIN,), close=True)
    return lambda exchange: reply


def returnStatus(text: str) -> Effect:
    """``return:404``: a status, and its reason as the body."""
    status, reason = parseStatus(text)
    reply = Reply(status, reason, (_TEXT_PLAIN,), b"" if status in _BODILESS else reason, close=True)
    return lambda exchange: reply


def redirect(status: int, body: bytes) -> Callable[[str], Effect]:
    """``redirect:`` and its kin."""

    def build(text: str) -> Effect:
        if not text:
            raise ConfigError("a redirect needs a URL")
        template = headerTemplate(text)

        def effect(exchange: Exchange) -> Verdict:
            location = quoteForLocation(checkHeaderValue(template.render(exchange)))
            return Reply(status, reasonOf(status), (_TEXT_PLAIN, (b"Location", location)), body)

        return effect

    return build


def send(ending: bytes) -> Callable[[str], Effect]:
    """``send:`` and ``send-crnl:``: a piece of the body."""

    def build(text: str) -> Effect:
        template = Template.parse(text)
        return lambda exchange: exchange.sent.append(template.render(exchange) + ending)

    return build


def headerName(text: str) -> bytes:
    """
    :raises ConfigError: for anything that is not the name of a header, a variable included.
    """
    name = toBytes(text)
    if _TOKEN.fullmatch(name) is None or "${" in text or re.search(r"\$[0-9]", text):
        raise ConfigError(f"{quoted(text)} is not the name of a header")
    return name


def addHeader(text: str) -> Effect:
    """``addheader:Name: value``."""
    rawName, colon, rawValue = text.partition(":")
    if not colon:
        raise ConfigError("a header is written Name: value")
    name = headerName(rawName)
    template = headerTemplate(rawValue.strip(" \t"))
    return lambda exchange: exchange.addedHeaders.append((name, checkHeaderValue(template.render(exchange))))


def removeHeader(text: str) -> Effect:
    """``remheader:Name``."""
    name = headerName(text).lower()
    return lambda exchange: exchange.removedHeaders.add(name)


def clearHeaders(text: str) -> Effect:
    """``clearheaders:200 OK``."""
    status = parseStatus(text)

    def effect(exchange: Exchange) -> None:
        exchange.clearedStatus = status

    return effect


def disableHeaders(text: str) -> Effect:
    """``disableheaders:``."""

    def effect(exchange: Exchange) -> None:
        exchange.headersDisabled = True

    return effect


def withSent(exchange: Exchange, verdict: Reply | Close) -> Reply | Close:
    """
    A verdict together with the pieces that ``send:`` left.

    The pieces go first, and the status of ``clearheaders:`` with them, since that is what would be on the
    wire by then; a ``break:`` that follows them ends a response, not a silence.
    """
    if not exchange.sent and exchange.clearedStatus is None:
        return verdict
    sent = b"".join(exchange.sent)
    if isinstance(verdict, Close):
        status, reason = exchange.clearedStatus or (200, reasonOf(200))
        return Reply(status, reason, (), sent, close=True)
    status, reason = exchange.clearedStatus or (verdict.status, verdict.reason)
    return Reply(status, reason, verdict.headers, sent + verdict.body, verdict.close)
