"""Digest: the standards' examples, what ffmpeg and GStreamer sent, and what must not pass."""

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ConfigError
from realtime_tw.rtsp.digest import (
    MAX_HEADER,
    DigestCredentials,
    Nonces,
    challenge,
    makeHA1,
    parseDigest,
    verify,
)

#: Recorded: ffmpeg 5.1 and GStreamer 1.22 with the user "u" and the password "p:w".
HA1 = makeHA1("u", "real me", "p:w")
FFMPEG = (
    'Digest username="u", realm="real me", nonce="749fda5d240ca434b7be644e45400782", '
    'uri="rtsp://127.0.0.1:28611/live/streamid=0", response="309bb212338f4cd677e04503ae90fdb6", algorithm="MD5"'
)
FFMPEG_NONCE = "749fda5d240ca434b7be644e45400782"
FFMPEG_QOP = (
    'Digest username="u", realm="real me", nonce="d10ed77c271849599d72f789444b8be0", '
    'uri="rtsp://127.0.0.1:28612/live/streamid=0", response="db9423cbd7f0ac2fa8bf34fea9c6a4c1", algorithm="MD5", '
    'qop="auth", cnonce="7bb154407436ca55", nc=00000003'
)
FFMPEG_QOP_NONCE = "d10ed77c271849599d72f789444b8be0"
GSTREAMER = (
    'Digest username="u", realm="real me", nonce="5e41f22fa4cf7f9e1868a6bcfb03e451", '
    'uri="rtsp://127.0.0.1:28612/live", response="77171a74656d88767f60122164569767"'
)
GSTREAMER_NONCE = "5e41f22fa4cf7f9e1868a6bcfb03e451"


