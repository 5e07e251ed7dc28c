"""Broker URLs: ``memory:``, ``redis://``, ``rediss://`` (TLS) and ``redis+unix://``."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from realtime_tw.errors import ConfigError

REDIS_PORT = 6379

_FORMS = "memory:, redis://[user:password@]host[:port][/db], rediss://... or redis+unix:///path[?db=n]"


@dataclass(frozen=True, slots=True)
class BrokerURL:
    """
    A parsed broker URL. Equal URLs share one broker. The password is not in its ``repr``.

    :ivar scheme: ``memory``, ``redis``, ``rediss`` or ``redis+unix``.
    :ivar path: the socket's path (``redis+unix``).
    :ivar cafile: PEM file with the authorities to trust instead of the system's (``rediss``).
    """

    scheme: str
    host: str = ""
    port: int = REDIS_PORT
    path: str = ""
    db: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    cafile: str | None = None

    def __str__(self) -> str:
        """For people: without credentials."""
        if self.scheme == "memory":
            return "memory:"
        if self.scheme == "redis+unix":
            return f"redis+unix://{self.path}" + (f"?db={self.db}" if self.db else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}" + (f"/{self.db}" if self.db else "")


def parseBrokerURL(url: str) -> BrokerURL:
    """
    :raises ConfigError: naming the part that cannot be used.
    """
    if url.rstrip("/") in ("memory", "memory:"):
        return BrokerURL("memory")
    try:
        parts = urlsplit(url)
        port = parts.port or REDIS_PORT
    except ValueError as error:
        raise ConfigError(f'bad broker URL "{_hidden(url)}": {error}') from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password is not None else None
    if parts.scheme == "redis+unix":
        if not parts.path or parts.hostname:
            raise ConfigError(f'bad broker URL "{_hidden(url)}": expected redis+unix:///path/to/socket')
        result = BrokerURL(
            "redis+unix",
            path=unquote(parts.path),
            db=_database(options.pop("db", ""), url),
            user=user,
            password=password,
        )
    elif parts.scheme in ("redis", "rediss"):
        if not parts.hostname:
            raise ConfigError(f'bad broker URL "{_hidden(url)}": no host')
        cafile = options.pop("cafile", None) if parts.scheme == "rediss" else None
        result = BrokerURL(
            parts.scheme,
            parts.hostname,
            port,
            db=_database(parts.path.strip("/") or options.pop("db", ""), url),
            user=user,
            password=password,
            cafile=cafile,
        )
    else:
        raise ConfigError(f'unknown kind of broker "{_hidden(url)}": expected {_FORMS}')
    if options:
        raise ConfigError(f'bad broker URL "{_hidden(url)}": unknown option "{next(iter(options))}"')
    return result


def _database(text: str, url: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f'bad broker URL "{_hidden(url)}": the database must be a number, not "{text}"')
    return int(text)


def _hidden(url: str) -> str:
    """The URL without its password, for messages."""
    scheme, separator, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    return f"{scheme}{separator}{'...@' if at else ''}{place}" if credentials else url
