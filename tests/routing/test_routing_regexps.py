"""PCRE patterns: what is translated, what is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ConfigError
from realtime_tw.routing.regexps import MAX_PATTERN, compileRegexp


def matches(pattern: str, subject: bytes) -> bytes | None:
    match = compileRegexp(pattern).search(subject)
    return None if match is None else match[0]


class SemanticsTests(SynchronousTestCase):
    def test_unanchored_and_case_sensitive(self) -> None:
        assert matches("b", b"abc") == b"b"
        assert matches("B", b"abc") is None

    def test_dollar_before_a_final_newline(self) -> None:
        match = compileRegexp(r"^/f/(\d+)$").search(b"/f/12\n")
        assert match is not None
        assert match[1] == b"12"
        assert matches("a$", b"a\nb") is None

    def test_dot_stops_at_a_newline(self) -> None:
        assert matches("a.b", b"a\nb") is None

    def test_bytes_and_ascii(self) -> None:
        assert matches(r"\d", "٣".encode()) is None
        assert matches(r"\w", b"\xe9") is None
        assert matches("é", "é".encode()) == "é".encode()
        assert matches("^.$", "é".encode()) is None
        assert matches(r"(?i)é", "É".encode()) is None

    def test_empty_pattern(self) -> None:
        assert matches("", b"x") == b""


class TranslationTests(SynchronousTestCase):
    def test_table(self) -> None:
        cases: list[tuple[str, bytes, bytes | None]] = [
            (r"a\z", b"a\n", None),
            (r"a\z", b"ba", b"a"),
            (r"a\Z", b"a\n", b"a"),
            (r"a\Z", b"a", b"a"),
            (r"a\Z", b"a\n\n", None),
            (r"\Aa", b"ba", None),
            (r"a\h+b", b"a \t\xa0b", b"a \t\xa0b"),
            (r"\H+", b" ab ", b"ab"),
            (r"\v+", b"a\x0b\r\n\x85b", b"\x0b\r\n\x85"),
            (r"\V+", b"\nab\n", b"ab"),
            (r"^\R$", b"\r\n", b"\r\n"),
            (r"\R\n", b"\r\n", None),
            (r"^\B$", b"", b""),
            (r"\N+", b"\nab\n", b"ab"),
            (r"[\h\v]+", b"a \n", b" \n"),
            (r"[\H]+", b" a", b"a"),
            (r"[^\V]", b"a\n", b"\n"),
            (r"\Qa.b[\E.", b"a.b[c", b"a.b[c"),
            (r"\Q(", b"(", b"("),
            (r"[\Q^]\E]+", b"a^]", b"^]"),
            (r"a\Eb", b"ab", b"ab"),
            (r"\e\a", b"\x1b\x07", b"\x1b\x07"),
            (r"\x{41}\x42\x4", b"AB\x04", b"AB\x04"),
            (r"\cA\0\012\o{101}", b"\x01\x00\nA", b"\x01\x00\nA"),
            (r"\101", b"A", b"A"),
            (r"[\101\b]+", b"A\x08", b"A\x08"),
            (r"(a)\1", b"aa", b"aa"),
            (r"(a)\g1\g{1}\g{-1}", b"aaaa", b"aaaa"),
            (r"(?<n>a)\k<n>\k{n}\k'n'(?P=n)", b"aaaaa", b"aaaaa"),
            (r"(?'n'a)(?P<m>b)", b"ab", b"ab"),
            (r"(a)?(?(1)b|c)", b"ab", b"ab"),
            (r"(?<n>a)?(?(<n>)b|c)", b"c", b"c"),
            (r"[[:alpha:][:digit:]]+", b"-a1-", b"a1"),
            (r"[[:^alpha:]]+", b"a-1a", b"-1"),
            (r"[^[:space:]]+", b" a ", b"a"),
            (r"[]a]+", b"]a", b"]a"),
            (r"[^]a]+", b"]b", b"b"),
            (r"[[]", b"[", b"["),
            (r"[\]\-\x41]+", b"]-A", b"]-A"),
            (r"[[:]+", b"[:", b"[:"),
            (r"[a&&b|~]+", b"&|~", b"&|~"),
            (r"[+--]+", b"+,-", b"+,-"),
            (r"a{,3}", b"a{,3}", b"a{,3}"),
            (r"a{2}b{1,}c{1,2}", b"aabcc", b"aabcc"),
            (r"a{x", b"a{x", b"a{x"),
            (r"a++b", b"aab", b"aab"),
            (r"(?>a+)a", b"aaa", None),
            (r"(?i)abc", b"ABC", b"ABC"),
            (r"a(?i)b", b"aB", b"aB"),
            (r"a(?i)b", b"AB", None),
            (r"(a(?i)b|c)d", b"Cd", b"Cd"),
            (r"(a(?i)b|c)d", b"CD", None),
            (r"((?i)a(?-i)b)c", b"Abc", b"Abc"),
            (r"((?i)a(?-i)b)c", b"ABc", None),
            (r"(?i:a)b", b"Ab", b"Ab"),
            (r"(?s)a.b", b"a\nb", b"a\nb"),
            (r"(?m)^b$", b"a\nb\nc", b"b"),
            (r"a(?#comment)b", b"ab", b"ab"),
            (r"(?<=a)b(?!c)(?=d)(?<!x)", b"abd", b"b"),
            (r"\.\-\/\_", b".-/_", b".-/_"),
        ]
        for pattern, subject, expected in cases:
            assert matches(pattern, subject) == expected, pattern

    def test_groups_are_numbered_as_written(self) -> None:
        match = compileRegexp(r"(?i)(a)(?:b)(?<c>c)(?#(d)(e)").search(b"ABCE")
        assert match is not None
        assert match.groups() == (b"A", b"C", b"E")


class RefusalTests(SynchronousTestCase):
    def test_pcre_only(self) -> None:
        for pattern in (
            r"a\Kb",
            r"\G",
            r"\X",
            r"\C",
            r"\pL",
            r"(?R)",
            r"(?1)",
            r"(?&n)",
            r"(?P>n)",
            r"(?|a|b)",
            r"(?C1)",
            r"(*FAIL)",
            r"(?x)a",
            r"(?J)a",
            r"(?(DEFINE)a)",
            r"\g<n>",
            r"\N{U+41}",
            r"[[.a.]]",
        ):
            with pytest.raises(ConfigError, match="not supported"):
                compileRegexp(pattern)

    def test_python_only(self) -> None:
        for pattern in (r"(?a)x", r"(?L)x", r"(?u:x)"):
            with pytest.raises(ConfigError):
                compileRegexp(pattern)

    def test_wrong(self) -> None:
        for pattern in (
            "(",
            ")",
            "[a",
            "a**",
            "*",
            "\\",
            r"\x{100}",
            r"[[:nope:]]",
            r"a{99999}",
            r"\12",
            r"\g{-1}",
            r"(?#x",
            r"(?<n>a)(?<n>b)",
            r"(a)\2",
            "(" * 5000,
            "(" * 4000 + ")" * 4000,
            "a" * (MAX_PATTERN + 1),
        ):
            with pytest.raises(ConfigError):
                compileRegexp(pattern)

    def test_message_names_the_pattern(self) -> None:
        with pytest.raises(ConfigError, match=r'bad regexp "\^\(a": a parenthesis is not closed'):
            compileRegexp("^(a")

    @given(
        st.text(alphabet=r"\()[]{}?*+|^$.<>=!:'#&~-,abcdeghikmnoxzAEHKNQRVZ0123 ", max_size=40) | st.text(max_size=40)
    )
    def test_only_config_errors(self, pattern: str) -> None:
        with contextlib.suppress(ConfigError):
            compileRegexp(pattern)
