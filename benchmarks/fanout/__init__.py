"""
What one delivery costs: a fan-out over Server-Sent Events, WebSocket and Socket.IO, as CPU time of the server process.

Run it with ``python -m benchmarks.fanout``; ``--help`` lists the options. The parts:

- ``client.c``, ``load.py``: the subscribers, thousands of connections in one epoll loop, and their control;
- ``floor.c``, ``plain_twisted.py``, ``node/``: what realtime_tw is compared with, beside nchan;
- ``servers.py``, ``publishers.py``: how each server is started and how a message gets into it;
- ``native.py``: compiles the C programs, installs the packages of ``node/`` into ``build/node``;
- ``measure.py``: the four measurements; ``report.py``: their medians, tables and targets;
- ``machine.py``: cores, clocks, limits and what else has to be known about the machine.
"""
