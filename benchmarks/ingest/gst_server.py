"""
GStreamer's RTSP server in record mode, for comparison: depacketizes, parses into frames, and drops those.

    /usr/bin/python3 gst_server.py PORT PUBLISHERS

It needs the Python of the distribution, which has the bindings (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-good, gstreamer1.0-plugins-bad), and imports nothing else. On SIGUSR1 it prints how many frames
have come from those who are still there. Buffers never pass through Python.
"""

import signal
import sys
from importlib import import_module

LAUNCH = (
    "( rtph264depay name=depay0 ! h264parse ! video/x-h264,stream-format=avc,alignment=au"
    " ! fakesink name=frames sync=false async=false )"
)


def main(port: str, publishers: int) -> None:
    """Serve ``/cam1`` to ``/camN`` until SIGTERM."""
    gi = import_module("gi")
    for name in ("Gst", "GstRtsp", "GstRtspServer"):
        gi.require_version(name, "1.0")
    gLib, gst, gstRtsp, gstRtspServer = (
        import_module(f"gi.repository.{name}") for name in ("GLib", "Gst", "GstRtsp", "GstRtspServer")
    )
    gst.init(None)
    server = gstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    sinks = []
    for number in range(1, publishers + 1):
        factory = gstRtspServer.RTSPMediaFactory()
        factory.set_launch(LAUNCH)
        factory.set_transport_mode(gstRtspServer.RTSPTransportMode.RECORD)
        factory.set_protocols(gstRtsp.RTSPLowerTrans.TCP)
        factory.connect("media-configure", lambda _, media: sinks.append(media.get_element().get_by_name("frames")))
        server.get_mount_points().add_factory(f"/cam{number}", factory)
    if not server.attach(None):
        sys.exit(f"cannot listen on port {port}")

    def count() -> bool:
        frames = sum(sink.get_property("stats").get_uint64("rendered")[1] for sink in sinks)
        print("frames", frames, flush=True)
        return True  # and keep listening to the signal

    loop = gLib.MainLoop()
    gLib.unix_signal_add(gLib.PRIORITY_HIGH, signal.SIGTERM, loop.quit)
    gLib.unix_signal_add(gLib.PRIORITY_HIGH, signal.SIGUSR1, count)
    loop.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
