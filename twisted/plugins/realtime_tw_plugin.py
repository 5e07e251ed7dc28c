"""The twistd plugin: ``twistd realtime``. It names the module only, so that nothing is imported before it is used."""

from twisted.application.service import ServiceMaker

realtime = ServiceMaker(
    "realtime_tw",
    "realtime_tw.tap",
    "Realtime endpoints for web sites: Server-Sent Events and streams, bridged with Redis pub/sub.",
    "realtime",
)
