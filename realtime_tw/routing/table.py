"""
The routing table: rules in their order, run against one request until one of them decides.

It always ends: jumps go forward only. It never raises: what a request makes impossible becomes a 4xx reply,
what a rule makes impossible at run time becomes a 500 and a line in the log.
"""

from collections.abc import Sequence

from realtime_tw.errors import ProtocolError
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.replies import plainReply, reasonOf, withSent
from realtime_tw.routing.rules import RealtimeAction, Rule, resolveJump
from realtime_tw.routing.text import quoted, toText
from realtime_tw.routing.verdicts import Close, Continue, Handle, Jump, Reply, Verdict

_HEADINGS = ("#", "where", "option", "test", "action", "argument")


class Table:
    """
    The rules of one file.

    :ivar rules: see :class:`Rule`.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._labels: dict[bytes, int] = {}
        for rule in self.rules:
            if rule.label is not None:
                self._labels.setdefault(rule.label, rule.number)

    def run(self, exchange: Exchange, start: int = 0) -> Verdict:
        """
        Decide about a request.

        :param start: the first rule to look at: one more than the rule whose action declined the request.
        """
        index = start
        while index < len(self.rules):
            rule = self.rules[index]
            try:
                result = self._runRule(rule, exchange)
            except ProtocolError as error:
                exchange.log(f"{rule.place}: {error}")
                return plainReply(error.status, reasonOf(error.status))
            if isinstance(result, Jump):
                target = resolveJump(result.target, self._labels)
                if target is None or target <= rule.number:
                    shown = quoted(toText(result.target))
                    exchange.log(f"{rule.place}: goto {shown} leads nowhere, or not forward")
                    return plainReply(500, b"Internal Server Error", close=True)
                index = target
            elif result is None:
                index += 1
            elif isinstance(result, Reply | Close):
                return withSent(exchange, result)
            else:
                return result
        return Continue()

    def _runRule(self, rule: Rule, exchange: Exchange) -> Verdict | Jump | None:
        if rule.action is None:
            return None
        exchange.captures = ()
        if rule.test is not None and not rule.test.holds(exchange):
            return None
        if isinstance(rule.action, RealtimeAction):
            return Handle(rule.action.spec, rule.action.arguments.bind(exchange), rule)
        return rule.action.effect(exchange)

    def describe(self) -> list[str]:
        """The table for people: a heading and one line a rule, in columns."""
        if not self.rules:
            return ["no rules"]
        rows = [_HEADINGS, *(_row(rule) for rule in self.rules)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(rule: Rule) -> tuple[str, ...]:
    test = rule.test.shown if rule.test is not None else ""
    if rule.action is None:
        name, argument = "", toText(rule.label or b"")
    elif isinstance(rule.action, RealtimeAction):
        name, argument = rule.action.spec.name, rule.action.arguments.describe()
    else:
        name, argument = rule.action.name, rule.action.shown
    return str(rule.number), rule.place, rule.option, test, name, argument
