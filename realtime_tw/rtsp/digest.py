"""
Digest authentication, the server's side (RFC 2617, section 3; RFC 7616), with MD5: with ``qop=auth`` and without.

SHA-256 is not offered: a challenge that names it ends the conversation with ffmpeg. Neither is ``auth-int``, nor
``MD5-sess``.

The URI of a response is hashed and otherwise not looked at: clients send the track's URL, the URL of the whole, or a
path, whatever the request says. A response can therefore be used again for another URL by who can read the
connection; not on another connection, which has another nonce, and not for another method.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from realtime_tw.errors import ConfigError

#: An Authorization header. Real ones are below 500 bytes; user, realm and URL can be longer than usual.
MAX_HEADER = 4096

_NAME = re.compile(r"[ \t,]*+([A-Za-z0-9\-_.!#$%&'*+^`|~]++)[ \t]*+=[ \t]*+")
_QUOTED = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_PLAIN = re.compile(r'[^\s,"]*+')
_BETWEEN = re.compile(r"[ \t]*+(?:,[ \t,]*+|\Z)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_COUNT = re.compile(r"[0-9A-Fa-f]{8}")
_RESPONSE = re.compile(r"[0-9A-Fa-f]{32}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class DigestCredentials:
    """
    An Authorization header of the scheme Digest; text as it came, without quotes.

    :ivar algorithm: empty when the client named none, which means MD5.
    :ivar qop: empty for the form of RFC 2069, which has neither ``cnonce`` nor ``count``.
    :ivar count: ``nc``, 8 hexadecimal digits if the client is a good one.
    """

    user: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str = ""
    qop: str = ""
    cnonce: str = ""
    count: str = ""
    opaque: str = ""


def challenge(realm: str, nonce: str, algorithm: str = "MD5", stale: bool = False, qop: str = "") -> str:
    """
    The value of WWW-Authenticate.

    :param stale: the password was right, only the nonce is not: the client tries again and asks nobody.
    :param qop: ``auth``, or empty: the older form, which every client knows.
    :raises ConfigError: for an algorithm or qop that :func:`verify` does not know, and for a control character.
    """
    if algorithm != "MD5" or qop not in ("", "auth"):
        raise ConfigError("only MD5 is offered, with qop auth or without")
    if _CONTROLS.search(realm) or _CONTROLS.search(nonce):
        raise ConfigError("a realm cannot hold control characters")
    # Realm and nonce first, the algorithm without quotes: some clients look for just that.
    value = f"Digest realm={_quoted(realm)}, nonce={_quoted(nonce)}"
    if stale:
        value += ", stale=true"
    value += f", algorithm={algorithm}"
    return f'{value}, qop="{qop}"' if qop else value


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def parseDigest(header: str) -> DigestCredentials | None:
    """
    What a client sent as Authorization.

    :return: None when it is of another scheme, longer than :data:`MAX_HEADER` characters, damaged, not complete, or
        says something twice.
    """
    scheme, _, text = header.strip(" \t").partition(" ")
    if scheme.lower() != "digest" or len(header) > MAX_HEADER:
        return None
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        name = _NAME.match(text, position)
        if name is None:
            return None
        value = _QUOTED.match(text, name.end())
        if value is not None:
            content = _ESCAPE.sub(r"\1", value[1])
        else:
            value = _PLAIN.match(text, name.end())
            assert value is not None
            content = value[0]
        between = _BETWEEN.match(text, value.end())
        key = name[1].lower()
        if between is None or key in found:
            return None
        found[key] = content
        position = between.end()
    try:
        return DigestCredentials(
            user=found["username"],
            realm=found["realm"],
            nonce=found["nonce"],
            uri=found["uri"],
            response=found["response"],
            algorithm=found.get("algorithm", ""),
            qop=found.get("qop", ""),
            cnonce=found.get("cnonce", ""),
            count=found.get("nc", ""),
            opaque=found.get("opaque", ""),
        )
    except KeyError:
        return None


def makeHA1(user: str, realm: str, password: str | bytes) -> str:
    """What stands for a password (RFC 2617, section 3.2.2.2). :param realm: the server's own, not the client's."""
    secret = password if isinstance(password, bytes) else _toBytes(password)
    return _md5(b"%b:%b:%b" % (_toBytes(user), _toBytes(realm), secret))


def verify(credentials: DigestCredentials, method: str, ha1: str, nonce: str) -> bool:
    """
    Whether the client knows the password; takes the same time however much of the response is right.

    :param method: of the request, which the response is bound to.
    :param ha1: of :func:`makeHA1` for the user that the credentials name. For a user that does not exist, that of any
        password, so that the time taken tells no names; the caller then ignores the result.
    :param nonce: the server's, of this connection.
    """
    if credentials.algorithm.upper() not in ("", "MD5") or not _RESPONSE.fullmatch(credentials.response):
        return False
    ha2 = _md5(b"%b:%b" % (_toBytes(method), _toBytes(credentials.uri)))
    middle = nonce
    if credentials.qop:
        if credentials.qop.lower() != "auth" or not credentials.cnonce or not _COUNT.fullmatch(credentials.count):
            return False
        middle = f"{nonce}:{credentials.count}:{credentials.cnonce}:{credentials.qop}"
    expected = _md5(b"%b:%b:%b" % (_toBytes(ha1), _toBytes(middle), _toBytes(ha2)))
    sameNonce = hmac.compare_digest(_toBytes(credentials.nonce), _toBytes(nonce))
    sameResponse = hmac.compare_digest(credentials.response.lower().encode(), expected.encode())
    return sameNonce and sameResponse


class Nonces:
    """
    The nonce of one connection.

    :ivar current: what the next challenge holds: 128 random bits.
    """

    __slots__ = ("current",)

    def __init__(self) -> None:
        self.current = secrets.token_hex(16)

    def renew(self) -> str:
        """A new nonce; responses to the one before are stale from now on."""
        self.current = secrets.token_hex(16)
        return self.current

    def isStale(self, credentials: DigestCredentials, method: str, ha1: str) -> bool:
        """
        Whether a response that :func:`verify` refuses is right for another nonce: what the challenge says as
        ``stale`` then. It proves nothing, because anybody could have chosen that nonce.
        """
        return credentials.nonce != self.current and verify(credentials, method, ha1, credentials.nonce)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _toBytes(text: str) -> bytes:
    """The bytes that the client has hashed: those of the header, see :mod:`realtime_tw.rtsp.messages`."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that no header can have brought
        return text.encode("utf-8", "surrogatepass")
