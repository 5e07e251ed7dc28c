"""
uWSGI's options that mean nothing here, and what a file that has them should be told.

Only for ``[uwsgi]`` sections: a native one has no use for them.
"""

from collections.abc import Mapping

# What they ask for is so anyway: no notice.
SILENT = frozenset(
    {
        "offload-threads",
        "offload-thread",
        "http-manage-rtsp",
        "http-raw-body",
        "http-chunked-input",
        "http-websockets",
        "http-keepalive",
        "enable-threads",
        "die-on-term",
        "need-plugin",
        "honour-range",
    }
)

# twistd's business, or nobody's: all of them share one notice.
PROCESS_MODEL = frozenset(
    {
        "async",
        "auto-procname",
        "buffer-size",
        "cheap",
        "cheaper",
        "cheaper-initial",
        "cheaper-step",
        "chmod-socket",
        "chown-socket",
        "daemonize",
        "daemonize2",
        "disable-logging",
        "harakiri",
        "http-processes",
        "http-timeout",
        "http-workers",
        "lazy",
        "lazy-apps",
        "listen",
        "log-5xx",
        "log-date",
        "log-format",
        "logger",
        "logto",
        "logto2",
        "master",
        "max-requests",
        "memory-report",
        "need-app",
        "no-orphans",
        "pidfile",
        "pidfile2",
        "post-buffering",
        "processes",
        "procname",
        "procname-prefix",
        "reload-mercy",
        "reload-on-rss",
        "req-logger",
        "safe-pidfile",
        "single-interpreter",
        "so-keepalive",
        "socket-timeout",
        "stats",
        "threads",
        "threads-stacksize",
        "thunder-lock",
        "touch-reload",
        "vacuum",
        "worker-reload-mercy",
        "workers",
    }
)

_APPLICATION = "no application runs here"
_PRIVILEGES = "start with twistd --uid and --gid"
_PROTOCOL = "only HTTP and RTSP are spoken here"

# Each of these changes what is served or who serves it, so each gets a notice of its own.
NOTICED: Mapping[str, str] = {
    **dict.fromkeys(
        ("callable", "home", "manage-script-name", "module", "mount", "paste", "php-docroot", "pp", "psgi"),
        _APPLICATION,
    ),
    **dict.fromkeys(("pythonpath", "rack", "venv", "virtualenv", "wsgi"), _APPLICATION),
    "wsgi-file": _APPLICATION,
    **dict.fromkeys(
        ("attach-daemon2", "smart-attach-daemon", "smart-attach-daemon2"),
        "programs that put themselves into the background cannot be kept running: use attach-daemon",
    ),
    **dict.fromkeys(("uid", "gid", "chroot", "cap"), _PRIVILEGES),
    **dict.fromkeys(("socket", "uwsgi-socket", "fastcgi-socket", "scgi-socket", "shared-socket"), _PROTOCOL),
    "check-static-docroot": "there is no document root: name the directory with check-static",
    "env": "set the environment before twistd starts",
}
