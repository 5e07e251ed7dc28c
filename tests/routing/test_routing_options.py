"""From options to a configuration, in both dialects."""

import contextlib
import os
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ConfigError
from realtime_tw.routing import Address, Exchange, Handle, loadConfiguration, requestVariables
from realtime_tw.routing.arguments import ActionSpec, Key, Kind
from realtime_tw.routing.options import Configuration, StaticMap
from realtime_tw.routing.settings import SETTINGS, Settings
from realtime_tw.routing.values import parseAddress, parseCount, parseFlag, parseSeconds, parseSize

ACTIONS = {
    "sse": ActionSpec("sse", (Key("subscribe", Kind.CHANNELS),), bare="subscribe"),
    "websocket": ActionSpec(
        "websocket",
        (Key("subscribe", Kind.CHANNELS), Key("publish", Kind.CHANNELS), Key("prefix", Kind.TEXT)),
        bare="subscribe",
    ),
}


class ConfigurationCase(SynchronousTestCase):
    def setUp(self) -> None:
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = os.path.realpath(temporary.name)
        os.makedirs(os.path.join(self.directory, "tests"))
        with open(os.path.join(self.directory, "page.html"), "w"):
            pass

    def load(self, *lines: str, section: str = "uwsgi") -> Configuration:
        with open(os.path.join(self.directory, "r.ini"), "w") as file:
            file.write("\n".join([f"[{section}]", *lines]))
        return loadConfiguration("r.ini", {}, ACTIONS, cwd=self.directory)

    def native(self, *lines: str) -> Configuration:
        return self.load(*lines, section="realtime")

    def problem(self, *lines: str, section: str = "uwsgi") -> str:
        with pytest.raises(ConfigError) as caught:
            self.load(*lines, section=section)
        return str(caught.value)

    def notices(self, *lines: str, section: str = "uwsgi") -> list[str]:
        return [str(notice) for notice in self.load(*lines, section=section).notices]

    def put(self, name: str) -> str:
        """An empty file, and its path."""
        with open(self.inside(name), "w"):
            return self.inside(name)

    def inside(self, path: str) -> str:
        return os.path.join(self.directory, path)


class ListenerTests(ConfigurationCase):
    def test_addresses(self) -> None:
        configuration = self.load(
            "http-socket = :9090", "http11-socket = 127.0.0.1:1", "http = [::1]:2", "http-socket = x.sock"
        )
        assert [listener.address for listener in configuration.listeners] == [
            Address("", 9090),
            Address("127.0.0.1", 1),
            Address("::1", 2),
            Address("", 0, self.inside("x.sock")),
        ]
        assert not any(listener.isSecure for listener in configuration.listeners)
        assert configuration.listeners[1].line == 3

    def test_bad_addresses(self) -> None:
        assert self.problem("http-socket = 9090") == 'r.ini:2: http-socket: "9090" is no address (did you mean :9090?)'
        for text in ("", "h:x", ":99999", "a:b:1", "http://x:1"):
            assert self.problem(f"http-socket = {text}").startswith("r.ini:2: http-socket: ")

    def test_router_is_noticed(self) -> None:
        assert self.notices("http = :1") == [
            "r.ini:2: http: there is no router process, the server itself listens here"
        ]

    def test_tls(self) -> None:
        listener = self.load("https = :443,page.html,page.html").listeners[0]
        assert listener.isSecure
        assert listener.certificate == listener.privateKey == self.inside("page.html")
        assert "there is no file" in self.problem("https = :443,nope.pem,page.html")
        assert "write address,certificate.pem,key.pem" in self.problem("https = :443")


class StaticTests(ConfigurationCase):
    def test_maps(self) -> None:
        configuration = self.load("static-map = /=page.html", "static-map2 = /s=tests", "static-map = /a=b=c")
        assert configuration.staticMaps == (
            StaticMap("/", self.inside("page.html"), "r.ini", 2),
            StaticMap("/a", self.inside("b=c"), "r.ini", 4),
        )
        assert configuration.staticMaps2[0].prefix == "/s"
        assert [str(notice) for notice in configuration.notices] == [
            f'r.ini:4: static-map: there is no "b=c" yet (looked up in {os.path.join(self.directory, "")})'
        ]

    def test_bad_maps(self) -> None:
        assert self.problem("static-map = /x") == "r.ini:2: static-map: write /prefix=path"
        assert self.problem("static-map = /x=") == "r.ini:2: static-map: write /prefix=path"
        assert "must begin with a slash" in self.problem("static-map = x=page.html")

    def test_others(self) -> None:
        configuration = self.load(
            "check-static = tests/", "static-index = index.html", "static-skip-ext = .php", "static-safe = /tmp"
        )
        assert configuration.checkStatic == (self.inside("tests/"),)
        assert configuration.staticIndex == ("index.html",)
        assert configuration.staticSkipExt == (".php",)
        assert configuration.staticSafe == ("/tmp",)
        assert configuration.notices == ()

    def test_hole_index_outside(self) -> None:
        assert "is not the name of a file" in self.problem("static-index = ../x")

    def test_missing_directory(self) -> None:
        assert "there is no directory" in self.notices("check-static = nope")[0]
        assert "a path is needed" in self.problem("check-static =")

    def test_chdir(self) -> None:
        configuration = self.load("check-static = .", "chdir = tests")
        assert configuration.checkStatic == (self.inside("tests/."),)


