"""
Text with ``$1`` and ``${...}`` in it, parsed once at load and rendered in a single pass.

A value is never looked at again after it was put in: a capture that holds ``${HTTP_HOST}`` stays that text.
uWSGI renders in two passes and expands it (reference/routing.md, section 8).

Kept from uWSGI: ``$`` before anything else is plain (``$$1`` stays), ``${`` without ``}`` is plain, there
is no escape. ``$1`` may stand inside ``${...}``, as in ``${qs[$1]}``, and only there; a single ``$`` at the
end stays.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from realtime_tw.errors import ConfigError
from realtime_tw.routing.functions import FUNCTIONS
from realtime_tw.routing.text import didYouMean, quoted, toBytes, toText
from realtime_tw.routing.variables import Context

_DIGITS = "0123456789"


@dataclass(frozen=True, slots=True)
class Literal:
    """Plain bytes."""

    data: bytes

    def render(self, context: Context) -> bytes:
        return self.data

    def __str__(self) -> str:
        return toText(self.data)


@dataclass(frozen=True, slots=True)
class Capture:
    """``$0`` to ``$9``: a group of the rule's regexp, empty when there is none."""

    index: int

    def render(self, context: Context) -> bytes:
        captures = context.captures
        return captures[self.index] if self.index < len(captures) else b""

    def __str__(self) -> str:
        return f"${self.index}"


Simple = tuple[Literal | Capture, ...]


@dataclass(frozen=True, slots=True)
class VariableRef:
    """``${NAME}``."""

    name: Simple

    def render(self, context: Context) -> bytes:
        return context.variables[toText(_join(self.name, context))]

    def __str__(self) -> str:
        return f"${{{''.join(map(str, self.name))}}}"


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """``${function[argument]}``."""

    function: str
    argument: Simple

    def render(self, context: Context) -> bytes:
        return FUNCTIONS[self.function].call(_join(self.argument, context), context.variables)

    def __str__(self) -> str:
        return f"${{{self.function}[{''.join(map(str, self.argument))}]}}"


Token = Literal | Capture | VariableRef | FunctionCall


@dataclass(frozen=True, slots=True)
class Template:
    """
    :ivar tokens: no two literals in a row, no empty literal.
    """

    tokens: tuple[Token, ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        """
        :raises ConfigError: for an unknown function, or an argument it cannot take.
        """
        return cls.of(_tokenise(text))

    @classmethod
    def of(cls, tokens: Iterable[Token]) -> "Template":
        """A template of ready tokens."""
        merged: list[Token] = []
        for token in tokens:
            if isinstance(token, Literal):
                if not token.data:
                    continue
                last = merged[-1] if merged else None
                if isinstance(last, Literal):
                    merged[-1] = Literal(last.data + token.data)
                    continue
            merged.append(token)
        return cls(tuple(merged))

    @property
    def isConstant(self) -> bool:
        """Whether no request can change the text."""
        return all(isinstance(token, Literal) for token in self.tokens)

    @property
    def constant(self) -> bytes:
        """The text of a constant template; the literal parts of any other."""
        return b"".join(token.data for token in self.tokens if isinstance(token, Literal))

    def render(self, context: Context) -> bytes:
        """The text for one request."""
        return b"".join([token.render(context) for token in self.tokens])

    def __str__(self) -> str:
        return "".join(map(str, self.tokens))


def _join(parts: Simple, context: Context) -> bytes:
    return b"".join([part.render(context) for part in parts])


def _tokenise(text: str) -> list[Token]:
    tokens: list[Token] = []
    start = 0
    while (dollar := text.find("$", start)) >= 0:
        tokens.append(Literal(toBytes(text[start:dollar])))
        following = text[dollar + 1 : dollar + 2]
        end = text.find("}", dollar) if following == "{" else -1
        if following and following in _DIGITS:
            tokens.append(Capture(int(following)))
            start = dollar + 2
        elif end >= 0:
            tokens.append(_reference(text[dollar + 2 : end]))
            start = end + 1
        else:
            tokens.append(Literal(toBytes(text[dollar : dollar + 2])))
            start = dollar + 2
    tokens.append(Literal(toBytes(text[start:])))
    return tokens


def _reference(content: str) -> Token:
    """The inside of ``${...}``."""
    name, bracket, rest = content.partition("[")
    if not bracket:
        return VariableRef(_simple(content))
    shown = quoted(f"${{{content}}}")
    if not rest.endswith("]"):
        raise ConfigError(f"{shown} lacks its closing bracket (variables cannot be nested, except $1 and the like)")
    if name not in FUNCTIONS:
        raise ConfigError(f"unknown function {quoted(name)} in {shown}{didYouMean(name, FUNCTIONS)}")
    argument = _simple(rest[:-1])
    if all(isinstance(part, Literal) for part in argument):
        try:
            FUNCTIONS[name].check(b"".join(part.data for part in argument if isinstance(part, Literal)))
        except ConfigError as error:
            raise ConfigError(f"{error.message} in {shown}") from error
    return FunctionCall(name, argument)


def _simple(text: str) -> Simple:
    """Text in which only ``$0`` to ``$9`` are special."""
    parts: list[Literal | Capture] = []
    start = 0
    index = 0
    while index + 1 < len(text):
        if text[index] == "$" and text[index + 1] in _DIGITS:
            parts.append(Literal(toBytes(text[start:index])))
            parts.append(Capture(int(text[index + 1])))
            start = index + 2
            index += 2
        else:
            index += 1
    parts.append(Literal(toBytes(text[start:])))
    return tuple(part for part in parts if not isinstance(part, Literal) or part.data)
