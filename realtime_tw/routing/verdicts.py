"""What the routing table decides about a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from realtime_tw.routing.arguments import ActionSpec

if TYPE_CHECKING:
    from realtime_tw.routing.rules import Rule


@dataclass(frozen=True, slots=True)
class Continue:
    """No rule took the request: static files come next, then 404."""


@dataclass(frozen=True, slots=True)
class Reply:
    """
    A finished response.

    The exchange's added headers go out with it, whatever made it.

    :ivar headers: besides Content-Length and Date, which the server knows better.
    :ivar close: whether the connection ends with it.
    """

    status: int
    reason: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    close: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """The connection ends without a response, as the file asked for."""


@dataclass(frozen=True, slots=True)
class ServeFile:
    """
    A file to send.

    :ivar path: as the rule spells it, relative to the working directory; it has no NUL and no ``..`` that leaves
        ``root``. Symbolic links are the server's to resolve: it must serve nothing whose real path is
        outside the real path of ``root``.
    :ivar root: the directory the rule itself names, before anything a request put in.
    :ivar contentType: None for what the file's name says.
    """

    path: bytes
    root: bytes
    status: int = 200
    contentType: bytes | None = None


@dataclass(frozen=True, slots=True)
class Handle:
    """
    A realtime action takes the request.

    :ivar values: one for each key of the action, bound to this request.
    :ivar rule: where it stands; an action that declines resumes the table at ``rule.number + 1``.
    """

    action: ActionSpec
    values: Mapping[str, Any]
    rule: "Rule"


@dataclass(frozen=True, slots=True)
class Jump:
    """On to a label or a rule number; never leaves the table."""

    target: bytes


Verdict = Continue | Reply | Close | ServeFile | Handle
