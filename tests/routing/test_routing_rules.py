"""Rule options: everything wrong is found at load, with its place."""

import pytest
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ConfigError
from realtime_tw.routing.arguments import ActionSpec, Key, Kind
from realtime_tw.routing.ini import Option
from realtime_tw.routing.rules import RULE_OPTIONS, Rule, parseRules
from realtime_tw.routing.verbs import BUILDERS, IDLE

ACTIONS = {"sse": ActionSpec("sse", (Key("subscribe", Kind.CHANNELS, required=True),), bare="subscribe")}


def options(*lines: str) -> list[Option]:
    result = []
    for number, line in enumerate(lines, 1):
        key, _, value = line.partition(" = ")
        result.append(Option(key, value, "r.ini", number))
    return result


def rules(*lines: str) -> tuple[Rule, ...]:
    return parseRules(options(*lines), ACTIONS)[0]


def notices(*lines: str) -> list[str]:
    return [str(notice) for notice in parseRules(options(*lines), ACTIONS)[1]]


def problem(*lines: str) -> str:
    with pytest.raises(ConfigError) as caught:
        rules(*lines)
    return str(caught.value)


class GrammarTests(SynchronousTestCase):
    def test_every_option(self) -> None:
        for option in RULE_OPTIONS - {"route-if", "route-if-not", "route-run", "route-label"}:
            assert len(rules(f"{option} = ^/x$ last:")) == 1
        assert len(rules("route-if = empty:x last:", "route-if-not = empty:x last:", "route-run = last:")) == 3
        assert rules("route-label = a label")[0].label == b"a label"

    def test_other_options_are_not_looked_at(self) -> None:
        assert rules("router = x", "final = y", "static-map = z") == ()

    def test_numbers_and_places(self) -> None:
        found = rules("x = y", "route-label = a", "route-run = last:")
        assert [(rule.number, rule.place) for rule in found] == [(0, "r.ini:2"), (1, "r.ini:3")]

    def test_argument_is_verbatim(self) -> None:
        rule = rules("route = ^/x$ addheader:A: b c ")[0]
        assert rule.action is not None

    def test_spaces(self) -> None:
        assert problem("route = ^/x$") == "r.ini:1: route needs a regexp, a space and an action"
        assert "a tab does not separate" in problem("route = ^/x$\tlast:")
        assert "takes one space between regexp and action" in problem("route = ^/x$  last:")
        assert "takes one space between condition and action" in problem("route-if = empty:x  last:")
        assert "needs a regexp before the space" in problem("route =  last:")
        assert "needs an action after the space" in problem("route = x ")

    def test_colon(self) -> None:
        assert problem("route-run = last") == "r.ini:1: action last needs a colon: write last:"
        assert "an action is written name:argument" in problem("route-run = nope")
        assert "a regexp cannot hold a space" in problem("route = ^/a b$ last")

    def test_unknown_names(self) -> None:
        assert problem("route-run = ssee:x") == 'r.ini:1: unknown action "ssee" (did you mean sse?)'
        assert problem("route-run = brake:") == 'r.ini:1: unknown action "brake" (did you mean break?)'
        assert problem("route-iff = x last:") == 'r.ini:1: unknown rule option "route-iff" (did you mean route-if?)'
        assert problem("route-status = 404 last:").startswith('r.ini:1: unknown rule option "route-status"')
        assert "unknown condition" in problem("route-if = eqal:a;b last:")

    def test_errors_of_arguments_have_a_place(self) -> None:
        assert problem("x = y", "route-run = sse:subscrib=x") == (
            'r.ini:2: unknown key "subscrib" for action sse (did you mean subscribe?)'
        )
        assert problem("route = ( last:") == 'r.ini:1: bad regexp "(": a parenthesis is not closed'

    def test_other_chains(self) -> None:
        for key in ("final-route", "error-route-if", "response-route-run", "final-route-status"):
            assert problem(f"{key} = x last:").startswith(f"r.ini:1: {key} is not supported yet")

    def test_refused_actions(self) -> None:
        for name in ("cgi", "cgihelper", "rpc", "rpcret", "cache", "cachestore", "uwsgi", "http", "httpdumb", "chdir"):
            assert problem(f"route-run = {name}:x").startswith(f"r.ini:1: action {name} is not supported: ")

    def test_idle_actions_are_noticed(self) -> None:
        for name in IDLE:
            assert notices(f"route-run = {name}:1")[0].startswith(f"r.ini:1: {name} does nothing here: ")

    def test_registered_actions_win(self) -> None:
        spec = ActionSpec("log")
        found, _ = parseRules(options("route-run = log:"), {"log": spec})
        assert getattr(found[0].action, "spec", None) is spec

    def test_all_the_built_in_actions_of_the_reference(self) -> None:
        named = """log donotlog logvar donotoffload goto last continue break return break-with-status addheader
        remheader delheader clearheaders resetheaders disableheaders addvar setmethod setpathinfo seturi setuser
        setscriptname setscheme setremoteaddr setdocroot rewrite rewrite-last redirect redirect-302
        redirect-permanent redirect-301 send send-crnl basicauth basicauth-next static static-next file sendfile
        fastfile"""
        assert set(named.split()) == set(BUILDERS)


class GotoTests(SynchronousTestCase):
    def test_forward(self) -> None:
        assert len(rules("route-run = goto:x", "route-label = x")) == 2
        assert len(rules("route-run = goto:1", "route-run = last:")) == 2
        assert len(rules("route-run = goto:$1")) == 1

    def test_missing(self) -> None:
        assert problem("route-run = goto:strem", "route-label = stream") == (
            'r.ini:1: goto: there is no label "strem" (did you mean stream?)'
        )
        assert problem("route-run = goto:5") == "r.ini:1: goto: there is no rule 5, the last one is 0"

    def test_backward(self) -> None:
        for target in ("x", "0", "1"):
            assert "only jumps forward" in problem("route-label = x", f"route-run = goto:{target}", "route-run = last:")

    def test_duplicate_labels(self) -> None:
        assert notices("route-label = x", "route-label = x") == [
            'r.ini:2: no goto reaches this label: "x" is already at r.ini:1'
        ]