def parsed(header: str) -> DigestCredentials:
    credentials = parseDigest(header)
    assert credentials is not None, header
    return credentials


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class VerifyTests(SynchronousTestCase):
    def test_exampleOfTheStandard(self) -> None:
        # RFC 2617, section 3.5.
        credentials = parsed(
            'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
            'uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", '
            'response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
        )
        ha1 = makeHA1("Mufasa", "testrealm@host.com", "Circle Of Life")
        self.assertEqual(ha1, "939e7578ed9e3c518a452acee763bce9")
        self.assertEqual(credentials.opaque, "5ccc069c403ebaf9f0171e9517f40e41")
        self.assertTrue(verify(credentials, "GET", ha1, "dcd98b7102dd2f0e8b11d0f600bfb0c093"))

    def test_exampleOfTheNewerStandard(self) -> None:
        # RFC 7616, section 3.9.1, the MD5 response.
        nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
        credentials = parsed(
            'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5, '
            f'nonce="{nonce}", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, '
            'response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
        )
        self.assertTrue(verify(credentials, "GET", makeHA1("Mufasa", "http-auth@example.org", "Circle of Life"), nonce))

    def test_whatSendersSent(self) -> None:
        self.assertTrue(verify(parsed(FFMPEG), "SETUP", HA1, FFMPEG_NONCE))
        self.assertTrue(verify(parsed(FFMPEG_QOP), "SETUP", HA1, FFMPEG_QOP_NONCE))
        self.assertTrue(verify(parsed(GSTREAMER), "ANNOUNCE", HA1, GSTREAMER_NONCE))

    def test_theMethodIsPartOfIt(self) -> None:
        for method in ("ANNOUNCE", "setup", "SETUP ", ""):
            self.assertFalse(verify(parsed(FFMPEG), method, HA1, FFMPEG_NONCE))

    def test_anyFormOfTheURL(self) -> None:
        for uri in ("/live", "rtsp://h/live", "rtsp://h/live/streamid=0", "*", "live", ""):
            response = md5(f"{HA1}:n:{md5('SETUP:' + uri)}")
            credentials = DigestCredentials("u", "real me", "n", uri, response)
            self.assertTrue(verify(credentials, "SETUP", HA1, "n"), uri)
            self.assertFalse(verify(replace(credentials, uri=uri + "x"), "SETUP", HA1, "n"), uri)

    def test_everythingElseIsPartOfIt(self) -> None:
        good = parsed(FFMPEG_QOP)
        for change in (
            {"nonce": "x" + FFMPEG_QOP_NONCE[1:]},
            {"nonce": ""},
            {"nonce": "é"},
            {"uri": "*"},
            {"response": good.response[:-1]},
            {"response": good.response[:-1] + "0"},
            {"response": ""},
            {"response": "é" * 32},
            {"response": "٣" * 32},
            {"response": "\udcff" * 32},
            {"qop": ""},
            {"qop": "auth-int"},
            {"cnonce": ""},
            {"cnonce": "x"},
            {"count": ""},
            {"count": "3"},
            {"count": "00000004"},
            {"algorithm": "SHA-256"},
            {"algorithm": "MD5-sess"},
        ):
            self.assertFalse(verify(replace(good, **change), "SETUP", HA1, FFMPEG_QOP_NONCE), change)
        for ha1 in (
            makeHA1("u", "real me", "p"),
            makeHA1("v", "real me", "p:w"),
            makeHA1("u", "realm", "p:w"),
            "",
            "é",
        ):
            self.assertFalse(verify(good, "SETUP", ha1, FFMPEG_QOP_NONCE))
        for nonce in (GSTREAMER_NONCE, "", "é"):
            self.assertFalse(verify(good, "SETUP", HA1, nonce))

    def test_formsThatAreNotOffered(self) -> None:
        def passes(qop: str, count: str, cnonce: str) -> bool:
            response = md5(f"{HA1}:n:{count}:{cnonce}:{qop}:{md5('SETUP:*')}")
            credentials = DigestCredentials("u", "real me", "n", "*", response, "", qop, cnonce, count)
            return verify(credentials, "SETUP", HA1, "n")

        self.assertTrue(passes("auth", "0000000f", "x"))
        for qop, count, cnonce in (
            ("auth-int", "00000001", "x"),
            ("auth,auth-int", "00000001", "x"),
            ("auth", "00000001", ""),
            ("auth", "1", "x"),
            ("auth", "0000000g", "x"),
            ("auth", "", "x"),
        ):
            self.assertFalse(passes(qop, count, cnonce), (qop, count, cnonce))

    def test_caseThatDoesNotMatter(self) -> None:
        good = parsed(FFMPEG_QOP)
        upper = replace(good, algorithm="md5", response=good.response.upper())
        self.assertTrue(verify(upper, "SETUP", HA1, FFMPEG_QOP_NONCE))

    def test_passwordsAreBytes(self) -> None:
        self.assertEqual(makeHA1("u", "r", "ü"), makeHA1("u", "r", "ü".encode()))
        self.assertEqual(makeHA1("ü", "r", b"\xff"), hashlib.md5(b"\xc3\xbc:r:\xff").hexdigest())
        self.assertEqual(makeHA1("\udcff", "r", "x"), hashlib.md5(b"\xff:r:x").hexdigest())
        # No header holds this; it must not be an error, and not the same as something else.
        self.assertNotIn(makeHA1("\ud800", "r", "x"), {makeHA1(other, "r", "x") for other in ("", "?", "\ufffd")})


