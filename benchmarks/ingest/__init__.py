"""
What it costs to take live video in: RTSP publishers over TCP, from their RTP packets to published frames.

Run it with ``python -m benchmarks.ingest``; ``--help`` lists the options. The parts:

- ``recording.py``: RTP that ffmpeg has sent once, which everything here replays;
- ``load.c``, ``cameras.py``: the publishers and the viewers, in one process with one clock, and their control;
- ``depacketize.py``: packets to frames inside of one process, without a socket;
- ``servers.py``, ``gst_server.py``: realtime_tw, and what it is compared with;
- ``measure.py``: the runs; ``report.py``: tables and targets.

Cores, clocks and limits are those of ``benchmarks.fanout``.
"""
