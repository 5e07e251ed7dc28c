"""What each built-in action does to a request."""

import os
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ConfigError
from realtime_tw.routing.arguments import BadArgument
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.variables import Variables
from realtime_tw.routing.verbs import buildVerb
from realtime_tw.routing.verdicts import Close, Continue, Jump, Reply, ServeFile, Verdict


def run(action: str, *captures: bytes, **values: bytes) -> Any:
    """The verdict of one action, and the exchange it acted on."""
    exchange = Exchange(Variables(values), captures)
    name, _, text = action.partition(":")
    verb = buildVerb(name, text)
    assert verb is not None
    return verb.effect(exchange), exchange


def verdict(action: str, *captures: bytes, **values: bytes) -> Verdict | Jump | None:
    result: Verdict | Jump | None = run(action, *captures, **values)[0]
    return result


def after(action: str, *captures: bytes, **values: bytes) -> Exchange:
    result, exchange = run(action, *captures, **values)
    assert result is None
    assert isinstance(exchange, Exchange)
    return exchange


def problem(action: str) -> str:
    name, _, text = action.partition(":")
    with pytest.raises(ConfigError) as caught:
        buildVerb(name, text)
    return str(caught.value)


class FlowTests(SynchronousTestCase):
    def test_last_and_continue(self) -> None:
        assert verdict("last:") == verdict("continue:ignored") == Continue()

    def test_goto(self) -> None:
        assert verdict("goto:a$1", b"", b"b") == Jump(b"ab")

    def test_bare_break(self) -> None:
        assert verdict("break:") == Close()

    def test_break_with_status(self) -> None:
        plain = ((b"Content-Type", b"text/plain"),)
        assert verdict("break:404") == Reply(404, b"Not Found", plain, b"", close=True)
        assert verdict("break:403 Any $1 text", b"", b"x") == Reply(403, b"Any $1 text", plain, b"", close=True)
        assert verdict("break:599") == Reply(599, b"Unknown", plain, b"", close=True)

    def test_return(self) -> None:
        for name in ("return", "break-with-status"):
            reply = verdict(f"{name}:404")
            assert isinstance(reply, Reply)
            assert (reply.status, reply.body) == (404, b"Not Found")
        reply = verdict("return:204")
        assert isinstance(reply, Reply)
        assert reply.body == b""

    def test_bad_statuses(self) -> None:
        for action in ("break:4", "break:100", "break:799", "break:abc", "return:", "return:4040", "clearheaders:OK"):
            assert "is not a status" in problem(action)
        assert "is not a status" in problem("break:403 a\r\nX: y")

    def test_idle(self) -> None:
        for name in ("signal", "harakiri", "setmodifier1", "flush", "setapp", "setprocname", "donotoffload"):
            assert verdict(f"{name}:1") is None

    def test_unknown(self) -> None:
        assert buildVerb("nope", "") is None


class LogTests(SynchronousTestCase):
    def test_log(self) -> None:
        assert after("log:<$1>", b"", b"x").logLines == ["<x>"]

    def test_hole_log_injection(self) -> None:
        assert after("log:$1", b"", b"a\r\nb\x1b[0m\xff").logLines == ["a\\x0d\\x0ab\\x1b[0m\\xff"]

    def test_donotlog_and_logvar(self) -> None:
        assert after("donotlog:").isLogged is False
        assert after("logvar:k=v=$1", b"", b"x").logVariables == {b"k": b"v=x"}
        assert "logvar:NAME=value" in problem("logvar:k")


class HeaderTests(SynchronousTestCase):
    def test_add(self) -> None:
        assert after("addheader:X-A: b:$1", b"", b"c").addedHeaders == [(b"X-A", b"b:c")]
        assert after("addheader:X-A:b").addedHeaders == [(b"X-A", b"b")]
        assert after("addheader:X-A:").addedHeaders == [(b"X-A", b"")]

    def test_malformed(self) -> None:
        assert "written Name: value" in problem("addheader:nonsense")
        for action in ("addheader:a b: c", "addheader:: c", "addheader:$1: c", "remheader:${X}", "remheader:"):
            assert "is not the name of a header" in problem(action)
        assert "line break" in problem("addheader:A: b\nC: d")

    def test_hole_header_splitting(self) -> None:
        for value in (b"a\r\nX: y", b"a\nb", b"a\rb", b"a\0b"):
            with pytest.raises(BadArgument):
                run("addheader:X: $1", b"", value)

    def test_remove(self) -> None:
        assert after("remheader:X-A").removedHeaders == after("delheader:x-a").removedHeaders == {b"x-a"}

    def test_clear_and_disable(self) -> None:
        assert after("clearheaders:200 OK").clearedStatus == (200, b"OK")
        assert after("resetheaders:201").clearedStatus == (201, b"Created")
        assert after("disableheaders:").headersDisabled is True