class DialectTests(ConfigurationCase):
    def test_default_brokers(self) -> None:
        assert self.load().broker == "redis://127.0.0.1:6379"
        assert self.native().broker is None

    def test_broker(self) -> None:
        for url in ("memory:", "redis://:pw@h:1/2", "rediss://h", "redis+unix:///run/redis.sock"):
            assert self.native(f"broker = {url}").broker == url
        assert "no broker" in self.problem("broker = localhost:6379")

    def test_unknown_options(self) -> None:
        assert self.notices("statci-map = /=x") == [
            'r.ini:2: option "statci-map" means nothing here (did you mean static-map?)'
        ]
        assert self.problem("http-sockt = :1", section="realtime") == (
            "r.ini:2: http-sockt: unknown option (did you mean http-socket?)"
        )
        assert self.problem("strict = true", "zzz = 1") == "r.ini:3: zzz: unknown option"
        assert self.notices("strict = no", "zzz = 1") == ['r.ini:3: option "zzz" means nothing here']

    def test_foreign_options_in_a_native_section(self) -> None:
        assert self.problem("master = true", section="realtime") == (
            "r.ini:2: master: unknown option (it belongs to [uwsgi] files)"
        )

    def test_placeholders_are_known(self) -> None:
        assert self.notices("port = 9090", "http-socket = :%(port)", section="realtime") == []

    def test_silent_options(self) -> None:
        assert self.notices("plugin = realtime", "offload-threads = 1", "http-manage-rtsp = true") == []
        assert self.notices("plugins = realtime,router_static,http,", section="realtime") == []
        assert 'plugin "php" is not loaded' in self.notices("plugins = realtime, php")[0]

    def test_process_model_is_one_notice(self) -> None:
        assert self.notices("master = true", "processes = 4", "x = y", "master = true") == [
            "r.ini:2: ignored, since twistd decides about processes and logs: master, processes",
            'r.ini:4: option "x" means nothing here',
        ]

    def test_noticed_options(self) -> None:
        assert "no application runs here" in self.notices("wsgi-file = tests/rtsp.py")[0]
        assert "twistd --uid" in self.notices("uid = www-data")[0]

    def test_programs(self) -> None:
        script = self.put("inverter.py")
        configuration = self.load("attach-daemon = ffmpeg -i x", "mule = inverter.py", "attach-daemon = y")
        assert configuration.daemons == ("ffmpeg -i x", "y")
        assert configuration.mules == (script,)
        assert 'there is no file "gone.py"' in self.problem("mule = gone.py")
        assert "use attach-daemon" in self.notices("smart-attach-daemon = /run/y.pid y")[0]
        assert "a command line is needed" in self.problem("attach-daemon =")

    def test_settings(self) -> None:
        lines = ("max-connections = 100", "max-body = 1m", "idle-timeout = 1m", "max-connections = 200")
        for section in ("realtime", "uwsgi"):
            settings = self.load(*lines, section=section).settings
            assert settings == Settings(maxConnections=200, maxBody=2**20, idleTimeout=60.0)
        assert self.problem("max-body = big").startswith("r.ini:2: max-body: ")
        assert {setting.attribute for setting in SETTINGS.values()} == set(Settings.__dataclass_fields__)

    def test_rule_notices_and_errors(self) -> None:
        assert self.notices("route-run = signal:1") == ["r.ini:2: signal does nothing here: there are no uWSGI signals"]
        assert self.problem("route = ^/x$ sse:subscrib=x") == (
            'r.ini:2: unknown key "subscrib" for action sse (did you mean subscribe?)'
        )


class WholeFileTests(ConfigurationCase):
    def test_chat(self) -> None:
        self.put("inverter.py")
        configuration = self.load(
            "plugin = realtime",
            "http-socket = :9090",
            "route = ^/websocket$ websocket:subscribe=inverted,publish=chat,prefix=${qs[name]}:",
            "static-map = /=page.html",
            "offload-threads = 1",
            "mule = inverter.py",
        )
        assert configuration.section == "uwsgi"
        assert configuration.notices == ()
        variables = requestVariables(b"GET", b"/websocket?name=joe", b"HTTP/1.1", [])
        verdict = configuration.table.run(Exchange(variables))
        assert isinstance(verdict, Handle)
        assert verdict.values == {"subscribe": (b"inverted",), "publish": (b"chat",), "prefix": b"joe:"}


class ValuesTests(SynchronousTestCase):
    @given(st.text(alphabet="0123456789.:[]/kmgshabyesnotru-+ \0é", max_size=20) | st.text(max_size=20))
    def test_only_config_errors(self, text: str) -> None:
        for parse in (parseSize, parseSeconds, parseCount, parseFlag, parseAddress):
            with contextlib.suppress(ConfigError):
                parse(text)
