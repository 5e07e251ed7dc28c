r"""
The argument of an action: bare (``sse:news``), or a list (``sse:subscribe=news,buffer_size=64k``).

It is taken apart at load, on the tokens of its template: whatever a request substitutes lands inside one
value and can add neither a key nor an item nor a channel. uWSGI takes it apart after the substitution,
which lets a client name the keys (reference/routing.md, section 8).

Grammar: a list when an unescaped ``=`` stands in the text; items separated by ``,``, key and value by the
first ``=``, channels by ``;``. In a list ``\`` makes the next character plain. In a bare argument it does
so before ``=`` and ``;`` only, and is itself plain otherwise.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from realtime_tw.errors import ConfigError, ProtocolError
from realtime_tw.routing.template import Literal, Template, Token
from realtime_tw.routing.text import didYouMean, quoted, toText
from realtime_tw.routing.values import Address, parseAddress, parseCount, parseFlag, parseSeconds, parseSize
from realtime_tw.routing.variables import Context

_BACKSLASH, _EQUALS, _COMMA, _SEMICOLON = b"\\=,;"


class BadArgument(ProtocolError):
    """A request put something into an argument that cannot stand there."""


class Kind(Enum):
    """
    What a value is, and what :meth:`Arguments.bind` makes of it.

    Only ``TEXT`` and ``CHANNELS`` may hold variables.
    """

    TEXT = "text"  # bytes
    CHANNELS = "channels"  # tuple[bytes, ...], at least one, none empty
    WORDS = "words"  # tuple[str, ...], separated by ";"
    SIZE = "size"  # int, bytes
    SECONDS = "seconds"  # float
    COUNT = "count"  # int
    FLAG = "flag"  # bool
    CHOICE = "choice"  # str, one of Key.choices
    SERVER = "server"  # Address with a host and a port, or a unix socket
    ADDRESSES = "addresses"  # tuple[Address, ...] with hosts and ports, separated by ";"


@dataclass(frozen=True, slots=True)
class Key:
    """
    One key that an action takes.

    :ivar default: the bound value when the key is absent.
    :ivar choices: the words of a ``CHOICE``.
    :ivar most: the largest number that a ``COUNT`` may be.
    :ivar isConstant: no request may change it, although its kind could hold variables.
    """

    name: str
    kind: Kind
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()
    isConstant: bool = False
    most: int | None = None


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """
    What an action is called and takes.

    :ivar bare: the key that a bare argument stands for, or None if the action takes none.
    :ivar summary: one line for people.
    """

    name: str
    keys: tuple[Key, ...] = ()
    bare: str | None = None
    summary: str = ""

    def key(self, name: str) -> Key | None:
        """The key of that name."""
        return next((key for key in self.keys if key.name == name), None)


@dataclass(frozen=True, slots=True)
class Arguments:
    """
    A checked argument, ready to be bound to requests.

    :ivar spec: the action's.
    :ivar constants: values that no request changes, defaults included.
    :ivar texts: templates of text values.
    :ivar channels: templates of channel names.
    """

    spec: ActionSpec
    constants: Mapping[str, Any]
    texts: Mapping[str, Template]
    channels: Mapping[str, tuple[Template, ...]]

    def bind(self, context: Context) -> dict[str, Any]:
        """
        A value for every key of the spec.

        :raises BadArgument: for a channel whose name or a required text that comes out empty.
        """
        values = dict(self.constants)
        for name, template in self.texts.items():
            text = values[name] = template.render(context)
            key = self.spec.key(name)
            if not text and key is not None and key.required:
                raise BadArgument(f"the request leaves {name} empty")
        for name, templates in self.channels.items():
            rendered = tuple(template.render(context) for template in templates)
            if b"" in rendered:
                raise BadArgument(f"the request leaves a channel of {name} without a name")
            values[name] = rendered
        return values

    def describe(self) -> str:
        """The keys that were given, for a table that people read."""
        parts = []
        for key in self.spec.keys:
            if key.name in self.texts:
                parts.append(f"{key.name}={self.texts[key.name]}")
            elif key.name in self.channels:
                parts.append(f"{key.name}={';'.join(map(str, self.channels[key.name]))}")
            elif self.constants[key.name] != key.default:
                parts.append(f"{key.name}={self.constants[key.name]}")
        return " ".join(parts)


def parseArguments(spec: ActionSpec, text: str) -> Arguments:
    """
    :raises ConfigError: for anything that cannot work, whatever the request.
    """
    atoms = _atoms(Template.parse(text).tokens)
    given: dict[str, list[_Atom]]
    if _EQUALS in atoms:
        given = _items(spec, atoms)
    elif not atoms:
        given = {}
    elif spec.bare is None:
        takes = f": write key=value ({_keyNames(spec)})" if spec.keys else ""
        raise ConfigError(f"action {spec.name} takes no bare argument{takes}")
    else:
        given = {spec.bare: _unescapeBare(atoms)}
    constants: dict[str, Any] = {}
    texts: dict[str, Template] = {}
    channels: dict[str, tuple[Template, ...]] = {}
    for key in spec.keys:
        if key.name not in given:
            if key.required:
                raise ConfigError(f"action {spec.name} needs {key.name}")
            constants[key.name] = key.default
        elif key.kind is Kind.TEXT:
            texts[key.name] = _template(given[key.name])
            if key.required and not texts[key.name].tokens:
                raise ConfigError(f"action {spec.name} needs {key.name}")
        elif key.kind is Kind.CHANNELS:
            channels[key.name] = _channels(key, given[key.name])
        else:
            constants[key.name] = _constant(key, given[key.name])
    for key in spec.keys:
        templates = (*channels.get(key.name, ()), *filter(None, [texts.get(key.name)]))
        if key.isConstant and not all(template.isConstant for template in templates):
            raise ConfigError(f"{key.name} of action {spec.name} must not depend on the request")
    return Arguments(spec, constants, texts, channels)


# An argument as a sequence of plain bytes (0 to 255), escaped bytes (256 more) and references to variables:
# the form in which a separator is a separator only if the file itself says so.
_Atom = int | Token
_ESCAPED = 256


def _atoms(tokens: Iterable[Token]) -> list[_Atom]:
    """Tokens taken apart; a backslash and the byte it stands before become one escaped byte."""
    atoms: list[_Atom] = []
    for token in tokens:
        if not isinstance(token, Literal):
            if atoms and atoms[-1] == _BACKSLASH:
                raise ConfigError(rf"a backslash before {token} means nothing (write \\ for a backslash)")
            atoms.append(token)
            continue
        for byte in token.data:
            if atoms and atoms[-1] == _BACKSLASH:
                atoms[-1] = _ESCAPED + byte
            else:
                atoms.append(byte)
    return atoms


def _unescapeBare(atoms: list[_Atom]) -> list[_Atom]:
    """As in a bare argument: a backslash is itself, except before ``=`` and ``;``."""
    result: list[_Atom] = []
    for atom in atoms:
        if isinstance(atom, int) and atom >= _ESCAPED and atom - _ESCAPED not in (_EQUALS, _SEMICOLON):
            result += [_BACKSLASH, atom - _ESCAPED]
        else:
            result.append(atom)
    return result


def _split(atoms: list[_Atom], separator: int) -> list[list[_Atom]]:
    parts: list[list[_Atom]] = [[]]
    for atom in atoms:
        if atom == separator:
            parts.append([])
        else:
            parts[-1].append(atom)
    return parts


def _template(atoms: Iterable[_Atom]) -> Template:
    return Template.of(Literal(bytes([atom % _ESCAPED])) if isinstance(atom, int) else atom for atom in atoms)


def _items(spec: ActionSpec, atoms: list[_Atom]) -> dict[str, list[_Atom]]:
    given: dict[str, list[_Atom]] = {}
    for item in _split(atoms, _COMMA):
        shown = str(_template(item))
        if not item:
            raise ConfigError(f"action {spec.name} has an empty item in its list (a comma too many)")
        if _EQUALS not in item:
            raise ConfigError(
                f"{quoted(shown)} has no value in the list of action {spec.name}"
                r" (write key=value, and \, for a comma in a value)"
            )
        split = item.index(_EQUALS)
        keyTemplate = _template(item[:split])
        if not keyTemplate.isConstant:
            raise ConfigError(f"variables cannot stand in a key: {quoted(str(keyTemplate))} of action {spec.name}")
        name = toText(keyTemplate.constant)
        if name != name.strip():
            raise ConfigError(
                f"blanks around key {quoted(name)} for action {spec.name}"
                f" (write {name.strip()}=... with no blanks after the comma or before the =)"
            )
        if spec.key(name) is None:
            hint = didYouMean(name, (key.name for key in spec.keys)) or f" (it takes {_keyNames(spec)})"
            raise ConfigError(f"unknown key {quoted(name)} for action {spec.name}{hint}")
        if name in given:
            raise ConfigError(f"key {name} is given twice for action {spec.name}")
        given[name] = item[split + 1 :]
    return given


def _keyNames(spec: ActionSpec) -> str:
    return ", ".join(key.name for key in spec.keys) or "no keys"


def _channels(key: Key, atoms: list[_Atom]) -> tuple[Template, ...]:
    templates = tuple(_template(part) for part in _split(atoms, _SEMICOLON))
    if any(not template.tokens for template in templates):
        raise ConfigError(f"{key.name} has a channel without a name")
    return templates


def _hostAndPort(text: str) -> Address:
    address = parseAddress(text, needsHost=True)
    if address.path:
        raise ConfigError(f"{quoted(text)} is not a host and a port")
    return address


_PARSERS: Mapping[Kind, Callable[[str], Any]] = {
    Kind.SIZE: parseSize,
    Kind.SECONDS: parseSeconds,
    Kind.COUNT: parseCount,
    Kind.FLAG: parseFlag,
    Kind.WORDS: lambda text: tuple(filter(None, text.split(";"))),
    Kind.SERVER: lambda text: parseAddress(text, needsHost=True),
    Kind.ADDRESSES: lambda text: tuple(map(_hostAndPort, filter(None, text.split(";")))),
}


def _constant(key: Key, atoms: list[_Atom]) -> Any:
    template = _template(atoms)
    if not template.isConstant:
        raise ConfigError(f"{key.name} cannot hold variables ({template}): it must be the same for every request")
    text = toText(template.constant)
    if key.kind is Kind.CHOICE:
        if text not in key.choices:
            hint = didYouMean(text, key.choices)
            raise ConfigError(f"{key.name}: {quoted(text)} is none of {', '.join(key.choices)}{hint}")
        return text
    try:
        value = _PARSERS[key.kind](text)
    except ConfigError as error:
        raise ConfigError(f"{key.name}: {error.message}") from error
    if key.most is not None and value > key.most:
        raise ConfigError(f"{key.name}: {text} is more than {key.most}")
    return value
