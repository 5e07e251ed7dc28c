"""
Actions that change the request for the rules after them: rewrite, addvar and the set family.

A path made by a rule is normalised like one that was received, so that no value can smuggle ``..`` into it,
and a NUL is refused. ``rewrite:`` decodes the escapes of its own text only: what comes from a request was
decoded before, and a second time would make ``%252e`` a dot.
"""

from collections.abc import Callable

from realtime_tw.errors import ConfigError
from realtime_tw.routing.arguments import BadArgument
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.paths import normalisePath, quoteForQuery, unquote
from realtime_tw.routing.replies import Effect
from realtime_tw.routing.template import Literal, Template, Token, VariableRef
from realtime_tw.routing.text import toBytes
from realtime_tw.routing.verdicts import Continue, Verdict

_QUERY_STRING = VariableRef((Literal(b"QUERY_STRING"),))


def cleanPath(path: bytes) -> bytes:
    """
    :raises BadArgument: for NUL.
    """
    if b"\0" in path:
        raise BadArgument("NUL in a path made by a rule")
    return normalisePath(path)


def setVariable(name: str, clean: Callable[[bytes], bytes] = bytes) -> Callable[[str], Effect]:
    """``setmethod:`` and its kin: one variable, and no other."""

    def build(text: str) -> Effect:
        template = Template.parse(text)

        def effect(exchange: Exchange) -> None:
            exchange.variables[name] = clean(template.render(exchange))

        return effect

    return build


def _named(text: str, action: str) -> tuple[str, Template]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"{action} is written {action}:NAME=value")
    toBytes(name)
    return name, Template.parse(value)


def addVariable(text: str) -> Effect:
    """``addvar:NAME=value``: the name is taken as it stands."""
    name, template = _named(text, "addvar")

    def effect(exchange: Exchange) -> None:
        exchange.variables[name] = template.render(exchange)

    return effect


def logVariable(text: str) -> Effect:
    """``logvar:name=value``."""
    name, template = _named(text, "logvar")
    key = toBytes(name)

    def effect(exchange: Exchange) -> None:
        exchange.logVariables[key] = template.render(exchange)

    return effect


def rewrite(text: str) -> Effect:
    """``rewrite:/path?query``: a new PATH_INFO, the new query in front of the old one; REQUEST_URI stays."""
    path, query = _splitRewrite(Template.parse(text))

    def effect(exchange: Exchange) -> Verdict | None:
        newQuery = _renderQuery(query, exchange)
        exchange.variables["PATH_INFO"] = cleanPath(path.render(exchange))
        if newQuery:
            old = exchange.variables["QUERY_STRING"]
            exchange.variables["QUERY_STRING"] = newQuery + b"&" + old if old else newQuery
        return None

    return effect


def rewriteLast(text: str) -> Effect:
    """``rewrite-last:``: as :func:`rewrite`, and no further rule."""
    change = rewrite(text)

    def effect(exchange: Exchange) -> Verdict | None:
        change(exchange)
        return Continue()

    return effect


def _splitRewrite(template: Template) -> tuple[Template, Template]:
    """Path and query, split at the first ``?`` of the file's own text."""
    path: list[Token] = []
    query: list[Token] = []
    target = path
    for token in template.tokens:
        if isinstance(token, Literal) and target is path:
            before, mark, after = token.data.partition(b"?")
            path.append(Literal(unquote(before)))
            if mark:
                target = query
                query.append(Literal(after))
        else:
            target.append(token)
    if not path or path == [Literal(b"")]:
        raise ConfigError("rewrite needs a path")
    return Template.of(path), Template.of(query)


def _renderQuery(query: Template, exchange: Exchange) -> bytes:
    """
    The query, in which a value among others cannot add a name of its own.

    A query that is one reference (``?$1``) or holds ``${QUERY_STRING}`` takes a whole query from it.
    """
    whole = len(query.tokens) == 1
    parts = []
    for token in query.tokens:
        value = token.render(exchange)
        if not isinstance(token, Literal):
            value = quoteForQuery(value)
            if not whole and token != _QUERY_STRING:
                value = value.replace(b"&", b"%26")
        parts.append(value)
    return b"".join(parts)
