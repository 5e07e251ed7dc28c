"""
RTSP and RTP: publishers of audio and video.

All of it is pure (bytes in, values out, no clock, no Twisted) except the server: :mod:`realtime_tw.rtsp.server` and
what it is made of.
"""
