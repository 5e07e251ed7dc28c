"""
``basicauth:realm,user:password`` and ``basicauth:realm,file``: who may pass.

A user who is known already (REMOTE_USER is set) passes. ``user:`` accepts the empty password only, ``realm,``
nobody. The argument is taken as it stands: a password may hold ``$1``.

RTSP clients are offered Digest, too, where the rule itself has the password: a file has only what Basic can be checked
against.
"""

import base64
import binascii

from realtime_tw.errors import ConfigError
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.htpasswd import MAX_PASSWORD, HtpasswdFile, Verifier, plainVerifier
from realtime_tw.routing.paths import splitsHeaders
from realtime_tw.routing.replies import Effect, plainReply
from realtime_tw.routing.text import toBytes
from realtime_tw.routing.verdicts import Reply, Verdict
from realtime_tw.rtsp.digest import Nonces, challenge, makeHA1, parseDigest, verify

_NOBODY = plainVerifier(b"")


def basicAuth(text: str) -> Effect:
    """``basicauth:``."""
    return _guard(text, goesOn=False)


def basicAuthNext(text: str) -> Effect:
    """``basicauth-next:``: wrong credentials leave the decision to the next rule; without any it is still 401."""
    return _guard(text, goesOn=True)


def _guard(text: str, goesOn: bool) -> Effect:
    realm, comma, source = text.partition(",")
    if not comma:
        raise ConfigError("basicauth is written basicauth:realm,user:password or basicauth:realm,file")
    if splitsHeaders(toBytes(realm)):
        raise ConfigError("a realm cannot hold a line break")
    return _Guard(realm, source, goesOn)


class _Guard:
    """One rule's users."""

    def __init__(self, realm: str, source: str, goesOn: bool) -> None:
        self._goesOn = goesOn
        self._file: HtpasswdFile | None = None
        self._user, colon, password = source.partition(":")
        self._password: Verifier | None = None
        if colon:
            if not self._user:
                raise ConfigError("basicauth needs a user before the colon")
            self._password = plainVerifier(toBytes(password))
        elif source:
            self._file = HtpasswdFile(source)
        self._realm = realm
        self._plain = toBytes(password) if colon else None
        escaped = toBytes(realm).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        refusal = plainReply(401, b"Unauthorized")
        challenge = (b"WWW-Authenticate", b'Basic realm="' + escaped + b'"')
        self._refusal = Reply(refusal.status, refusal.reason, (*refusal.headers, challenge), refusal.body)

    def __call__(self, exchange: Exchange) -> Verdict | None:
        if exchange.variables["REMOTE_USER"]:
            return None
        if exchange.nonces is not None and self._plain is not None:
            return self._checkRTSP(exchange, exchange.nonces, self._plain)
        return self._checkBasic(exchange)

    def _checkRTSP(self, exchange: Exchange, nonces: Nonces, plain: bytes) -> Verdict | None:
        credentials = parseDigest(exchange.authorization.decode("utf-8", "surrogateescape"))
        stale = False
        if credentials is None:
            if self._checkBasic(exchange) is None:
                return None
        else:
            method = exchange.variables["REQUEST_METHOD"].decode("latin-1")
            ha1 = makeHA1(self._user, self._realm, plain)
            isRight = verify(credentials, method, ha1, nonces.current)
            if isRight and credentials.user == self._user:
                exchange.variables["REMOTE_USER"] = toBytes(self._user)
                return None
            stale = nonces.isStale(credentials, method, ha1)
            if self._goesOn:
                return None
        offer = (b"WWW-Authenticate", challenge(self._realm, nonces.current, stale=stale).encode())
        refusal = self._refusal
        return Reply(refusal.status, refusal.reason, (offer, *refusal.headers), refusal.body)

    def _checkBasic(self, exchange: Exchange) -> Verdict | None:
        credentials = parseBasic(exchange.authorization)
        if credentials is None:
            return self._refusal
        user, password = credentials
        verifier = self._verifier(user, exchange)
        # A stranger's password is checked too, against somebody else's, so that the time taken tells no
        # names.
        decoy = self._file.decoy if self._file else _NOBODY
        if (verifier or decoy)(password) and verifier is not None:
            exchange.variables["REMOTE_USER"] = user
            return None
        return None if self._goesOn else self._refusal

    def _verifier(self, user: bytes, exchange: Exchange) -> Verifier | None:
        if self._file is None:
            return self._password if user == toBytes(self._user) else None
        verifier = self._file.verifier(user)
        if self._file.problem is not None:
            exchange.log(f"basicauth: {self._file.problem}")
        return verifier


def parseBasic(header: bytes) -> tuple[bytes, bytes] | None:
    """User and password of an Authorization header, None when it is of another kind or damaged."""
    scheme, _, encoded = header.partition(b" ")
    if scheme.lower() != b"basic" or len(encoded) > 4 * MAX_PASSWORD:
        return None
    try:
        decoded = base64.b64decode(encoded.strip(b" \t"), validate=True)
    except binascii.Error:
        return None
    user, colon, password = decoded.partition(b":")
    if not colon or not user or len(password) > MAX_PASSWORD:
        return None
    return user, password


def describeSource(text: str) -> str:
    """The argument without its password, for a table that people read."""
    realm, _, source = text.partition(",")
    user, colon, _ = source.partition(":")
    return f"{realm},{user}:***" if colon else f"{realm},{source}"