class BodyTests(SynchronousTestCase):
    def test_send(self) -> None:
        assert after("send:a$1", b"", b"\r\n").sent == [b"a\r\n"]
        assert after("send-crnl:a").sent == [b"a\r\n"]


class RedirectTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        for action, status, body in (
            ("redirect", 302, b"Moved"),
            ("redirect-302", 302, b"Moved"),
            ("redirect-permanent", 301, b"Moved Permanently"),
            ("redirect-301", 301, b"Moved Permanently"),
        ):
            reply = verdict(f"{action}:http://h/$1", b"", b"x")
            assert isinstance(reply, Reply)
            assert (reply.status, reply.body) == (status, body)
            assert dict(reply.headers)[b"Location"] == b"http://h/x"

    def test_hole_redirect_splitting(self) -> None:
        for value in (b"\r\nSet-Cookie: a=b", b"\n", b"\0"):
            with pytest.raises(BadArgument):
                run("redirect:/$1", b"", value)

    def test_decoded_text_is_encoded_again(self) -> None:
        reply = verdict("redirect:/$1", b"", b"a b\xc3\xa9%20")
        assert isinstance(reply, Reply)
        assert dict(reply.headers)[b"Location"] == b"/a%20b%C3%A9%20"

    def test_empty(self) -> None:
        assert "needs a URL" in problem("redirect:")


class VariableTests(SynchronousTestCase):
    def test_each_sets_one(self) -> None:
        for action, name in (
            ("setmethod", "REQUEST_METHOD"),
            ("setpathinfo", "PATH_INFO"),
            ("seturi", "REQUEST_URI"),
            ("setuser", "REMOTE_USER"),
            ("setscriptname", "SCRIPT_NAME"),
            ("setscheme", "REQUEST_SCHEME"),
            ("setremoteaddr", "REMOTE_ADDR"),
            ("setdocroot", "DOCUMENT_ROOT"),
        ):
            assert after(f"{action}:/a:$1?b", b"", b"x").variables.asDict() == {name: b"/a:x?b"}

    def test_addvar(self) -> None:
        assert after("addvar:K$1=v=$1", b"", b"x").variables.asDict() == {"K$1": b"v=x"}
        assert "addvar:NAME=value" in problem("addvar:K")
        assert "addvar:NAME=value" in problem("addvar:=v")

    def test_hole_dots_in_a_made_path(self) -> None:
        assert after("setpathinfo:/files/$1", b"", b"../../etc/x").variables["PATH_INFO"] == b"/etc/x"
        assert after("rewrite:/files/$1", b"", b"../x").variables["PATH_INFO"] == b"/x"

    def test_hole_nul_in_a_made_path(self) -> None:
        for action in ("setpathinfo:/$1", "rewrite:/$1", "static:/srv/$1", "file:/srv/$1"):
            with pytest.raises(BadArgument):
                run(action, b"", b"a\0b")


class RewriteTests(SynchronousTestCase):
    def rewritten(self, action: str, *captures: bytes, **values: bytes) -> tuple[bytes, bytes]:
        values = {"QUERY_STRING": b"old=1", "REQUEST_URI": b"/raw", **values}
        variables = after(action, *captures, **values).variables
        assert variables["REQUEST_URI"] == b"/raw"
        return variables["PATH_INFO"], variables["QUERY_STRING"]

    def test_path_and_query(self) -> None:
        assert self.rewritten("rewrite:/p") == (b"/p", b"old=1")
        assert self.rewritten("rewrite:/p?q=2") == (b"/p", b"q=2&old=1")
        assert self.rewritten("rewrite:/p?q=2", QUERY_STRING=b"") == (b"/p", b"q=2")
        assert self.rewritten("rewrite:/p?") == (b"/p", b"old=1")

    def test_own_text_is_decoded(self) -> None:
        assert self.rewritten("rewrite:/a%20b")[0] == b"/a b"

    def test_hole_double_decoding(self) -> None:
        assert self.rewritten("rewrite:/x/$1", b"", b"%2e%2e/y")[0] == b"/x/%2e%2e/y"

    def test_hole_query_injection(self) -> None:
        path, query = self.rewritten("rewrite:/p?room=$1&role=guest", b"", b"a&role=admin#x \n")
        assert path == b"/p"
        assert query == b"room=a%26role=admin%23x%20%0A&role=guest&old=1"

    def test_question_mark_of_a_value_stays_in_the_path(self) -> None:
        assert self.rewritten("rewrite:/p/$1", b"", b"a?b=c") == (b"/p/a?b=c", b"old=1")

    def test_whole_queries_are_taken(self) -> None:
        assert self.rewritten("rewrite:/p?$1", b"", b"a=1&b=2")[1] == b"a=1&b=2&old=1"
        assert self.rewritten("rewrite:/p?x=1&${QUERY_STRING}", QUERY_STRING=b"a&b")[1] == b"x=1&a&b&a&b"

    def test_last(self) -> None:
        result, exchange = run("rewrite-last:/p")
        assert result == Continue()
        assert exchange.variables["PATH_INFO"] == b"/p"

    def test_empty(self) -> None:
        for action in ("rewrite:", "rewrite:?a=b"):
            assert "needs a path" in problem(action)


