"""basicauth and htpasswd files."""

import base64
import hashlib
import os
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ConfigError
from realtime_tw.routing.basicauth import parseBasic
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.htpasswd import MAX_FILE, HtpasswdFile, md5Crypt, parseEntry
from realtime_tw.routing.variables import Variables
from realtime_tw.routing.verbs import buildVerb
from realtime_tw.routing.verdicts import Reply


def exchangeFor(credentials: bytes | None, **values: bytes) -> Exchange:
    if credentials is not None:
        values["HTTP_AUTHORIZATION"] = b"Basic " + base64.b64encode(credentials)
    return Exchange(Variables(values))


def outcome(argument: str, credentials: bytes | None, name: str = "basicauth", **values: bytes) -> bytes | Reply:
    """The refusal, or the user's name."""
    verb = buildVerb(name, argument)
    assert verb is not None
    exchange = exchangeFor(credentials, **values)
    result = verb.effect(exchange)
    if result is None:
        return exchange.variables["REMOTE_USER"]
    assert isinstance(result, Reply)
    return result


def problem(argument: str) -> str:
    with pytest.raises(ConfigError) as caught:
        buildVerb("basicauth", argument)
    return str(caught.value)


class SingleUserTests(SynchronousTestCase):
    def test_right(self) -> None:
        assert outcome("realm,joe:a:b$1", b"joe:a:b$1") == b"joe"

    def test_wrong(self) -> None:
        for credentials in (b"joe:x", b"jo:pw", b"joe:", b"joe", b":pw", b"", None):
            assert isinstance(outcome("realm,joe:pw", credentials), Reply)

    def test_challenge(self) -> None:
        reply = outcome('a "b" \\,joe:pw', None)
        assert isinstance(reply, Reply)
        assert (reply.status, reply.reason) == (401, b"Unauthorized")
        assert dict(reply.headers)[b"WWW-Authenticate"] == b'Basic realm="a \\"b\\" \\\\"'

    def test_empty_password_is_the_only_one(self) -> None:
        assert outcome("realm,joe:", b"joe:") == b"joe"
        assert isinstance(outcome("realm,joe:", b"joe:x"), Reply)

    def test_nobody(self) -> None:
        for credentials in (None, b"joe:pw", b"joe:"):
            assert isinstance(outcome("realm,", credentials), Reply)

    def test_known_user_passes(self) -> None:
        assert outcome("realm,", None, REMOTE_USER=b"ann") == b"ann"

    def test_next(self) -> None:
        assert outcome("realm,joe:pw", b"joe:x", "basicauth-next") == b""
        assert outcome("realm,joe:pw", b"joe:pw", "basicauth-next") == b"joe"
        assert isinstance(outcome("realm,joe:pw", None, "basicauth-next"), Reply)

    def test_bad_arguments(self) -> None:
        assert "written basicauth:realm,user:password" in problem("realm")
        assert "needs a user" in problem("realm,:pw")
        assert "line break" in problem("a\nb,joe:pw")

    def test_password_is_not_shown(self) -> None:
        verb = buildVerb("basicauth", "realm,joe:secret")
        assert verb is not None
        assert verb.shown == "realm,joe:***"

    @given(st.binary())
    def test_headers_never_raise(self, header: bytes) -> None:
        parseBasic(header)
        parseBasic(b"Basic " + header)


class FormatTests(SynchronousTestCase):
    def test_right_and_wrong(self) -> None:
        for entry, password in (
            (b"{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", b"password"),
            (b"{SSHA}" + base64.b64encode(hashlib.sha1(b"pw" + b"salt").digest() + b"salt"), b"pw"),
            (b"{PLAIN}pw", b"pw"),
            # Both as "openssl passwd" writes them.
            (b"$apr1$TqI9WECO$pYz4P0XYK0ExAbW8VAWyc.", b"myPassword"),
            (b"$1$abcdefgh$IQtUouv7y7Q9dRWkQEPCc.", b"pw"),
        ):
            assert parseEntry(entry)(password), entry
            assert not parseEntry(entry)(password + b"x")
            assert not parseEntry(entry)(b"")

    def test_damaged(self) -> None:
        for entry in (b"{SHA}x", b"{SHA}aaaa", b"{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", b"$apr1$x", b"{NOPE}x", b"$9$x"):
            with pytest.raises(ConfigError, match="damaged or of an unknown format"):
                parseEntry(entry)

    def test_not_verifiable(self) -> None:
        for entry, what in ((b"$2y$05$abc", "bcrypt"), (b"$6$a$b", "SHA-crypt"), (b"rqXexS6ZhobKA", "crypt passwords")):
            with pytest.raises(ConfigError, match=what):
                parseEntry(entry)

    @given(st.binary(max_size=80))
    def test_md5_crypt_has_a_shape(self, password: bytes) -> None:
        assert len(md5Crypt(password, b"salt", b"$apr1$")) == 22


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.path = os.path.join(temporary.name, "htpasswd")

    def write(self, content: bytes) -> str:
        with open(self.path, "wb") as file:
            file.write(content)
        return self.path

    def test_users(self) -> None:
        path = self.write(b"# people\n\njoe:{PLAIN}pw\nann:{PLAIN}other\r\n")
        assert outcome(f"realm,{path}", b"joe:pw") == b"joe"
        assert outcome(f"realm,{path}", b"ann:other") == b"ann"
        for credentials in (b"joe:other", b"bob:pw", None):
            assert isinstance(outcome(f"realm,{path}", credentials), Reply)

    def test_missing(self) -> None:
        assert "cannot read" in problem("realm,/nowhere/htpasswd")
        assert "not a file name" in problem("realm,a\0b")

    def test_too_large(self) -> None:
        assert "is larger than" in problem(f"realm,{self.write(b'#' * (MAX_FILE + 1))}")

    def test_entries_have_a_place(self) -> None:
        path = self.write(b"joe:{PLAIN}pw\nann:rqXexS6ZhobKA\n")
        assert problem(f"realm,{path}").startswith(f"{path}:2: ")
        self.write(b"joe\n")
        assert "written user:password" in problem(f"realm,{path}")

    def test_read_again_when_it_changes(self) -> None:
        path = self.write(b"joe:{PLAIN}pw\n")
        file = HtpasswdFile(path)
        assert file.verifier(b"joe") is not None
        self.write(b"ann:{PLAIN}longer\n")
        os.utime(path, (1, 1))
        assert file.verifier(b"joe") is None
        assert file.verifier(b"ann") is not None

    def test_damaged_while_running(self) -> None:
        path = self.write(b"joe:{PLAIN}pw\n")
        verb = buildVerb("basicauth", f"realm,{path}")
        assert verb is not None
        self.write(b"joe:damaged entry\n")
        os.utime(path, (1, 1))
        exchange = exchangeFor(b"joe:pw")
        assert verb.effect(exchange) is None
        assert "crypt passwords" in exchange.logLines[0]

    def test_gone_while_running(self) -> None:
        path = self.write(b"joe:{PLAIN}pw\n")
        verb = buildVerb("basicauth", f"realm,{path}")
        assert verb is not None
        os.unlink(path)
        exchange = exchangeFor(b"joe:pw")
        assert isinstance(verb.effect(exchange), Reply)
        assert "cannot read" in exchange.logLines[0]
        self.write(b"joe:{PLAIN}pw\n")
        assert verb.effect(exchange) is None