class ParseTests(SynchronousTestCase):
    def test_whatFfmpegSends(self) -> None:
        self.assertEqual(
            parsed(FFMPEG_QOP),
            DigestCredentials(
                user="u",
                realm="real me",
                nonce=FFMPEG_QOP_NONCE,
                uri="rtsp://127.0.0.1:28612/live/streamid=0",
                response="db9423cbd7f0ac2fa8bf34fea9c6a4c1",
                algorithm="MD5",
                qop="auth",
                cnonce="7bb154407436ca55",
                count="00000003",
            ),
        )

    def test_quotedStrings(self) -> None:
        credentials = parsed(
            r'dIGEST  USERNAME = "a, b=\"c\" \\" ,realm="", nonce=n,uri="/a,b;c=d" ,, response=r, x-other="y",'
        )
        self.assertEqual(credentials, DigestCredentials('a, b="c" \\', "", "n", "/a,b;c=d", "r"))

    def test_othersAreNone(self) -> None:
        rest = 'realm="r", nonce="n", uri="/", response="0"'
        self.assertIsNotNone(parseDigest(f'Digest username="u", {rest}'))
        for header in (
            "",
            "Digest",
            "Digest ",
            "Basic dTpw",
            f'Digestusername="u", {rest}',
            f"Digest {rest}",
            f"Digest username*=UTF-8''u, {rest}",
            f'Digest username="u" {rest}',
            f'Digest username="u, {rest}',
            f'Digest username="u\\", {rest}',
            f'Digest username="u"x, {rest}',
            f'Digest username=u"x", {rest}',
            f"Digest username, {rest}",
            f'Digest ="u", {rest}',
            f'Digest username="u", username="u", {rest}',
            f'Digest username="u", Username="v", {rest}',
            f'Digest username="u", {rest}, "',
            f'Digest username="u", {rest}\n',
            f'Digest username="{"u" * MAX_HEADER}", {rest}',
        ):
            self.assertIsNone(parseDigest(header), header[:60])

    @given(
        st.lists(
            st.sampled_from(
                [
                    "username",
                    "realm",
                    "nonce",
                    "uri",
                    "response",
                    "qop",
                    "=",
                    '"',
                    "\\",
                    ",",
                    " ",
                    "x",
                    "\n",
                    "é",
                    "\ud800",
                ]
            )
        ).map("".join)
    )
    def test_anything(self, text: str) -> None:
        credentials = parseDigest("Digest " + text)
        if credentials is not None:
            self.assertFalse(verify(credentials, "SETUP", HA1, "n"))

    @given(st.text(max_size=50), st.text(max_size=50), st.text(max_size=50))
    def test_anyStrings(self, user: str, uri: str, cnonce: str) -> None:
        def quoted(text: str) -> str:
            return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

        middle = f"n:0000000a:{cnonce}:auth" if cnonce else "n"
        response = md5(f"{HA1}:{middle}:{md5('SETUP:' + uri)}")
        extra = f", qop=auth, nc=0000000a, cnonce={quoted(cnonce)}" if cnonce else ""
        credentials = parseDigest(
            f"Digest username={quoted(user)},realm=r,nonce=n,uri={quoted(uri)},response={response}{extra}"
        )
        assert credentials is not None
        self.assertEqual((credentials.user, credentials.uri, credentials.cnonce), (user, uri, cnonce))
        self.assertTrue(verify(credentials, "SETUP", HA1, "n"))


class ChallengeTests(SynchronousTestCase):
    def test_exactText(self) -> None:
        self.assertEqual(challenge("real me", "abc"), 'Digest realm="real me", nonce="abc", algorithm=MD5')
        self.assertEqual(
            challenge("r", "abc", stale=True, qop="auth"),
            'Digest realm="r", nonce="abc", stale=true, algorithm=MD5, qop="auth"',
        )
        self.assertEqual(challenge('a"b\\', "n"), 'Digest realm="a\\"b\\\\", nonce="n", algorithm=MD5')

    def test_refused(self) -> None:
        for realm, nonce, algorithm, qop in (
            ("r", "n", "SHA-256", ""),
            ("r", "n", "", ""),
            ("r", "n", "MD5", "auth-int"),
            ("r\r\nX: y", "n", "MD5", ""),
            ("r", "n\n", "MD5", ""),
        ):
            with self.assertRaises(ConfigError):
                challenge(realm, nonce, algorithm, qop=qop)


class NonceTests(SynchronousTestCase):
    def test_eachIsAnother(self) -> None:
        seen = {Nonces().current for _ in range(100)}
        self.assertEqual(len(seen), 100)
        self.assertEqual({len(nonce) for nonce in seen}, {32})
        nonces = Nonces()
        before = nonces.current
        self.assertEqual(nonces.renew(), nonces.current)
        self.assertNotEqual(nonces.current, before)

    def test_stale(self) -> None:
        nonces = Nonces()
        self.assertTrue(nonces.isStale(parsed(FFMPEG), "SETUP", HA1))
        self.assertFalse(verify(parsed(FFMPEG), "SETUP", HA1, nonces.current))

    def test_aWrongPasswordIsNotStale(self) -> None:
        nonces = Nonces()
        self.assertFalse(nonces.isStale(parsed(FFMPEG), "SETUP", makeHA1("u", "real me", "p")))
        self.assertFalse(nonces.isStale(parsed(FFMPEG), "ANNOUNCE", HA1))

    def test_theCurrentOneIsNotStale(self) -> None:
        nonces = Nonces()
        nonces.current = FFMPEG_NONCE
        self.assertTrue(verify(parsed(FFMPEG), "SETUP", HA1, nonces.current))
        self.assertFalse(nonces.isStale(parsed(FFMPEG), "SETUP", HA1))
