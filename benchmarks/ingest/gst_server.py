"""
GStreamer's RTSP server in record mode, for comparison: depacketizes, parses into frames, and drops those.

    /usr/bin/python3 gst_server.py PORT PUBLISHERS

It needs the Python of the distribution, which has the bindings (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-good, gstreamer1.0-plugins-bad). On SIGUSR1 it prints how many frames have come from those who are
still there. Buffers never pass through Python.
"""

import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

LAUNCH = (
    "( rtph264depay name=depay0 ! h264parse ! video/x-h264,stream-format=avc,alignment=au"
    " ! fakesink name=frames sync=false async=false )"
)


def main(port, publishers):
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    sinks = []
    for number in range(1, publishers + 1):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(LAUNCH)
        factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP)
        factory.connect("media-configure", lambda _, media: sinks.append(media.get_element().get_by_name("frames")))
        server.get_mount_points().add_factory(f"/cam{number}", factory)
    if not server.attach(None):
        sys.exit(f"cannot listen on port {port}")

    def count():
        frames = [sink.get_property("stats").get_uint64("rendered")[1] for sink in sinks]
        print("frames", sum(frames), flush=True)
        return GLib.SOURCE_CONTINUE

    loop = GLib.MainLoop()
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGTERM, loop.quit)
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGUSR1, count)
    loop.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
