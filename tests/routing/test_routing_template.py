"""Templates: one pass, values never looked at again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ConfigError
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.template import Capture, Literal, Template
from realtime_tw.routing.variables import Surroundings, Variables


def render(text: str, captures: tuple[bytes, ...] = (), **values: bytes) -> bytes:
    surroundings = Surroundings(clock=lambda: 784111777.25, pid=7, workerId=3, makeUuid=lambda: "u-u")
    return Template.parse(text).render(Exchange(Variables(values, surroundings), captures))


class TemplateTests(SynchronousTestCase):
    def test_captures(self) -> None:
        assert render("$0-$1-$2", (b"all", b"one")) == b"all-one-"

    def test_one_digit(self) -> None:
        assert render("$10", (b"", b"x")) == b"x0"

    def test_no_captures_at_all(self) -> None:
        assert render("<$0$9>") == b"<>"

    def test_variables(self) -> None:
        assert render("${A}|${B}|${a}", A=b"1") == b"1||"

    def test_what_is_plain_stays(self) -> None:
        for text in ("$", "a$", "$x", "$$1", "${x", "$${A}", "a$ b", "{A}", "100%"):
            assert render(text, (b"0", b"1"), A=b"no") == text.encode()

    def test_unterminated_reference_still_has_captures(self) -> None:
        assert render("${x $1", (b"", b"one")) == b"${x one"

    def test_capture_inside_a_reference(self) -> None:
        assert render("${qs[$1]}", (b"", b"k"), QUERY_STRING=b"k=v") == b"v"
        assert render("${HTTP_$1}", (b"", b"X"), HTTP_X=b"v") == b"v"

    def test_constants(self) -> None:
        assert Template.parse("a$").isConstant
        assert Template.parse("a$").constant == b"a$"
        assert not Template.parse("$1").isConstant
        assert not Template.parse("${A}").isConstant

    def test_literals_are_merged(self) -> None:
        assert Template.parse("a$x$1").tokens == (Literal(b"a$x"), Capture(1))

    def test_text_comes_back(self) -> None:
        for text in ("a$1b${C}${qs[d]}${qs[$1x]}", "", "é"):
            assert str(Template.parse(text)) == text

    def test_non_ascii(self) -> None:
        assert render("é\udcff") == b"\xc3\xa9\xff"

    def test_lone_surrogate(self) -> None:
        with pytest.raises(ConfigError):
            Template.parse("\ud800")

    def test_unknown_function(self) -> None:
        with pytest.raises(ConfigError, match=r"unknown function \"cookies\" .*did you mean cookie\?"):
            Template.parse("${cookies[x]}")

    def test_missing_bracket(self) -> None:
        for text in ("${qs[x}", "${qs[${X}]}"):
            with pytest.raises(ConfigError, match="lacks its closing bracket"):
                Template.parse(text)

    def test_wrong_argument(self) -> None:
        with pytest.raises(ConfigError, match="did you mean unix"):
            Template.parse("${time[unixx]}")

    def test_hole_template_injection(self) -> None:
        assert render("<$1>", (b"", b"${HTTP_HOST}$0"), HTTP_HOST=b"secret") == b"<${HTTP_HOST}$0>"
        assert render("<${A}>", A=b"${B}", B=b"secret") == b"<${B}>"


class FunctionTests(SynchronousTestCase):
    def test_query(self) -> None:
        query = b"a=&a=1=2&b=%20+&c&abc=3&a=4"
        for name, value in (("a", b"1=2"), ("b", b"%20+"), ("c", b""), ("bc", b""), ("A", b"")):
            assert render(f"${{qs[{name}]}}", QUERY_STRING=query) == value

    def test_query_is_live(self) -> None:
        variables = Variables({"QUERY_STRING": b"a=1"})
        template = Template.parse("${qs[a]}")
        variables["QUERY_STRING"] = b"a=2"
        assert template.render(Exchange(variables)) == b"2"

    def test_cookie(self) -> None:
        cookies = b'a=1;  b="2 " ; c; d=x=y'
        for name, value in (("a", b"1"), ("b", b'"2 "'), ("c", b""), ("d", b"x=y"), ("e", b"")):
            assert render(f"${{cookie[{name}]}}", HTTP_COOKIE=cookies) == value

    def test_time(self) -> None:
        assert render("${time[unix]} ${time[micros]}") == b"784111777 784111777250000"

    def test_http_time(self) -> None:
        assert render("${httptime[]}") == b"Sun, 06 Nov 1994 08:49:37 GMT"
        assert render("${httptime[60]}") == b"Sun, 06 Nov 1994 08:50:37 GMT"

    def test_http_time_of_the_client(self) -> None:
        for argument in (b"9999999999", b"9" * 99, b"x", b"-9999999999"):
            render("${httptime[$1]}", (b"", argument))
        with pytest.raises(ConfigError, match="not a number of seconds"):
            Template.parse("${httptime[soon]}")

    def test_year_that_no_calendar_has(self) -> None:
        variables = Variables(surroundings=Surroundings(clock=lambda: 1e18))
        assert Template.parse("${httptime[1]}").render(Exchange(variables)) == b""

    def test_conversions(self) -> None:
        text = "${base64[A]} ${hex[A]} ${upper[A]} ${lower[A]}"
        assert render(text, A=b"aB") == b"YUI= 6142 AB ab"

    def test_mime(self) -> None:
        for path, expected in ((b"/a/b.png", b"image/png"), (b"/x.GZ", b"application/gzip"), (b"/x", b""), (b"", b"")):
            assert render("${mime[P]}", P=path) == expected
        assert render("${mime[P]}", P=b"//[.x") == b""

    def test_facts(self) -> None:
        assert render("${uwsgi[wid]} ${uwsgi[pid]} ${uwsgi[uuid]} ${uwsgi[status]} ${uwsgi[lq]}") == b"3 7 u-u 500 0"
        assert render("${uwsgi[$1]}", (b"", b"nonsense")) == b""


class PropertyTests(SynchronousTestCase):
    @given(st.text(alphabet="$${}[]0123456789qsabcookie ;,=\\é%", max_size=60) | st.text(max_size=60))
    def test_only_config_errors(self, text: str) -> None:
        try:
            template = Template.parse(text)
        except ConfigError:
            return
        assert isinstance(template.render(Exchange(Variables())), bytes)

    @given(st.binary(), st.binary())
    def test_values_are_verbatim(self, capture: bytes, value: bytes) -> None:
        assert render("<$1|${A}>", (b"", capture), A=value) == b"<" + capture + b"|" + value + b">"

    @given(st.binary(), st.sampled_from(["qs", "cookie", "httptime", "time", "base64", "mime", "uwsgi"]))
    def test_functions_never_raise(self, argument: bytes, name: str) -> None:
        query = b"a=" + argument
        render(f"${{{name}[$1]}}", (b"", argument), QUERY_STRING=query, HTTP_COOKIE=query, A=argument)
