"""The ini dialect: lines, sections, includes, magic, environment, files, placeholders."""

import contextlib
import os
from collections.abc import Mapping
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ConfigError
from realtime_tw.routing.expand import MAX_VALUE, Expander, Magic
from realtime_tw.routing.ini import IniFile, loadIni
from realtime_tw.routing.values import booleanValue


class IniCase(SynchronousTestCase):
    """Files in a directory of their own."""

    def setUp(self) -> None:
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = os.path.realpath(temporary.name)

    def write(self, name: str, content: str | bytes) -> str:
        data = content if isinstance(content, bytes) else content.encode()
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        return name

    def load(self, content: str | bytes, environ: Mapping[str, str] | None = None, name: str = "routes.ini") -> IniFile:
        return loadIni(self.write(name, content), environ or {}, cwd=self.directory, hostname="box", version="1.2")

    def pairs(self, content: str | bytes, environ: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
        return [(option.key, option.value) for option in self.load(content, environ).options]

    def error(self, content: str | bytes) -> str:
        with pytest.raises(ConfigError) as caught:
            self.load(content)
        return str(caught.value)

    def notices(self, content: str) -> list[str]:
        return [str(notice) for notice in self.load(content).notices]


class LinesTests(IniCase):
    def test_first_equals_separates(self) -> None:
        assert self.pairs("[uwsgi]\nstatic-map = /=x=y\n") == [("static-map", "/=x=y")]

    def test_blanks_are_stripped_and_crlf_is_fine(self) -> None:
        assert self.pairs("[uwsgi] \r\n \t route-run  =  last: \r\n") == [("route-run", "last:")]

    def test_no_equals_is_an_empty_value(self) -> None:
        assert self.pairs("[uwsgi]\nmaster\n") == [("master", "")]

    def test_comments(self) -> None:
        assert self.pairs("[uwsgi]\n; no\n # no = no\na = b\n") == [("a", "b")]

    def test_inline_comment_is_kept_and_noticed(self) -> None:
        content = "[uwsgi]\nroute-run = log:x ; y\nroute-run = log:x # y\n"
        assert self.pairs(content)[0] == ("route-run", "log:x ; y")
        assert self.notices(content) == [
            f"routes.ini:{line}: a comment needs a line of its own: this one is part of the value" for line in (2, 3)
        ]

    def test_duplicates_keep_their_order_and_lines(self) -> None:
        options = self.load("[uwsgi]\n\nroute = a b:\nroute = c d:\n").options
        assert [(option.value, option.line) for option in options] == [("a b:", 3), ("c d:", 4)]

    def test_keys_are_case_sensitive(self) -> None:
        assert self.pairs("[uwsgi]\nROUTE = x\n") == [("ROUTE", "x")]

    def test_byte_order_mark(self) -> None:
        assert self.pairs(b"\xef\xbb\xbf[uwsgi]\na = b\n") == [("a", "b")]

    def test_not_utf8(self) -> None:
        assert self.error(b"[uwsgi]\na = b\nb = \xff\n") == "routes.ini:3: the file is not UTF-8"

    def test_missing_file(self) -> None:
        with pytest.raises(ConfigError, match=r"nowhere.ini: cannot read .*No such file"):
            loadIni("nowhere.ini", {}, cwd=self.directory)

    def test_directory(self) -> None:
        with pytest.raises(ConfigError, match="cannot read"):
            loadIni(self.directory, {})

    def test_name_that_is_no_file_name(self) -> None:
        with pytest.raises(ConfigError, match="not a file name"):
            loadIni("a\0b", {})

    def test_logic_blocks_are_refused(self) -> None:
        for key in ("for", "endfor", "for-glob", "if-env", "if-not-env", "endif", "else"):
            assert self.error(f"[uwsgi]\n{key} = x\n") == f"routes.ini:2: logic blocks ({key}) are not supported"

    def test_booleans(self) -> None:
        assert all(booleanValue(text) for text in ("", "true", "1", "yes", "foo"))
        assert not any(booleanValue(text) for text in ("false", "Off", "NO", "0"))


class SectionsTests(IniCase):
    def test_dialect(self) -> None:
        assert self.load("[uwsgi]\n").section == "uwsgi"
        assert self.load("[realtime]\n").section == "realtime"

    def test_same_grammar(self) -> None:
        assert self.pairs("[realtime]\na = %(b)\nb = 1\n") == [("a", "1"), ("b", "1")]

    def test_both(self) -> None:
        content = "[realtime]\na = 1\n[uwsgi]\na = 2\n"
        assert "choose one with routes.ini:realtime or routes.ini:uwsgi" in self.error(content)
        self.write("routes.ini", content)
        assert loadIni("routes.ini:uwsgi", {}, cwd=self.directory).options[0].value == "2"
        assert loadIni("routes.ini:realtime", {}, cwd=self.directory).options[0].value == "1"

    def test_neither(self) -> None:
        assert self.error("plugin = realtime\n") == "routes.ini:1: the file has no section [realtime] or [uwsgi]"
        assert self.error("") == "routes.ini: the file has no section [realtime] or [uwsgi]"

    def test_named_section_that_is_missing(self) -> None:
        self.write("routes.ini", "[uwsgi]\n")
        with pytest.raises(ConfigError, match=r"no section \[prod\]"):
            loadIni("routes.ini:prod", {}, cwd=self.directory)

    def test_other_sections_are_skipped(self) -> None:
        assert self.pairs("[x]\nfor = %9\n[uwsgi]\na = 1\n[y]\nb\n[uwsgi]\nc = 2\n") == [("a", "1"), ("c", "2")]

    def test_blanks_in_the_brackets_are_another_name(self) -> None:
        content = "[uwsgi]\n[ uwsgi ]\na = 1\n"
        assert self.pairs(content) == []
        assert self.notices(content) == ['routes.ini:2: "[ uwsgi ]" is not [uwsgi]: this section is not read']


class MagicTests(IniCase):
    def test_letters(self) -> None:
        content = "[uwsgi]\na = %d|%p|%s|%n|%e|%c|%v|%V|%h|%x|%%|%o\n"
        here = self.directory
        name = os.path.basename(here)
        expected = f"{here}|{here}/routes.ini|routes.ini|routes|ini|{name}|{here}|1.2|box|uwsgi|%|routes.ini"
        assert self.pairs(content) == [("a", expected)]

    def test_upper_case_is_the_first_file(self) -> None:
        self.write("sub/more.ini", "[uwsgi]\na = %s %S %n %N\n")
        assert self.pairs("[uwsgi]\nini = sub/more.ini\n") == [("a", "more.ini routes.ini more routes")]

    def test_unknown_letters_vanish_with_a_notice(self) -> None:
        content = "[uwsgi]\nroute = ^/100%$ last:\n"
        assert self.pairs(content) == [("route", "^/100 last:")]
        assert self.notices(content) == ['routes.ini:2: "%$" vanishes from the value (write %%$)']

    def test_path_components_are_refused(self) -> None:
        assert "write %%2 for a literal percent sign" in self.error("[uwsgi]\nroute = ^/a%20b$ last:\n")

    def test_doubled_percent(self) -> None:
        assert self.pairs("[uwsgi]\na = ^/a%%20b$\n") == [("a", "^/a%20b$")]

    def test_percent_at_the_end_keeps_the_newline(self) -> None:
        content = "[uwsgi]\na = 100%\nb = 2\n"
        assert self.pairs(content) == [("a", "100%"), ("b", "2")]
        assert "end of a line" in self.notices(content)[0]

    def test_comments_may_hold_anything(self) -> None:
        assert self.load("[uwsgi]\n; 100%9 %$\n").notices == ()


class ExpansionTests(IniCase):
    def test_environment(self) -> None:
        environ = {"A": "1", "E": ""}
        content = "[uwsgi]\na = $(A)|$(B)|$(B:-d)|$(B-d)|$(E:-d)|$(E-d)|$(E)|$(A:-x)|$(B:-)\n"
        assert self.pairs(content, environ) == [("a", "1|$(B)|d|d|d|||1|")]

    def test_environment_looks_like_a_regexp(self) -> None:
        assert self.pairs("[uwsgi]\nroute = ^/x$(?:a) last:\n") == [("route", "^/x$(?:a) last:")]

    def test_undecodable_environment(self) -> None:
        assert self.pairs("[uwsgi]\na = $(A)\n", {"A": "\udcff"}) == [("a", "\udcff")]

    def test_file(self) -> None:
        self.write("name", "joe\n")
        assert self.pairs("[uwsgi]\na = <@(name)>\n") == [("a", "<joe>")]

    def test_missing_file_says_how_to_write_the_character(self) -> None:
        message = self.error("[uwsgi]\nroute = ^/u@(.+)$ last:\n")
        assert message.startswith('routes.ini:2: "@(.+)" includes a file: cannot read')
        assert "[@]" in message

    def test_hole_schemes_run_programs_and_fetch_urls(self) -> None:
        for scheme in ("exec", "http", "data", "sym", "fd", "call"):
            assert "only plain files" in self.error(f"[uwsgi]\na = @({scheme}://touch x)\n")
            assert "only plain files" in self.error(f"[uwsgi]\nini = {scheme}://touch x\n")

    def test_devices_are_refused(self) -> None:
        assert "is not a plain file" in self.error("[uwsgi]\na = @(/dev/zero)\n")

    def test_placeholders(self) -> None:
        content = "[uwsgi]\na = <%(b)>\nb = 1%(c)\nc = 2\nc = 3\n"
        assert self.pairs(content)[0] == ("a", "<12>")
        assert self.load(content).placeholders == {"b", "c"}

    def test_concatenation_and_arithmetic(self) -> None:
        content = (
            "[uwsgi]\na = %(b c)|%(b + 1)|%(b - 9)|%(b * 3)|%(d / 2)|%(b ++)|%(b --)|%(b + c)\nb = 5\nc = 7\nd = -5\n"
        )
        assert self.pairs(content)[0] == ("a", "57|6|-4|15|-2|6|4|12")

    def test_division_by_zero(self) -> None:
        assert self.error("[uwsgi]\na = %(b / 0)\nb = 1\n") == "routes.ini:2: a placeholder divides by zero"

    def test_unknown_placeholder_stays_with_a_notice(self) -> None:
        content = "[uwsgi]\na = %(x)|%(b x)\nb = 1\n"
        assert self.pairs(content)[0] == ("a", "%(x)|%(b x)")
        assert self.notices(content) == [
            f"routes.ini:2: {text} names no option: it is left as it is" for text in ("%(x)", "%(b x)")
        ]

    def test_loop(self) -> None:
        assert "a loop: b -> a -> b" in self.error("[uwsgi]\na = %(b)\nb = %(a)\n")

    def test_values_cannot_multiply(self) -> None:
        lines = [f"v{number} = %(v{number + 1})%(v{number + 1})" for number in range(64)]
        assert f"beyond {MAX_VALUE}" in self.error("\n".join(["[uwsgi]", *lines, "v64 = xxxxxxxx"]))

    def test_limits(self) -> None:
        half = "x" * (MAX_VALUE // 2 + 1)
        assert "grows beyond" in self.error(f"[uwsgi]\na = %(b b)\nb = {half}\n")
        chain = [f"v{number} = %(v{number + 1})" for number in range(150)]
        assert "more than 100 deep" in self.error("\n".join(["[uwsgi]", "a = %(v0)", *chain]))
        assert "too large" in self.error("[uwsgi]\na = %(b * b)\nb = 999999999999\n")
        self.write("big", "x" * (MAX_VALUE + 1))
        assert "is larger than" in self.error("[uwsgi]\na = @(big)\n")

    def test_operand_that_is_nothing(self) -> None:
        assert self.pairs("[uwsgi]\na = %(b + x)\nb = 1\n")[0] == ("a", "%(b + x)")

    def test_set_placeholder(self) -> None:
        content = "[realtime]\nset-placeholder = base=/srv\ncheck-static = %(base)/x\n"
        assert self.pairs(content) == [("check-static", "/srv/x")]


class IncludesTests(IniCase):
    def test_spliced_in_place(self) -> None:
        self.write("b.ini", "[uwsgi]\nb = 2\n")
        for key in ("ini", "include", "inherit"):
            assert self.pairs(f"[uwsgi]\na = 1\n{key} = b.ini\nc = 3\n") == [("a", "1"), ("b", "2"), ("c", "3")]

    def test_named_section(self) -> None:
        self.write("b.ini", "[x]\nb = 2\n")
        assert self.pairs("[uwsgi]\nini = b.ini:x\n") == [("b", "2")]

    def test_section_of_the_file_last_loaded(self) -> None:
        assert self.pairs("[uwsgi]\nini = :x\n[x]\nb = 2\n") == [("b", "2")]
        self.write("b.ini", "[uwsgi]\n[x]\nb = 3\n")
        assert self.pairs("[uwsgi]\nini = b.ini\nini = :x\n") == [("b", "3")]

    def test_native_includes_native(self) -> None:
        self.write("b.ini", "[uwsgi]\nb = 2\n")
        assert self.error("[realtime]\nini = b.ini\n") == "b.ini: the file has no section [realtime]"

    def test_place_of_options_and_errors(self) -> None:
        self.write("b.ini", "[uwsgi]\n\nb = 2\n")
        option = self.load("[uwsgi]\nini = b.ini\n").options[0]
        assert (option.file, option.line) == ("b.ini", 3)
        self.write("b.ini", "[uwsgi]\n\nfor = 2\n")
        assert self.error("[uwsgi]\nini = b.ini\n").startswith("b.ini:3: ")
        assert self.error("[uwsgi]\nini = c.ini\n").startswith("routes.ini:2: cannot read")

    def test_nothing_to_include(self) -> None:
        assert "names no file" in self.error("[uwsgi]\nini =\n")
        assert "needs name=value" in self.error("[uwsgi]\nset-ph = x\n")

    def test_placeholders_in_the_name(self) -> None:
        self.write("b.ini", "[uwsgi]\nb = 2\n")
        assert self.pairs("[uwsgi]\nset-ph = n=b\nini = %(n).ini\n") == [("b", "2")]

    def test_cycle(self) -> None:
        self.write("b.ini", "[uwsgi]\nini = routes.ini\n")
        assert self.error("[uwsgi]\nini = b.ini\n") == 'b.ini:2: "routes.ini" includes itself'

    def test_too_many(self) -> None:
        for number in range(9):
            self.write(f"{number}.ini", "[uwsgi]\n" + f"ini = {number + 1}.ini\n" * 4)
        self.write("9.ini", "[uwsgi]\n")
        assert "more than 256 files" in self.error("[uwsgi]\nini = 0.ini\n")

    def test_too_deep(self) -> None:
        for number in range(40):
            self.write(f"{number}.ini", f"[uwsgi]\nini = {number + 1}.ini\n")
        assert "more than 32 deep" in self.error("[uwsgi]\nini = 0.ini\n")


class PropertyTests(SynchronousTestCase):
    @given(st.text(alphabet="[]=;#%$@(){}:-+ \n\r\tabdinrusgwet0123/\0é", max_size=200))
    def test_only_config_errors(self, text: str) -> None:
        with TemporaryDirectory() as directory:
            with open(os.path.join(directory, "r.ini"), "wb") as file:
                file.write(b"[uwsgi]\n" + text.encode())
            with contextlib.suppress(ConfigError):
                loadIni("r.ini", {"a": "%(b)"}, cwd=directory)

    @given(st.text(), st.text())
    def test_expansion_only_raises_config_errors(self, name: str, value: str) -> None:
        with contextlib.suppress(ConfigError):
            Magic.forFile("r.ini", "r.ini", "uwsgi", "/", "h", "v").expand(value)
            Expander([(name, value), ("a", "%(b c)")], {}, "/nowhere").expand(f"$({name})%({name}) {value}")
