"""
htpasswd files: which passwords are right.

Verified with the standard library alone: ``{SHA}``, ``{SSHA}``, ``{PLAIN}`` and the MD5 forms ``$apr1$``
(what ``htpasswd`` writes by default) and ``$1$``. Traditional crypt, bcrypt and the SHA-crypts need
libraries that Python no longer has: such an entry is an error that says how to write it anew.

Limits: files of at most 1 MiB, passwords of at most 1024 bytes.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from realtime_tw.errors import ConfigError
from realtime_tw.routing.text import quoted

MAX_FILE = 1024 * 1024
MAX_PASSWORD = 1024

_ALPHABET = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MD5_ORDER = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))

Verifier = Callable[[bytes], bool]


def md5Crypt(password: bytes, salt: bytes, magic: bytes) -> bytes:
    """The MD5 crypt of FreeBSD, as Apache uses it with the magic ``$apr1$``: the 22 characters after the salt."""

    def md5(data: bytes) -> bytes:
        return hashlib.md5(data, usedforsecurity=False).digest()

    inner = md5(password + salt + password)
    data = bytearray(password + magic + salt)
    data += (inner * (len(password) // 16 + 1))[: len(password)]
    length = len(password)
    while length:
        data += b"\0" if length & 1 else password[:1]
        length >>= 1
    digest = md5(bytes(data))
    for turn in range(1000):
        step = password if turn & 1 else digest
        if turn % 3:
            step += salt
        if turn % 7:
            step += password
        digest = md5(step + (digest if turn & 1 else password))
    groups = [(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in _MD5_ORDER]
    return b"".join(_radix64(value, count) for value, count in [*groups, (digest[11], 2)])


def _radix64(value: int, count: int) -> bytes:
    return bytes(_ALPHABET[value >> (6 * index) & 63] for index in range(count))


def plainVerifier(expected: bytes) -> Verifier:
    """For a password that is known as it is."""
    return lambda password: hmac.compare_digest(password, expected)


def _sha1Verifier(encoded: bytes, salted: bool) -> Verifier | None:
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    digest, salt = decoded[:20], decoded[20:]
    if len(digest) < 20 or bool(salt) is not salted:
        return None

    def verify(password: bytes) -> bool:
        return hmac.compare_digest(hashlib.sha1(password + salt, usedforsecurity=False).digest(), digest)

    return verify


def _md5Verifier(encoded: bytes, magic: bytes) -> Verifier | None:
    salt, dollar, digest = encoded.partition(b"$")
    salt = salt[:8]
    if not dollar or len(digest) != 22:
        return None
    return lambda password: hmac.compare_digest(md5Crypt(password, salt, magic), digest)


def parseEntry(encoded: bytes) -> Verifier:
    """
    The verifier of what stands after ``user:``.

    :raises ConfigError: for a format that cannot be verified.
    """
    verifier: Verifier | None = None
    if encoded.startswith(b"{PLAIN}"):
        verifier = plainVerifier(encoded[7:])
    elif encoded.startswith(b"{SHA}"):
        verifier = _sha1Verifier(encoded[5:], salted=False)
    elif encoded.startswith(b"{SSHA}"):
        verifier = _sha1Verifier(encoded[6:], salted=True)
    elif encoded.startswith(b"$apr1$"):
        verifier = _md5Verifier(encoded[6:], b"$apr1$")
    elif encoded.startswith(b"$1$"):
        verifier = _md5Verifier(encoded[3:], b"$1$")
    if verifier is not None:
        return verifier
    if encoded.startswith((b"$2", b"$5$", b"$6$", b"$7$", b"$y$")):
        problem = "bcrypt and SHA-crypt passwords cannot be verified"
    elif encoded.startswith((b"{", b"$")):
        problem = "the password is damaged or of an unknown format"
    else:
        problem = "crypt passwords cannot be verified"
    raise ConfigError(f"{problem} (write the entry anew with htpasswd -m)")


@dataclass(frozen=True, slots=True)
class _Snapshot:
    signature: tuple[int, int, int]
    entries: Mapping[bytes, Verifier]


class HtpasswdFile:
    """
    A password file that is read again whenever it has changed.

    While a new content cannot be used, the old one stays in force and ``problem`` says why; while the file is
    missing, nobody gets in.
    """

    def __init__(self, path: str) -> None:
        """
        :raises ConfigError: when the file cannot be used as it is now.
        """
        self.path = path
        self.problem: str | None = None
        self._snapshot = self._read()

    def verifier(self, user: bytes) -> Verifier | None:
        """The verifier of a user's password, None for a stranger."""
        self._refresh()
        return self._snapshot.entries.get(user)

    @property
    def decoy(self) -> Verifier:
        """A verifier that costs what the users' own do."""
        return next(iter(self._snapshot.entries.values()), plainVerifier(b""))

    def _refresh(self) -> None:
        try:
            if self._signature() != self._snapshot.signature:
                self._snapshot = self._read()
                self.problem = None
        except OSError as error:
            self._snapshot = _Snapshot((0, 0, 0), {})
            self.problem = f"cannot read {quoted(self.path)}: {error.strerror}"
        except ConfigError as error:
            self.problem = str(error)

    def _signature(self) -> tuple[int, int, int]:
        status = os.stat(self.path)
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> _Snapshot:
        try:
            signature = self._signature()
            with open(self.path, "rb") as file:
                data = file.read(MAX_FILE + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a file name"
            raise ConfigError(f"cannot read {quoted(self.path)}: {reason}") from error
        if len(data) > MAX_FILE:
            raise ConfigError(f"{quoted(self.path)} is larger than {MAX_FILE} bytes")
        entries: dict[bytes, Verifier] = {}
        for number, line in enumerate(data.split(b"\n"), 1):
            line = line.strip()
            if not line or line.startswith(b"#"):
                continue
            user, colon, encoded = line.partition(b":")
            try:
                if not colon or not user:
                    raise ConfigError("an entry is written user:password")
                # The first entry of a user counts, as for htpasswd -v. What follows a second colon is a
                # comment.
                entries.setdefault(user, parseEntry(encoded))
            except ConfigError as error:
                raise error.located(self.path, number) from error
        return _Snapshot(signature, entries)
