"""Broker URLs, and that nobody's password is printed."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.brokerurl import BrokerURL, parseBrokerURL
from realtime_tw.errors import ConfigError


class BrokerURLTests(SynchronousTestCase):
    def test_forms(self) -> None:
        for text, expected, shown in (
            ("memory:", BrokerURL("memory"), "memory:"),
            ("memory", BrokerURL("memory"), "memory:"),
            ("redis://localhost", BrokerURL("redis", "localhost"), "redis://localhost:6379"),
            ("redis://h:1/2", BrokerURL("redis", "h", 1, db=2), "redis://h:1/2"),
            ("redis://[::1]:7", BrokerURL("redis", "::1", 7), "redis://[::1]:7"),
            ("redis://h?db=3", BrokerURL("redis", "h", db=3), "redis://h:6379/3"),
            (
                "rediss://joe:p%40ss@h?cafile=/ca.pem",
                BrokerURL("rediss", "h", user="joe", password="p@ss", cafile="/ca.pem"),
                "rediss://h:6379",
            ),
            ("redis://:secret@h", BrokerURL("redis", "h", password="secret"), "redis://h:6379"),
            ("redis+unix:///run/r.sock", BrokerURL("redis+unix", path="/run/r.sock"), "redis+unix:///run/r.sock"),
            (
                "redis+unix:///r%20s?db=1",
                BrokerURL("redis+unix", path="/r s", db=1),
                "redis+unix:///r s?db=1",
            ),
        ):
            parsed = parseBrokerURL(text)
            self.assertEqual(parsed, expected, text)
            self.assertEqual(str(parsed), shown)
            self.assertNotIn("secret", f"{parsed} {parsed!r}")
            self.assertNotIn("p@ss", f"{parsed} {parsed!r}")

    def test_refused(self) -> None:
        for text, word in (
            ("", "expected memory:"),
            ("http://x", "unknown kind of broker"),
            ("redis://", "no host"),
            ("redis://h:port", "bad broker URL"),
            ("redis://h:99999", "bad broker URL"),
            ("redis://h/one", "database"),
            ("redis://h/²", "database"),
            ("redis://h?tls=1", 'unknown option "tls"'),
            ("redis+unix://host/path", "redis+unix:///path"),
            ("redis+unix://", "redis+unix:///path"),
        ):
            with self.assertRaises(ConfigError, msg=text) as caught:
                parseBrokerURL(text)
            self.assertIn(word, str(caught.exception))

    def test_errorsHidePasswords(self) -> None:
        for text in ("redis://joe:secret@h/one", "http://joe:secret@h"):
            with self.assertRaises(ConfigError) as caught:
                parseBrokerURL(text)
            self.assertNotIn("secret", str(caught.exception))

    @given(st.text())
    def test_onlyOurOwnErrors(self, text: str) -> None:
        for candidate in (text, "redis://" + text, "redis+unix://" + text, "rediss://" + text):
            with contextlib.suppress(ConfigError):
                parseBrokerURL(candidate)