class FileTests(SynchronousTestCase):
    def test_static(self) -> None:
        assert verdict("static:/srv/f.txt") == ServeFile(b"/srv/f.txt", b"/srv")
        assert verdict("static:f.txt") == ServeFile(b"f.txt", b".")
        assert verdict("static:/srv/$1", b"", b"a/b") == ServeFile(b"/srv/a/b", b"/srv")
        assert verdict("static:./$1", b"", b"a") == ServeFile(b"./a", b".")
        assert verdict("static:${DOCUMENT_ROOT}/$1", b"", b"a", DOCUMENT_ROOT=b"/srv") == ServeFile(b"/srv/a", b"/srv")

    def test_hole_outside_of_the_directory(self) -> None:
        for name in ("static", "file", "sendfile", "fastfile"):
            for directory, value in (
                ("/srv/www/", b"../secret"),
                ("/srv/www/", b"a/../../www-secret/f"),
                ("./", b"../x"),
                ("./", b".."),
                ("a/", b"../../x"),
            ):
                result, exchange = run(f"{name}:{directory}$1", b"", value)
                assert isinstance(result, Reply)
                assert result.status == 404
                assert len(exchange.logLines) == 1

    def test_hole_no_directory(self) -> None:
        for action in ("static:$1", "static:/$1", "static:${qs[f]}", "file:filename=$1", "static:x$1"):
            assert "must begin with a directory" in problem(action)
        assert "a path is needed" in problem("static:")
        for root in (b"", b"/"):
            reply = verdict("static:${DOCUMENT_ROOT}/$1", b"", b"etc/passwd", DOCUMENT_ROOT=root)
            assert isinstance(reply, Reply)

    def test_static_next(self) -> None:
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        directory = temporary.name
        with open(os.path.join(directory, "f"), "w"):
            pass
        root = directory.encode()
        assert verdict(f"static-next:{directory}/$1", b"", b"f") == ServeFile(root + b"/f", root)
        assert verdict(f"static-next:{directory}/$1", b"", b"g") is None
        assert verdict(f"static-next:{directory}/$1", b"", b"../x") is None

    def test_files(self) -> None:
        assert verdict("file:/srv/a.png") == ServeFile(b"/srv/a.png", b"/srv", 200, b"text/html")
        assert verdict("file:filename=/srv/a.png,mime=1") == ServeFile(b"/srv/a.png", b"/srv")
        assert verdict("sendfile:/srv/a.png") == verdict("fastfile:/srv/a.png") == ServeFile(b"/srv/a.png", b"/srv")
        assert verdict("file:filename=/srv/a,status=404,content_type=$1", b"", b"a/b") == ServeFile(
            b"/srv/a", b"/srv", 404, b"a/b"
        )

    def test_bad_files(self) -> None:
        assert "is not a status" in problem("file:filename=/a/b,status=1")
        assert "unknown key" in problem("file:filename=/a/b,no_headers=1")
        with pytest.raises(BadArgument):
            run("file:filename=/srv/a,content_type=$1", b"", b"a\r\nb")

    @given(st.lists(st.sampled_from([b"..", b".", b"/", b"a", b"srv", b"www"])).map(b"".join))
    def test_nothing_leaves_the_directory(self, value: bytes) -> None:
        result = verdict("static:/srv/www/$1", b"", value)
        if isinstance(result, ServeFile):
            assert (os.path.normpath(result.path) + b"/").startswith(b"/srv/www/")
