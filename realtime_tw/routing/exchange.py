"""The state of one request while the table decides about it; what rules changed is here for the server to apply."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from realtime_tw.routing.text import loggable
from realtime_tw.routing.variables import Variables
from realtime_tw.rtsp.digest import Nonces


@dataclass(slots=True)
class Exchange:
    """
    :ivar variables: live: what a rule sets, the next one reads.
    :ivar captures: of the rule that is being run.
    :ivar authorization: the Authorization header, or empty.
    :ivar addedHeaders: to be added to whatever response is made, in this order.
    :ivar removedHeaders: lower-case names that the response's own headers must not have; added ones stay.
    :ivar clearedStatus: a status that replaces the response's own.
    :ivar sent: body pieces that come before the response's own body.
    :ivar headersDisabled: nothing but the raw body goes out.
    :ivar logVariables: extra fields for the access log.
    :ivar isLogged: whether the request appears in the access log.
    :ivar logLines: lines for the log, free of control characters.
    :ivar nonces: of a connection on which digest authentication is offered, too: RTSP.
    """

    variables: Variables
    captures: Sequence[bytes] = ()
    addedHeaders: list[tuple[bytes, bytes]] = field(default_factory=list)
    removedHeaders: set[bytes] = field(default_factory=set)
    clearedStatus: tuple[int, bytes] | None = None
    sent: list[bytes] = field(default_factory=list)
    headersDisabled: bool = False
    logVariables: dict[bytes, bytes] = field(default_factory=dict)
    isLogged: bool = True
    logLines: list[str] = field(default_factory=list)
    nonces: Nonces | None = None

    @property
    def authorization(self) -> bytes:
        return self.variables["HTTP_AUTHORIZATION"]

    def log(self, line: bytes | str) -> None:
        """Add a line to the log, made harmless: a client may have chosen what is in it."""
        self.logLines.append(loggable(line if isinstance(line, bytes) else line.encode("utf-8", "replace")))
