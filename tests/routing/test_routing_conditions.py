"""The conditions of route-if."""

import os
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ConfigError
from realtime_tw.routing.conditions import CONDITIONS, leadingNumber, parseCondition
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.variables import Variables


def holds(text: str, **values: bytes) -> bool:
    return parseCondition(text).holds(Exchange(Variables(values)))


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parseCondition(text)
    return str(caught.value)


class ComparisonTests(SynchronousTestCase):
    def test_equality(self) -> None:
        for name in ("equal", "isequal", "eq", "=="):
            assert holds(f"{name}:${{A}};x", A=b"x")
            assert not holds(f"{name}:${{A}};x", A=b"X")

    def test_both_sides_are_substituted(self) -> None:
        assert holds("equal:${A};${B}", A=b"x", B=b"x")

    def test_first_semicolon_separates(self) -> None:
        assert holds("equal:a;a;b") is False
        assert holds("equal:${A};a;b", A=b"a;b")

    def test_ends(self) -> None:
        assert holds("startswith:abc;ab")
        assert not holds("startswith:abc;b")
        assert holds("endswith:abc;bc")
        assert not holds("endswith:abc;b")
        assert holds("startswith:x;")
        assert holds("endswith:x;")

    def test_contains(self) -> None:
        for name in ("contains", "contain"):
            assert holds(f"{name}:aab;ab")
            assert not holds(f"{name}:aab;ba")
            assert not holds(f"{name}:aab;")

    def test_numbers(self) -> None:
        for text, expected in (
            ("ishigher:10;9", True),
            (">:10;10", False),
            ("ishigherequal:10;10", True),
            (">=:9;10", False),
            ("islower:-1;0", True),
            ("<:0;x", False),
            ("islowerequal:x;0", True),
            ("<=:5 apples;5", True),
        ):
            assert holds(text) is expected, text

    def test_hole_huge_numbers(self) -> None:
        assert holds("ishigher:${A};5", A=b"9" * 10_000)
        assert leadingNumber(b"0" * 5000 + b"7") == 7
        assert leadingNumber(b" -12x") == -12
        assert leadingNumber(b"-" + b"9" * 30) == -(2**63 - 1)

    def test_empty(self) -> None:
        assert holds("empty:${A}")
        assert not holds("empty:${A}", A=b"0")


class RegexpTests(SynchronousTestCase):
    def test_captures(self) -> None:
        exchange = Exchange(Variables({"A": b"xay"}))
        assert parseCondition("regexp:${A};(a)(b)?").holds(exchange)
        assert list(exchange.captures) == [b"a", b"a", b""]

    def test_right_side_is_taken_as_it_stands(self) -> None:
        assert holds("re:a;b;c") is False
        assert holds("re:${A};^b;c$", A=b"b;c")
        assert holds("re:${A};^$", A=b"")

    def test_bad_pattern(self) -> None:
        assert problem("regexp:x;(") == 'bad regexp "(": a parenthesis is not closed'


class NetworkTests(SynchronousTestCase):
    def test_version_four(self) -> None:
        for address, network, expected in (
            (b"10.1.2.3", "10.0.0.0/8", True),
            (b"10.1.2.3", "10.9.9.9/8", True),
            (b"11.1.2.3", "10.0.0.0/8", False),
            (b"10.1.2.3", "10.1.2.3", True),
            (b"10.1.2.3", "10.1.2.4", False),
            (b"::1", "0.0.0.0/0", False),
            (b"nonsense", "0.0.0.0/0", False),
            (b"", "0.0.0.0/0", False),
            (b"1" * 500, "0.0.0.0/0", False),
            (b"\xff", "0.0.0.0/0", False),
        ):
            assert holds(f"ipv4in:${{A}};{network}", A=address) is expected

    def test_hole_mapped_addresses(self) -> None:
        assert holds("ipv4in:${A};10.0.0.0/8", A=b"::ffff:10.1.2.3")
        assert not holds("ipv4in:${A};10.0.0.0/8", A=b"::ffff:11.1.2.3")

    def test_version_six(self) -> None:
        assert holds("ipv6in:${A};2001:db8::/32", A=b"2001:db8::1")
        assert not holds("ipv6in:${A};2001:db8::/32", A=b"2001:db9::1")
        assert not holds("ipv6in:${A};::/0", A=b"10.0.0.1")
        assert holds("ipv6in:${A};fe80::/10", A=b"fe80::1%eth0")

    def test_networks_with_variables(self) -> None:
        assert holds("ipv4in:10.0.0.1;${N}", N=b"10.0.0.0/8")
        assert not holds("ipv4in:10.0.0.1;${N}", N=b"nonsense")

    def test_bad_network(self) -> None:
        assert problem("ipv4in:${REMOTE_ADDR};10.0.0/8") == '"10.0.0/8" is not an IPv4 network'
        assert problem("ipv6in:${REMOTE_ADDR};10.0.0.0/8") == '"10.0.0.0/8" is not an IPv6 network'


class FileTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        directory = temporary.name
        file, link = os.path.join(directory, "f"), os.path.join(directory, "l")
        with open(file, "w"):
            pass
        os.symlink("f", link)
        for name, path, expected in (
            ("exists", file, True),
            ("exists", file + "x", False),
            ("isfile", file, True),
            ("isfile", directory, False),
            ("isdir", directory, True),
            ("isdir", file, False),
            ("islink", link, True),
            ("islink", file, False),
            ("isexec", "/bin/sh", True),
            ("isexec", file, False),
        ):
            assert holds(f"{name}:{path}") is expected, (name, path)

    def test_nul(self) -> None:
        for name in ("exists", "isfile", "isdir", "islink", "isexec"):
            assert not holds(f"{name}:${{A}}", A=b"/bin/sh\0x")


class ErrorTests(SynchronousTestCase):
    def test_unknown(self) -> None:
        assert problem("equals:a;b") == 'unknown condition "equals" (did you mean equal?)'

    def test_refused(self) -> None:
        assert problem("lord:x") == "condition lord is not supported: there is no legion here"
        assert problem("incache:x").startswith("condition incache is not supported")

    def test_missing_parts(self) -> None:
        assert problem("empty") == 'condition "empty" lacks its colon (write empty:...)'
        for name in ("equal", "regexp", "ipv4in", "contains"):
            assert problem(f"{name}:a") == f"condition {name} compares two things: write {name}:left;right"

    @given(st.sampled_from(sorted(CONDITIONS)), st.text(max_size=30), st.binary(max_size=30))
    def test_never_raises_at_run_time(self, name: str, text: str, value: bytes) -> None:
        for right in (text, "${A}", "a"):
            try:
                condition = parseCondition(f"{name}:${{A}};{right}")
            except ConfigError:
                continue
            condition.holds(Exchange(Variables({"A": value})))
