"""The table as a whole: order, jumps, verdicts, and that nothing a client sends can break it."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ProtocolError
from realtime_tw.routing.arguments import ActionSpec, Key, Kind
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.ini import Option
from realtime_tw.routing.rules import parseRules
from realtime_tw.routing.table import Table
from realtime_tw.routing.variables import Variables, requestVariables
from realtime_tw.routing.verdicts import Close, Continue, Handle, Reply, ServeFile, Verdict

_CHANNELS = (Key("subscribe", Kind.CHANNELS), Key("publish", Kind.CHANNELS), Key("prefix", Kind.TEXT, default=b""))
ACTIONS = {
    name: ActionSpec(name, (*_CHANNELS, Key("server", Kind.SERVER)), bare="subscribe")
    for name in ("sse", "stream", "istream", "websocket", "webm")
}


def tableOf(*lines: str) -> Table:
    options = []
    for number, line in enumerate(lines, 1):
        key, _, value = line.partition(" = ")
        options.append(Option(key, value, "r.ini", number))
    return Table(parseRules(options, ACTIONS)[0])


def exchangeOf(uri: bytes, method: bytes = b"GET", *headers: tuple[bytes, bytes]) -> Exchange:
    return Exchange(requestVariables(method, uri, b"HTTP/1.1", headers, peer=("192.0.2.1", 1)))


def run(table: Table, uri: bytes, method: bytes = b"GET", *headers: tuple[bytes, bytes]) -> Verdict:
    return table.run(exchangeOf(uri, method, *headers))


def handled(verdict: Verdict) -> tuple[str, dict[str, Any]]:
    """The action of a Handle, and the values that are set."""
    assert isinstance(verdict, Handle)
    return verdict.action.name, {key: value for key, value in verdict.values.items() if value}


class FlowTests(SynchronousTestCase):
    def test_end_of_the_table(self) -> None:
        assert run(tableOf(), b"/") == Continue()
        assert run(tableOf("route = ^/x$ break:"), b"/y") == Continue()

    def test_first_decision_wins(self) -> None:
        table = tableOf("route = ^/a log:x", "route = ^/a sse:one", "route = ^/a sse:two")
        assert handled(run(table, b"/abc")) == ("sse", {"subscribe": (b"one",)})

    def test_captures(self) -> None:
        table = tableOf(r"route = ^/events/(\d+)$ sse:channel_$1")
        assert handled(run(table, b"/events/7")) == ("sse", {"subscribe": (b"channel_7",)})
        assert run(table, b"/events/x") == Continue()

    def test_captures_end_with_their_rule(self) -> None:
        table = tableOf("route = ^/(a)$ log:$1", "route-run = log:<$1$0>", "route-if = empty: log:<$1>")
        exchange = exchangeOf(b"/a")
        table.run(exchange)
        assert exchange.logLines == ["a", "<>", "<>"]

    def test_subjects(self) -> None:
        headers = ((b"Host", b"h"), (b"User-Agent", b"u"), (b"Referer", b"r"))
        for option, pattern in (
            ("route", "^/a b$"),
            ("route-uri", "^/a%20b.q=1$"),
            ("route-qs", "^q=1$"),
            ("route-host", "^h$"),
            ("route-remote-addr", r"^192\.0\.2\.1$"),
            ("route-remote-user", "^$"),
            ("route-user-agent", "^u$"),
            ("route-referer", "^r$"),
        ):
            table = tableOf(f"{option} = {pattern.replace(' ', chr(92) + 's')} break:")
            assert run(table, b"/a%20b?q=1", b"GET", *headers) == Close(), option

    def test_absent_headers_are_empty(self) -> None:
        assert run(tableOf("route-host = ^$ break:"), b"/") == Close()

    def test_conditions(self) -> None:
        table = tableOf(
            "route-if = equal:${REQUEST_METHOD};SOURCE istream:publish=p",
            "route-if-not = regexp:${PATH_INFO};^/(a) sse:x$1",
        )
        assert handled(run(table, b"/", b"SOURCE")) == ("istream", {"publish": (b"p",)})
        assert handled(run(table, b"/b")) == ("sse", {"subscribe": (b"x",)})
        assert run(table, b"/a") == Continue()

    def test_subjects_are_live(self) -> None:
        table = tableOf(
            "route = ^/old rewrite:/new?a=1", "route = ^/new addvar:X=1", "route-if = eq:${X};1 sse:${qs[a]}"
        )
        assert handled(run(table, b"/old")) == ("sse", {"subscribe": (b"1",)})

    def test_declined_request_goes_on(self) -> None:
        table = tableOf("route-run = sse:a", "route-run = sse:b")
        exchange = exchangeOf(b"/")
        first = table.run(exchange)
        assert isinstance(first, Handle)
        assert handled(table.run(exchange, first.rule.number + 1)) == ("sse", {"subscribe": (b"b",)})

    def test_static(self) -> None:
        assert run(tableOf("route = ^/f static:/srv/f"), b"/f") == ServeFile(b"/srv/f", b"/srv")


class GotoTests(SynchronousTestCase):
    def test_readme_example(self) -> None:
        table = tableOf(
            "route = ^/stream.webm$ goto:stream",
            "route-run = last:",
            "route-label = stream",
            "route-if = equal:${REQUEST_METHOD};GET webm:uwsgi",
            "route-if = equal:${REQUEST_METHOD};POST istream:uwsgi",
        )
        assert handled(run(table, b"/stream.webm"))[0] == "webm"
        assert handled(run(table, b"/stream.webm", b"POST"))[0] == "istream"
        assert run(table, b"/other") == Continue()

    def test_substituted_target(self) -> None:
        table = tableOf("route = ^/(.*)$ goto:$1", "route-run = break:", "route-label = x", "route-run = sse:x")
        assert handled(run(table, b"/x"))[0] == "sse"
        assert handled(run(table, b"/3"))[0] == "sse"
        assert run(table, b"/99") == Continue()

    def test_substituted_target_that_leads_nowhere(self) -> None:
        table = tableOf("route-label = l", "route = ^/(.*)$ goto:$1")
        for target in (b"nope", b"l", b"0", b"1", b"", b"9" * 5000, b"\xb2"):
            exchange = exchangeOf(b"/" + target)
            verdict = table.run(exchange)
            assert isinstance(verdict, Reply)
            assert verdict.status == 500
            assert "leads nowhere" in exchange.logLines[0]


class ReplyTests(SynchronousTestCase):
    def test_bad_values_are_the_clients_fault(self) -> None:
        for rule, uri in (
            ("route = ^/(.*)$ addheader:X: $1", b"/a%0d%0aX: b"),
            ("route = (?s)^/(.*)$ redirect:http://h/$1", b"/a%0d%0aX: b"),
            ("route = ^/(.*)$ sse:$1", b"/"),
        ):
            exchange = exchangeOf(uri)
            verdict = tableOf(rule).run(exchange)
            if rule.endswith("addheader:X: $1"):
                # "." stops at the newline: nothing dangerous was captured.
                assert verdict == Continue()
                continue
            assert isinstance(verdict, Reply)
            assert verdict.status == 400
            assert exchange.logLines[0].startswith("r.ini:1: ")

    def test_hole_header_splitting(self) -> None:
        verdict = run(tableOf("route = (?s)^/(.*)$ addheader:X: $1"), b"/a%0d%0aSet-Cookie:%20b")
        assert isinstance(verdict, Reply)
        assert verdict.status == 400

    def test_sent_pieces_come_first(self) -> None:
        verdict = run(tableOf("route-run = send:hello", "route-run = break:"), b"/")
        assert verdict == Reply(200, b"OK", (), b"hello", close=True)
        verdict = run(
            tableOf("route-run = clearheaders:201 Made", "route-run = send:a", "route-run = return:404"), b"/"
        )
        assert isinstance(verdict, Reply)
        assert (verdict.status, verdict.reason, verdict.body) == (201, b"Made", b"aNot Found")

    def test_sent_pieces_are_left_for_the_action(self) -> None:
        exchange = exchangeOf(b"/")
        verdict = tableOf("route-run = send:head", "route-run = sse:x").run(exchange)
        assert isinstance(verdict, Handle)
        assert exchange.sent == [b"head"]


class DescribeTests(SynchronousTestCase):
    def test_columns(self) -> None:
        table = tableOf(
            r"route = ^/events/(\d+)$ sse:channel_$1",
            "route-label = here",
            "route-if = empty:${qs[a]} basicauth:realm,joe:secret",
            "route-run = last:",
        )
        assert table.describe() == [
            "#  where    option       test             action     argument",
            r"0  r.ini:1  route        ^/events/(\d+)$  sse        subscribe=channel_$1",
            "1  r.ini:2  route-label                              here",
            "2  r.ini:3  route-if     empty:${qs[a]}   basicauth  realm,joe:***",
            "3  r.ini:4  route-run                     last",
        ]

    def test_empty(self) -> None:
        assert tableOf().describe() == ["no rules"]


class HoleTests(SynchronousTestCase):
    """reference/routing.md, section 8, end to end."""

    def test_hole_kv_injection(self) -> None:
        table = tableOf("route = ^/websocket$ websocket:subscribe=inverted,publish=chat,prefix=${qs[name]}:")
        values = handled(run(table, b"/websocket?name=x,subscribe=admin,publish=admin,server=evil:1"))[1]
        assert values == {
            "subscribe": (b"inverted",),
            "publish": (b"chat",),
            "prefix": b"x,subscribe=admin,publish=admin,server=evil:1:",
        }

    def test_hole_mode_flip(self) -> None:
        table = tableOf("route = ^/events/(.+)$ sse:channel_$1")
        values = handled(run(table, b"/events/x,subscribe=admin,server=10.0.0.1:6379"))[1]
        assert values == {"subscribe": (b"channel_x,subscribe=admin,server=10.0.0.1:6379",)}

    def test_hole_template_injection(self) -> None:
        table = tableOf("route = ^/(.+)$ sse:$1")
        values = handled(run(table, b"/%24%7BHTTP_HOST%7D$0", b"GET", (b"Host", b"secret")))[1]
        assert values == {"subscribe": (b"${HTTP_HOST}$0",)}

    def test_hole_encoded_dots(self) -> None:
        table = tableOf("route = ^/private break:403", "route = ^/public/(.*)$ static:/srv/public/$1")
        for uri in (b"/public/../private", b"/public/%2e%2e/private", b"/public/..%2fprivate", b"http://h/private"):
            verdict = run(table, uri)
            assert isinstance(verdict, Reply)
            assert verdict.status == 403

    def test_hole_underscore_spoofing(self) -> None:
        table = tableOf("route-if = equal:${HTTP_X_ADMIN};1 sse:admin")
        assert run(table, b"/", b"GET", (b"X_Admin", b"1")) == Continue()


RICH = tableOf(
    "route-if = equal:${REQUEST_METHOD};SOURCE istream:publish=$1x",
    "route = (?s)^/h/(.*)$ addheader:X: $1",
    "route = (?s)^/r/(.*)$ redirect:/$1",
    "route = (?s)^/w/(.*)$ rewrite:/$1?a=$1&b=${qs[a]}",
    "route = (?s)^/p/(.*)$ setpathinfo:$1",
    "route = (?s)^/s/(.*)$ static:/srv/$1",
    "route = (?s)^/n/(.*)$ static-next:/srv/$1",
    "route = (?s)^/f/(.*)$ file:filename=/srv/$1,content_type=$1",
    "route = (?s)^/c/(.*)$ sse:subscribe=$1;${qs[a]},prefix=${cookie[a]}",
    "route-label = here",
    "route = (?s)^/g/(.*)$ goto:$1",
    "route-qs = (?s)(.*) addvar:X=$1${base64[QUERY_STRING]}${httptime[$1]}${qs[$1]}${mime[PATH_INFO]}",
    "route-if = ishigher:${qs[a]};5 log:${X}",
    "route-if-not = ipv4in:${qs[a]};10.0.0.0/8 logvar:a=${qs[a]}",
    "route-if = exists:${qs[a]} send:$1",
    "route-if = regexp:${QUERY_STRING};(?s)a=(.*) basicauth-next:realm,joe:pw",
    "route-label = there",
    "route-if = contains:${QUERY_STRING};z break:404",
    "route-if = startswith:${X};a clearheaders:200 OK",
    "route-if = endswith:${X};b break:",
)


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=300)
    @given(
        st.sampled_from([b"GET", b"POST", b"SOURCE", b"", b"\xff"]),
        st.sampled_from([b"/", b"/h/", b"/r/", b"/w/", b"/p/", b"/s/", b"/n/", b"/f/", b"/c/", b"/g/"]),
        st.binary(max_size=40) | st.sampled_from([b"there", b"here", b"16", b"../../x", b"%2e%2e/%2e%2e/x", b"%0d%0a"]),
        st.binary(max_size=40),
        st.lists(
            st.tuples(st.sampled_from([b"Cookie", b"Authorization", b"X_A", b"Host"]), st.binary(max_size=20)),
            max_size=4,
        ),
    )
    def test_always_a_verdict(
        self, method: bytes, start: bytes, tail: bytes, query: bytes, headers: list[tuple[bytes, bytes]]
    ) -> None:
        try:
            variables = requestVariables(method, start + tail + b"?a=" + query, b"HTTP/1.1", headers)
        except ProtocolError:
            return
        exchange = Exchange(variables)
        verdict = RICH.run(exchange)
        assert isinstance(verdict, Continue | Reply | Close | ServeFile | Handle)
        for name, value in [*exchange.addedHeaders, *(verdict.headers if isinstance(verdict, Reply) else ())]:
            assert not set(name + value) & set(b"\r\n\0")
        assert all(line.isprintable() for line in exchange.logLines)
        if isinstance(verdict, Handle):
            assert len(verdict.values["subscribe"] or b"xx") == 2
            assert verdict.values["server"] is None

    @given(st.dictionaries(st.sampled_from(["PATH_INFO", "QUERY_STRING", "REQUEST_METHOD"]), st.binary(max_size=60)))
    def test_any_variables(self, values: dict[str, bytes]) -> None:
        RICH.run(Exchange(Variables(values)))
