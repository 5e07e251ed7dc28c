"""The variables of a request, and the decoding of its path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ProtocolError
from realtime_tw.routing.paths import normalisePath, pathAndQuery
from realtime_tw.routing.variables import Surroundings, Variables, requestVariables


def variablesOf(uri: bytes, *headers: tuple[bytes, bytes], method: bytes = b"GET", secure: bool = False) -> Variables:
    return requestVariables(
        method,
        uri,
        b"HTTP/1.1",
        headers,
        peer=("192.0.2.1", 5000),
        host=("198.51.100.1", 9090),
        secure=secure,
        documentRoot=b"/srv",
    )


class RequestVariablesTests(SynchronousTestCase):
    def test_names(self) -> None:
        variables = variablesOf(
            b"/a%20b/c?x=%20", (b"Host", b"h:1"), (b"Content-Type", b"t"), (b"content-length", b"3")
        )
        assert variables.asDict() == {
            "REQUEST_METHOD": b"GET",
            "REQUEST_URI": b"/a%20b/c?x=%20",
            "PATH_INFO": b"/a b/c",
            "QUERY_STRING": b"x=%20",
            "SCRIPT_NAME": b"",
            "SERVER_PROTOCOL": b"HTTP/1.1",
            "REQUEST_SCHEME": b"http",
            "DOCUMENT_ROOT": b"/srv",
            "CONTENT_TYPE": b"t",
            "CONTENT_LENGTH": b"3",
            "REMOTE_ADDR": b"192.0.2.1",
            "REMOTE_PORT": b"5000",
            "SERVER_NAME": b"198.51.100.1",
            "SERVER_PORT": b"9090",
            "HTTP_HOST": b"h:1",
        }

    def test_secure(self) -> None:
        variables = variablesOf(b"/", secure=True)
        assert (variables["HTTPS"], variables["REQUEST_SCHEME"]) == (b"on", b"https")
        assert "HTTPS" not in variablesOf(b"/")

    def test_absent_is_empty(self) -> None:
        assert variablesOf(b"/")["NOPE"] == b""

    def test_unix_socket_has_no_peer(self) -> None:
        assert requestVariables(b"GET", b"/", b"HTTP/1.1", [])["REMOTE_ADDR"] == b""

    def test_repeated_headers_are_joined(self) -> None:
        variables = variablesOf(b"/", (b"X-A", b"1"), (b"x-a", b"2"), (b"Cookie", b"a=1"), (b"Cookie", b"b=2"))
        assert variables["HTTP_X_A"] == b"1, 2"
        assert variables["HTTP_COOKIE"] == b"a=1; b=2"

    def test_hole_underscore_spoofing(self) -> None:
        variables = variablesOf(b"/", (b"X_Real_User", b"evil"), (b"X-Real_User", b"evil"))
        assert variables["HTTP_X_REAL_USER"] == b""
        variables = variablesOf(b"/", (b"X-Real-User", b"good"), (b"X_Real_User", b"evil"))
        assert variables["HTTP_X_REAL_USER"] == b"good"

    def test_names_that_are_no_tokens_are_dropped(self) -> None:
        assert len(variablesOf(b"/", (b"a b", b"1"), (b"", b"2"), (b"\xff", b"3"))) == len(variablesOf(b"/"))

    def test_remote_user_cannot_be_sent(self) -> None:
        assert variablesOf(b"/", (b"Remote-User", b"root"))["REMOTE_USER"] == b""

    def test_absolute_targets_are_reduced(self) -> None:
        for target, path in ((b"http://h:8/a?q", b"/a"), (b"rtsp://u:p@h:8/a?q", b"/a"), (b"http://h:8?q", b"/")):
            variables = variablesOf(target, (b"Host", b"other"))
            assert (variables["PATH_INFO"], variables["QUERY_STRING"]) == (path, b"q")
            assert variables["REQUEST_URI"] == path + b"?q"
            assert variables["HTTP_HOST"] == b"h:8"

    def test_asterisk_and_connect(self) -> None:
        assert variablesOf(b"*", method=b"OPTIONS")["PATH_INFO"] == b"*"
        assert variablesOf(b"h:443", method=b"CONNECT")["PATH_INFO"] == b""

    def test_surroundings(self) -> None:
        assert Surroundings.ofProcess().pid > 0
        assert len(Surroundings().makeUuid()) == 36
        assert list(Variables({"A": b""})) == ["A"]


class PathTests(SynchronousTestCase):
    def path(self, uri: bytes) -> bytes:
        return variablesOf(uri)["PATH_INFO"]

    def test_decoding(self) -> None:
        for uri, path in (
            (b"/a+b", b"/a+b"),
            (b"/a%%b", b"/a%b"),
            (b"/a%zz", b"/a%zz"),
            (b"/a%2", b"/a%2"),
            (b"/a#b?c", b"/a"),
            (b"/a%23b", b"/a#b"),
            (b"/a%3Fb?c", b"/a?b"),
            (b"//a//b", b"/a/b"),
            (b"/f/12%0a", b"/f/12\n"),
        ):
            assert self.path(uri) == path

    def test_decoded_once(self) -> None:
        assert self.path(b"/%252e%252e/x") == b"/%2e%2e/x"

    def test_hole_encoded_dots(self) -> None:
        for uri in (b"/a/../b", b"/a/%2e%2e/b", b"/a/..%2fb", b"/a/%2e./b", b"/a%2f%2e%2e%2fb", b"/../../b", b"/./b"):
            assert self.path(uri) == b"/b"

    def test_directories_keep_their_slash(self) -> None:
        for uri, path in ((b"/a/b/..", b"/a/"), (b"/a/.", b"/a/"), (b"/..", b"/"), (b"/.", b"/"), (b"/a//..", b"/")):
            assert self.path(uri) == path

    def test_names_with_dots_stay(self) -> None:
        for uri in (b"/...", b"/.a", b"/a..", b"/..a/b"):
            assert self.path(uri) == uri

    def test_hole_nul(self) -> None:
        with pytest.raises(ProtocolError) as caught:
            variablesOf(b"/f.txt%00.html")
        assert caught.value.status == 400

    def test_targets_that_are_no_paths(self) -> None:
        for uri in (b"", b"a", b"?a", b"../etc", b"%2fetc"):
            if uri == b"%2fetc":
                assert self.path(uri) == b"/etc"
                continue
            with pytest.raises(ProtocolError):
                variablesOf(uri)

    @given(st.binary(max_size=60) | st.lists(st.sampled_from([b"/", b".", b"%2e", b"%2f", b"a", b"%"])).map(b"".join))
    def test_no_dots_survive(self, tail: bytes) -> None:
        try:
            path, _ = pathAndQuery(b"/" + tail)
        except ProtocolError:
            return
        segments = path.split(b"/")
        assert path.startswith(b"/")
        assert b".." not in segments
        assert b"." not in segments
        assert normalisePath(path) == path
