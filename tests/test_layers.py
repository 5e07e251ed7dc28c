"""The layers of the design: imports point down only, the pure part is pure, and no import installs a reactor."""

import ast
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import realtime_tw

PACKAGE = Path(realtime_tw.__file__).parent

#: The longest matching prefix decides.
LAYERS = {
    "realtime_tw": 4,
    "realtime_tw.tap": 4,
    "realtime_tw.service": 4,
    "realtime_tw.demo": 4,
    "realtime_tw.routing": 3,
    "realtime_tw.web": 2,
    "realtime_tw.socketio": 2,
    "realtime_tw.hub": 1,
    "realtime_tw.hubs": 1,
    "realtime_tw.feed": 1,
    "realtime_tw.sinks": 1,
    "realtime_tw.subscriber": 1,
    "realtime_tw.heartbeat": 1,
    "realtime_tw.counters": 1,
    "realtime_tw.claims": 1,
    "realtime_tw.interfaces": 1,
    "realtime_tw.brokers": 1,
    "realtime_tw.rtsp.server": 2,
    "realtime_tw.rtsp.outputs": 2,
    "realtime_tw.rtsp.session": 2,
    "realtime_tw.rtsp.tunnel": 2,
    "realtime_tw.rtsp": 0,
    "realtime_tw.codec": 0,
    "realtime_tw.media": 0,
    "realtime_tw.model": 0,
    "realtime_tw.errors": 0,
    "realtime_tw.brokerurl": 0,
}

#: Those modules of the routing language that may touch Twisted.
ROUTING_WITH_TWISTED = {"actions", "resource", "rtspactions", "static"}


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ["realtime_tw", *path.relative_to(PACKAGE).with_suffix("").parts]
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def imports(path: Path) -> set[str]:
    """Everything a module imports, at its top or inside."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            names.add(node.module)
    return names


def layer(name: str) -> int:
    parts = name.split(".")
    while parts:
        if ".".join(parts) in LAYERS:
            return LAYERS[".".join(parts)]
        parts.pop()
    raise AssertionError(name)


class LayerTests(SynchronousTestCase):
    def test_everyModuleHasALayer(self) -> None:
        top = {name for name, _ in modules() if name.count(".") == 1}
        self.assertEqual({name for name in top if name not in LAYERS}, set())

    def test_importsPointDown(self) -> None:
        for name, path in modules():
            for imported in imports(path):
                if imported == "realtime_tw":
                    # Only for the version, which the command line prints.
                    self.assertEqual(name, "realtime_tw.tap")
                elif imported.startswith("realtime_tw."):
                    self.assertTrue(layer(imported) <= layer(name), f"{name} imports {imported}")

    def test_thePurePartKnowsNoTwisted(self) -> None:
        for name, path in modules():
            language = name.startswith("realtime_tw.routing.") and name.split(".")[2] not in ROUTING_WITH_TWISTED
            if language or layer(name) == 0:
                for imported in imports(path):
                    self.assertFalse(imported.split(".")[0] in ("twisted", "txredisapi", "zope"), f"{name}: {imported}")

    def test_noReactorAtTheTopOfAModule(self) -> None:
        for name, path in modules():
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ImportFrom) and node.module == "twisted.internet":
                    self.assertNotIn("reactor", [alias.name for alias in node.names], name)

    def test_noImportInstallsAReactor(self) -> None:
        # Only what is imported once a reactor was chosen may: txredisapi and procmon do.
        late = {"realtime_tw.service", "realtime_tw.brokers.redis", "realtime_tw.brokers.connections"}
        names = [name for name, _ in modules() if name not in late]
        script = f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n" + (
            "assert 'twisted.internet.reactor' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True)

    def test_publicNames(self) -> None:
        for name in realtime_tw.__all__:
            self.assertIsNotNone(getattr(realtime_tw, name))
        with self.assertRaises(AttributeError):
            realtime_tw.nothing  # noqa: B018
