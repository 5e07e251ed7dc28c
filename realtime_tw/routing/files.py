"""
Actions that send a file: static, static-next, file, sendfile, fastfile.

The rule itself must name the directory: what a request puts into the path stays below it, however it is
spelt. uWSGI lets ``file:`` leave it (reference/routing.md, section 8). Symbolic links are followed by the
server, which checks the real path against :attr:`ServeFile.root`.
"""

import os
from collections.abc import Callable

from realtime_tw.errors import ConfigError
from realtime_tw.routing.arguments import ActionSpec, BadArgument, Key, Kind, parseArguments
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.paths import splitsHeaders
from realtime_tw.routing.replies import Effect, plainReply
from realtime_tw.routing.template import Literal, Template, VariableRef
from realtime_tw.routing.variables import Context
from realtime_tw.routing.verdicts import ServeFile, Verdict

_DOCUMENT_ROOT = VariableRef((Literal(b"DOCUMENT_ROOT"),))


class ConfinedPath:
    """
    A path template whose first part, literal text or ``${DOCUMENT_ROOT}``, names a directory.

    :raises ConfigError: when it begins with something that a request chooses.
    """

    def __init__(self, template: Template) -> None:
        if not template.tokens:
            raise ConfigError("a path is needed")
        own = []
        for token in template.tokens:
            if not isinstance(token, Literal) and token != _DOCUMENT_ROOT:
                break
            own.append(token)
        self._template = template
        self._own = Template.of(own)
        directory = os.path.dirname(self._own.constant)
        if not template.isConstant and _DOCUMENT_ROOT not in own and not directory.strip(b"/"):
            raise ConfigError(f"the path {template} must begin with a directory of its own, as in files/$1")

    def render(self, context: Context) -> tuple[bytes, bytes] | None:
        """
        The path and the directory it must stay in, None when it leaves it.

        :raises BadArgument: for NUL.
        """
        path = self._template.render(context)
        root = os.path.dirname(self._own.render(context))
        if b"\0" in path:
            raise BadArgument("NUL in the path of a file")
        if self._template.isConstant:
            return path, root or b"."
        if not root.strip(b"/"):
            return None  # DOCUMENT_ROOT is not set, or is the whole file system: no directory to stay in
        inside = os.path.normpath(root)
        normal = os.path.normpath(path)
        if inside == b".":
            escapes = normal.startswith((b"/", b"../")) or normal == b".."
        else:
            escapes = normal != inside and not normal.startswith(inside + b"/")
        return None if escapes else (path, root)


def static(text: str) -> Effect:
    """``static:path``: the file, or 404."""
    return _serve(ConfinedPath(Template.parse(text)))


def staticNext(text: str) -> Effect:
    """``static-next:path``: the file if there is one, else the next rule."""
    serve = _serve(ConfinedPath(Template.parse(text)))

    def effect(exchange: Exchange) -> Verdict | None:
        verdict = serve(exchange)
        return verdict if isinstance(verdict, ServeFile) and os.path.isfile(verdict.path) else None

    return effect


def _serve(path: ConfinedPath) -> Callable[[Exchange], Verdict]:
    def effect(exchange: Exchange) -> Verdict:
        found = path.render(exchange)
        if found is None:
            exchange.log("a request for a file outside of its directory was refused")
            return plainReply(404, b"Not Found")
        return ServeFile(*found)

    return effect


def sendFile(name: str, defaultType: str | None) -> Callable[[str], Effect]:
    """
    ``file:``, ``sendfile:`` or ``fastfile:``.

    :param defaultType: the content type without ``content_type`` and ``mime``; None for what the file's name says.
    """
    spec = ActionSpec(
        name,
        (
            Key("filename", Kind.TEXT, required=True),
            Key("status", Kind.COUNT, default=200),
            Key("content_type", Kind.TEXT),
            Key("mime", Kind.FLAG, default=False),
        ),
        bare="filename",
    )

    def build(text: str) -> Effect:
        arguments = parseArguments(spec, text)
        path = ConfinedPath(arguments.texts["filename"])
        status = arguments.constants["status"]
        if not 200 <= status <= 599:
            raise ConfigError(f"{status} is not a status for a file")
        fallback = defaultType.encode("ascii") if defaultType and not arguments.constants["mime"] else None

        def effect(exchange: Exchange) -> Verdict:
            found = path.render(exchange)
            if found is None:
                exchange.log("a request for a file outside of its directory was refused")
                return plainReply(404, b"Not Found")
            contentType = arguments.bind(exchange)["content_type"] or fallback
            if contentType is not None and splitsHeaders(contentType):
                raise BadArgument("a content type would hold a line break or NUL")
            return ServeFile(*found, status, contentType)

        return effect

    return build
