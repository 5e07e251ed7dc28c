"""A resource through which clients publish: the request's body becomes one message."""

import json
from collections.abc import Iterable
from typing import Any

from twisted.python.failure import Failure
from twisted.web.http import REQUEST_ENTITY_TOO_LARGE, SERVICE_UNAVAILABLE
from twisted.web.server import NOT_DONE_YET, Request

from realtime_tw.errors import BrokerUnavailable
from realtime_tw.hub import Hub, channelName
from realtime_tw.web.base import RealtimeResource, answer

#: The largest message, unless said otherwise.
MAX_MESSAGE = 1 << 20

#: Seconds after which a client may try again when the broker is away: it is looked for about once a second.
RETRY_AFTER = b"2"


class PublishResource(RealtimeResource):
    """
    POST or PUT publishes the body, whatever its type, and answers ``{"channel": ..., "receivers": ...}``.

    413 for a larger body, 503 with ``Retry-After`` while the broker is away, 403 for pages of origins that are not
    allowed.

    :param channel: the channel published to.
    :param maxMessage: the largest body, in bytes.
    :param origins: other origins whose pages may publish; see :class:`realtime_tw.web.base.Origins`.
    """

    methods = (b"POST", b"PUT")
    strictOrigin = True

    def __init__(
        self,
        hub: Hub,
        channel: bytes | str,
        *,
        maxMessage: int = MAX_MESSAGE,
        origins: str | Iterable[str] | None = None,
    ) -> None:
        super().__init__(origins)
        self.hub = hub
        self.channel = channelName(channel)
        self.maxBody = maxMessage

    def respond(self, request: Request) -> bytes | int:
        content: Any = request.content
        payload = content.read(self.maxBody + 1)
        if len(payload) > self.maxBody:
            return answer(request, REQUEST_ENTITY_TOO_LARGE, f"a message may have {self.maxBody} bytes")
        done = self.hub.publish(self.channel, payload)
        done.addCallbacks(self._published, self._failed, callbackArgs=(request,), errbackArgs=(request,))
        return NOT_DONE_YET

    def _published(self, receivers: int, request: Request) -> None:
        request.setHeader(b"Content-Type", b"application/json")
        answered = {"channel": self.channel.decode("utf-8", "replace"), "receivers": receivers}
        finishWith(jsonLine(answered), request)

    def _failed(self, failure: Failure, request: Request) -> None:
        failure.trap(BrokerUnavailable)
        body = answer(request, SERVICE_UNAVAILABLE, str(failure.value), {b"Retry-After": RETRY_AFTER})
        finishWith(body, request)


def jsonLine(value: object) -> bytes:
    """A JSON text as a body, with a line end for people at a terminal."""
    return json.dumps(value).encode() + b"\n"


def finishWith(body: bytes, request: Request) -> None:
    """Finish a request whose status and headers are set, if its client is still there."""
    if getattr(request, "channel", None) is not None:
        request.setHeader(b"Content-Length", b"%d" % len(body))
        request.write(body)
        request.finish()
