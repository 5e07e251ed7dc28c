"""
The rule options of a routing file: ``route``, its relatives by subject, ``route-if``, ``route-run``,
``route-label``.

Every rule is checked here, completely, so that a file that loads cannot fail over its own mistakes later.
The grammar is uWSGI's: ``regexp action:argument`` with exactly one space between, the colon of the action
being mandatory.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from realtime_tw.errors import ConfigError
from realtime_tw.routing.arguments import ActionSpec, Arguments, parseArguments
from realtime_tw.routing.conditions import Condition, capturesOf, parseCondition
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.ini import Notice, Option
from realtime_tw.routing.regexps import compileRegexp
from realtime_tw.routing.text import didYouMean, quoted, toBytes, toText
from realtime_tw.routing.verbs import BUILDERS, IDLE, Verb, buildVerb, refusal

SUBJECTS: Mapping[str, str] = {
    "route": "PATH_INFO",
    "route-uri": "REQUEST_URI",
    "route-qs": "QUERY_STRING",
    "route-host": "HTTP_HOST",
    "route-remote-addr": "REMOTE_ADDR",
    "route-remote-user": "REMOTE_USER",
    "route-user-agent": "HTTP_USER_AGENT",
    "route-referer": "HTTP_REFERER",
}
_OTHERS = ("route-if", "route-if-not", "route-run", "route-label")
RULE_OPTIONS = frozenset({*SUBJECTS, *_OTHERS})

_OTHER_CHAIN = re.compile(r"(final|error|response)-route($|-)")


@dataclass(frozen=True, slots=True)
class SubjectTest:
    """A regexp on one variable; its groups become the captures."""

    variable: str
    pattern: re.Pattern[bytes]
    shown: str

    def holds(self, exchange: Exchange) -> bool:
        match = self.pattern.search(exchange.variables[self.variable])
        if match is None:
            return False
        exchange.captures = capturesOf(match)
        return True


@dataclass(frozen=True, slots=True)
class ConditionTest:
    """A condition, or its opposite."""

    condition: Condition
    expected: bool
    shown: str

    def holds(self, exchange: Exchange) -> bool:
        return self.condition.holds(exchange) is self.expected


@dataclass(frozen=True, slots=True)
class RealtimeAction:
    """An action of the registry with its arguments."""

    spec: ActionSpec
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Rule:
    """
    :ivar number: from 0, labels counted: what ``goto:`` can name.
    :ivar option: the option that made it.
    :ivar test: None for a rule that always applies.
    :ivar action: None for a label.
    :ivar label: the name of a label, else None.
    """

    number: int
    option: str
    file: str
    line: int
    test: SubjectTest | ConditionTest | None = None
    action: Verb | RealtimeAction | None = None
    label: bytes | None = None

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def isRuleOption(key: str) -> bool:
    """Whether an option is a rule, or means to be one."""
    return key == "route" or key.startswith("route-") or _OTHER_CHAIN.match(key) is not None


def parseRules(
    options: Iterable[Option], actions: Mapping[str, ActionSpec]
) -> tuple[tuple[Rule, ...], tuple[Notice, ...]]:
    """
    The rules among the options, in their order.

    :param actions: the realtime actions by the names a file may use; they win over built-in ones.
    :raises ConfigError: with the file and line of the first rule that cannot work.
    """
    rules: list[Rule] = []
    notices: list[Notice] = []
    for option in options:
        if not isRuleOption(option.key):
            continue
        try:
            rule = _parseRule(option, len(rules), actions)
        except ConfigError as error:
            raise error.located(option.file, option.line) from error
        rules.append(rule)
        if isinstance(rule.action, Verb) and rule.action.notice:
            notices.append(Notice(rule.action.notice, option.file, option.line))
    labels: dict[bytes, int] = {}
    for rule in rules:
        if rule.label is None:
            continue
        if rule.label in labels:
            first = rules[labels[rule.label]].place
            message = f"no goto reaches this label: {quoted(toText(rule.label))} is already at {first}"
            notices.append(Notice(message, rule.file, rule.line))
        labels.setdefault(rule.label, rule.number)
    for rule in rules:
        _checkJump(rule, labels, len(rules))
    return tuple(rules), tuple(notices)


def resolveJump(target: bytes, labels: Mapping[bytes, int]) -> int | None:
    """The rule number that a goto means: the first label of that name, else a number."""
    if target in labels:
        return labels[target]
    return int(target) if target.isdigit() and len(target) <= 9 else None


def _checkJump(rule: Rule, labels: Mapping[bytes, int], count: int) -> None:
    if not isinstance(rule.action, Verb) or rule.action.target is None or not rule.action.target.isConstant:
        return
    target = rule.action.target.constant
    number = resolveJump(target, labels)
    shown = quoted(toText(target))
    if number is None:
        hint = didYouMean(toText(target), [toText(label) for label in labels])
        raise ConfigError(f"goto: there is no label {shown}{hint}", rule.file, rule.line)
    if number >= count:
        raise ConfigError(f"goto: there is no rule {number}, the last one is {count - 1}", rule.file, rule.line)
    if number <= rule.number:
        raise ConfigError(f"goto: {shown} is not further down: goto only jumps forward", rule.file, rule.line)


def _parseRule(option: Option, number: int, actions: Mapping[str, ActionSpec]) -> Rule:
    key, value = option.key, option.value
    if _OTHER_CHAIN.match(key):
        raise ConfigError(f"{key} is not supported yet: only rules for requests are")
    if key not in RULE_OPTIONS:
        raise ConfigError(f"unknown rule option {quoted(key)}{didYouMean(key, RULE_OPTIONS)}")
    if key == "route-label":
        return Rule(number, key, option.file, option.line, label=toBytes(value))
    test: SubjectTest | ConditionTest | None = None
    rest = value
    if key != "route-run":
        subject, rest = _splitRule(key, value)
        if key in SUBJECTS:
            test = SubjectTest(SUBJECTS[key], compileRegexp(subject), subject)
        else:
            test = ConditionTest(parseCondition(subject), key == "route-if", subject)
    return Rule(number, key, option.file, option.line, test, _parseAction(rest, actions))


def _splitRule(key: str, value: str) -> tuple[str, str]:
    """What to test, and the action, around the first space."""
    test, space, action = value.partition(" ")
    what = "regexp" if key in SUBJECTS else "condition"
    if not space:
        tab = ": a tab does not separate, write a space" if "\t" in value else ""
        raise ConfigError(f"{key} needs a {what}, a space and an action{tab}")
    if not test:
        raise ConfigError(f"{key} needs a {what} before the space")
    if not action.strip():
        raise ConfigError(f"{key} needs an action after the space")
    if action[0] in " \t":
        raise ConfigError(f"{key} takes one space between {what} and action (in the {what}, write \\s or \\x20)")
    return test, action


def _parseAction(text: str, actions: Mapping[str, ActionSpec]) -> Verb | RealtimeAction:
    name, colon, argument = text.partition(":")
    known = {*actions, *BUILDERS, *IDLE}
    if not colon:
        if name in known:
            raise ConfigError(f"action {name} needs a colon: write {name}:")
        spaces = " (a regexp cannot hold a space: write \\s or \\x20)" if " " in name else ""
        raise ConfigError(f"{quoted(name)} is no action: an action is written name:argument{spaces}")
    if name in actions:
        return RealtimeAction(actions[name], parseArguments(actions[name], argument))
    verb = buildVerb(name, argument)
    if verb is not None:
        return verb
    reason = refusal(name)
    if reason is not None:
        raise ConfigError(f"action {name} is not supported: {reason}")
    raise ConfigError(f"unknown action {quoted(name)}{didYouMean(name, known)}")
