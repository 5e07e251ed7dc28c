"""Arguments of actions: grammar, kinds, and what a request can never do to them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ConfigError, ProtocolError
from realtime_tw.routing.arguments import ActionSpec, BadArgument, Key, Kind, parseArguments
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.values import Address
from realtime_tw.routing.variables import Variables

SSE = ActionSpec(
    "sse",
    (
        Key("subscribe", Kind.CHANNELS, required=True),
        Key("publish", Kind.CHANNELS),
        Key("prefix", Kind.TEXT, default=b""),
        Key("server", Kind.SERVER),
        Key("buffer_size", Kind.SIZE, default=4096),
        Key("retry", Kind.SECONDS),
        Key("limit", Kind.COUNT),
        Key("gzip", Kind.FLAG, default=False),
        Key("policy", Kind.CHOICE, default="close", choices=("close", "drop", "keyframe")),
    ),
    bare="subscribe",
    summary="Server-Sent Events",
)
UPLOAD = ActionSpec("upload", (Key("path", Kind.TEXT, required=True),), bare="path")
PING = ActionSpec("ping")


def bind(text: str, *captures: bytes, spec: ActionSpec = SSE, **values: bytes) -> dict[str, Any]:
    return parseArguments(spec, text).bind(Exchange(Variables(values), captures))


def problem(text: str, spec: ActionSpec = SSE) -> str:
    with pytest.raises(ConfigError) as caught:
        parseArguments(spec, text)
    return str(caught.value)


class GrammarTests(SynchronousTestCase):
    def test_bare(self) -> None:
        assert bind("news") == {
            "subscribe": (b"news",),
            "publish": None,
            "prefix": b"",
            "server": None,
            "buffer_size": 4096,
            "retry": None,
            "limit": None,
            "gzip": False,
            "policy": "close",
        }

    def test_list(self) -> None:
        values = bind("subscribe=a,prefix=x=y,server=10.0.0.1:6380,buffer_size=64k")
        assert values["subscribe"] == (b"a",)
        assert values["prefix"] == b"x=y"
        assert values["server"] == Address("10.0.0.1", 6380)
        assert values["buffer_size"] == 65536

    def test_values_keep_their_blanks(self) -> None:
        assert bind("subscribe=a,prefix= x ")["prefix"] == b" x "

    def test_empty_value(self) -> None:
        assert bind("subscribe=a,prefix=")["prefix"] == b""

    def test_escapes_in_a_list(self) -> None:
        assert bind(r"subscribe=a,prefix=\,\\\=\x")["prefix"] == b",\\=x"
        assert bind(r"subscribe=a\;b;c")["subscribe"] == (b"a;b", b"c")

    def test_escapes_in_a_bare_argument(self) -> None:
        assert bind(r"a\,\x\\")["subscribe"] == (b"a\\,\\x\\\\",)
        assert bind(r"a\=b\;c")["subscribe"] == (b"a=b;c",)

    def test_bare_comma_is_plain(self) -> None:
        assert bind("a,b")["subscribe"] == (b"a,b",)

    def test_channels(self) -> None:
        assert bind("a;b;$1", b"", b"c")["subscribe"] == (b"a", b"b", b"c")

    def test_no_arguments(self) -> None:
        assert bind("", spec=PING) == {}
        assert problem("x", PING) == "action ping takes no bare argument"

    def test_describe(self) -> None:
        arguments = parseArguments(SSE, "policy=drop,subscribe=a_$1;b,prefix=${qs[n]}:")
        assert arguments.describe() == "subscribe=a_$1;b prefix=${qs[n]}: policy=drop"


class ErrorTests(SynchronousTestCase):
    def test_unknown_key(self) -> None:
        assert problem("subscrib=x") == 'unknown key "subscrib" for action sse (did you mean subscribe?)'
        assert problem("zzz=x", UPLOAD) == 'unknown key "zzz" for action upload (it takes path)'
        assert problem("zzz=x", PING) == 'unknown key "zzz" for action ping (it takes no keys)'

    def test_twice(self) -> None:
        assert problem("subscribe=a,subscribe=b") == "key subscribe is given twice for action sse"

    def test_no_value(self) -> None:
        assert problem("subscribe=a,prefix").startswith('"prefix" has no value in the list of action sse')

    def test_empty_item(self) -> None:
        assert "a comma too many" in problem("subscribe=a,,prefix=b")
        assert "a comma too many" in problem("subscribe=a,")

    def test_blanks_around_the_key(self) -> None:
        assert problem("subscribe=a, prefix=b").startswith('blanks around key " prefix" for action sse (write prefix=')
        assert problem("subscribe =a").startswith('blanks around key "subscribe " for action sse')

    def test_required(self) -> None:
        assert problem("") == "action sse needs subscribe"
        assert problem("prefix=x") == "action sse needs subscribe"

    def test_variables_in_a_key(self) -> None:
        assert "variables cannot stand in a key" in problem("$1=x")

    def test_empty_channels(self) -> None:
        for text in ("subscribe=", "a;", ";a", "a;;b"):
            assert problem(text) == "subscribe has a channel without a name"

    def test_constants_cannot_hold_variables(self) -> None:
        for text in ("server=${qs[s]}:1", "buffer_size=$1", "retry=$1", "limit=$1", "gzip=$1", "policy=$1"):
            assert "cannot hold variables" in problem(f"subscribe=a,{text}")

    def test_bad_constants(self) -> None:
        for text, hint in (
            ("server=host", "write host:port"),
            ("server=:1", "no address to connect to"),
            ("server=h:99999", "no port 99999"),
            ("buffer_size=-1", "is not a size"),
            ("buffer_size=" + "9" * 5000, "is not a size"),
            ("retry=soon", "is not a duration"),
            ("limit=1.5", "is not a whole number"),
            ("gzip=maybe", "neither yes nor no"),
            ("policy=dorp", "did you mean drop?"),
        ):
            message = problem(f"subscribe=a,{text}")
            assert message.startswith(text.split("=")[0] + ": ")
            assert hint in message

    def test_backslash_before_a_variable(self) -> None:
        assert "a backslash before $1 means nothing" in problem(r"subscribe=a\$1")


class KindTests(SynchronousTestCase):
    def value(self, key: str, text: str) -> Any:
        return bind(f"subscribe=a,{key}={text}")[key]

    def test_sizes(self) -> None:
        for text, size in (("1", 1), ("64k", 65536), ("1m", 2**20), ("2G", 2**31), ("1kb", 1024)):
            assert self.value("buffer_size", text) == size

    def test_seconds(self) -> None:
        for text, seconds in (("20", 20.0), ("20s", 20.0), ("1m", 60.0), ("500ms", 0.5), ("0.5", 0.5), ("2h", 7200.0)):
            assert self.value("retry", text) == seconds

    def test_flags(self) -> None:
        for word in ("1", "true", "YES", "on"):
            assert self.value("gzip", word) is True
        for word in ("0", "False", "no", "off"):
            assert self.value("gzip", word) is False

    def test_servers(self) -> None:
        assert self.value("server", "[::1]:6379") == Address("::1", 6379)
        assert self.value("server", "/run/redis.sock") == Address("", 0, "/run/redis.sock")
        assert str(Address("::1", 1)) == "[::1]:1"
        assert str(Address("", 0, "/x")) == "/x"


class HoleTests(SynchronousTestCase):
    """reference/routing.md, section 8."""

    def test_hole_kv_injection(self) -> None:
        query = b"name=x,subscribe=admin,publish=admin,server=evil:1"
        values = bind("subscribe=inverted,publish=chat,prefix=${qs[name]}:", QUERY_STRING=query)
        assert values["subscribe"] == (b"inverted",)
        assert values["publish"] == (b"chat",)
        assert values["server"] is None
        assert values["prefix"] == b"x,subscribe=admin,publish=admin,server=evil:1:"

    def test_hole_mode_flip(self) -> None:
        values = bind("channel_$1", b"", b"x,subscribe=admin,server=10.0.0.1:6379")
        assert values["subscribe"] == (b"channel_x,subscribe=admin,server=10.0.0.1:6379",)
        assert values["server"] is None

    def test_hole_more_channels(self) -> None:
        assert bind("subscribe=$1", b"", b"a;admin")["subscribe"] == (b"a;admin",)

    def test_hole_empty_channel(self) -> None:
        with pytest.raises(BadArgument) as caught:
            bind("a;$1")
        assert isinstance(caught.value, ProtocolError)
        assert caught.value.status == 400


class PropertyTests(SynchronousTestCase):
    @given(st.text(alphabet=r"=,;\$1{}[]qs abcdefghisubscribeprefixserver:0", max_size=60) | st.text(max_size=60))
    def test_only_config_errors(self, text: str) -> None:
        try:
            arguments = parseArguments(SSE, text)
        except ConfigError:
            return
        arguments.describe()
        try:
            values = arguments.bind(Exchange(Variables({}), (b"x", b"y")))
        except BadArgument:
            return
        assert sorted(values) == sorted(key.name for key in SSE.keys)

    @given(st.binary(min_size=1), st.binary())
    def test_values_never_change_the_number_of_arguments(self, capture: bytes, other: bytes) -> None:
        values = bind("subscribe=a;$1,prefix=${X}|$1", b"", capture, X=other)
        assert values["subscribe"] == (b"a", capture)
        assert values["prefix"] == other + b"|" + capture
        expected = bind("subscribe=a;b,prefix=c")
        assert {key: value for key, value in values.items() if key not in ("subscribe", "prefix")} == {
            key: value for key, value in expected.items() if key not in ("subscribe", "prefix")
        }
