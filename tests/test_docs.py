"""The documents: examples that need no processes, and whether all that exists is described."""

import ast
import configparser
import doctest
import os
import re
import shlex
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

with warnings.catch_warnings():
    # Twisted's own module uses at its import what Twisted deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    import twisted.web.static  # noqa: F401

import realtime_tw
from realtime_tw import service, tap
from realtime_tw.brokers import redis as redisbroker
from realtime_tw.counters import Counters
from realtime_tw.errors import ConfigError
from realtime_tw.hub import Hub
from realtime_tw.routing import compat, conditions, expand, functions, rules, settings, verbs
from realtime_tw.routing.actions import ACTIONS, RuleContext
from realtime_tw.routing.arguments import Key, Kind
from realtime_tw.routing.ini import IniFile
from realtime_tw.routing.options import Configuration, _Collector, loadConfiguration
from realtime_tw.routing.variables import requestVariables
from realtime_tw.web.base import RealtimeResource
from realtime_tw.web.request import MAX_BODY
from realtime_tw.web.site import HEADER_TIMEOUT, IDLE_TIMEOUT
from tests.documents import DOCUMENTS, PURE, ROOT, Fence, allFences, commandsOf, fencesOf, groups, rowsOf, sectionOf

ROUTING = ROOT / "docs" / "routing.md"
EMBEDDING = ROOT / "docs" / "embedding.md"
OPERATIONS = ROOT / "docs" / "operations.md"
WIRE = ROOT / "docs" / "wire-format.md"


def load(text: str, directory: str) -> Configuration:
    """A routing file's text, in a directory with what the documents' examples refer to."""
    if not re.search(r"^\[", text, re.MULTILINE):
        text = "[realtime]\n" + text
    path = os.path.join(directory, "routes.ini")
    Path(path).write_text(text, encoding="utf-8")
    for name in ("www", "static"):
        os.makedirs(os.path.join(directory, name), exist_ok=True)
    specs = {name: action.spec for name, action in ACTIONS.items()}
    return loadConfiguration(path, {}, specs, cwd=directory, version="1")


def stated(text: str) -> list[tuple[str, str]]:
    """What is said about lines: comments, each with the lines up to the next one."""
    pairs: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("; "):
            pairs.append((line[2:], ""))
        else:
            comment, lines = pairs.pop()
            pairs.append((comment, f"{lines}{line}\n"))
    return pairs


class FenceTests(SynchronousTestCase):
    """Every fence that is run without processes."""

    def directory(self) -> str:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        return place.name

    def fences(self, kind: str) -> list[Fence]:
        found = [fence for fence in allFences() if fence.kind == kind]
        self.assertTrue(found, kind)
        return found

    def test_everyFenceSaysHowItIsRun(self) -> None:
        for document in DOCUMENTS:
            fencesOf(document)

    def test_everyGroupDoesSomething(self) -> None:
        for name, fences in groups().items():
            self.assertTrue({fence.kind for fence in fences} - {"file", "acl"}, f"{name}: nothing is run")
            self.assertEqual([fence.place for fence in fences if fence.kind in PURE], [])

    def test_routingFilesLoad(self) -> None:
        for fence in self.fences("load"):
            try:
                configuration = load(fence.text, self.directory())
            except ConfigError as error:
                self.fail(f"{fence.place}: {error}")
            self.assertEqual([str(notice) for notice in configuration.notices], [], fence.place)

    def test_routingFilesOfServersLoad(self) -> None:
        failing = {fence.words[0] for fence in allFences() if fence.kind == "fails"}
        for fence in self.fences("file"):
            if fence.words[1].endswith(".ini") and fence.words[0] not in failing:
                directory = self.directory()
                for other in groups()[f"{fence.document.stem}:{fence.words[0]}"]:
                    if other.kind == "file" and other is not fence:
                        path = Path(directory, other.words[1])
                        path.parent.mkdir(exist_ok=True)
                        path.write_text(other.text)
                self.assertEqual(load(fence.text, directory).notices, (), fence.place)

    def test_errorsAreAsTheDocumentsSay(self) -> None:
        for fence in self.fences("refused"):
            for message, lines in stated(fence.text):
                with self.assertRaises(ConfigError, msg=f"{fence.place}: {lines}") as caught:
                    load(lines, self.directory())
                self.assertIn(message, str(caught.exception), fence.place)

    def test_noticesAreAsTheDocumentsSay(self) -> None:
        for fence in self.fences("notices"):
            for message, lines in stated(fence.text):
                notices = load(lines, self.directory()).notices
                self.assertEqual([notice.message for notice in notices], [message], fence.place)

    def test_pythonFilesCompile(self) -> None:
        for fence in allFences():
            if fence.kind == "file" and fence.language == "python":
                ast.parse(fence.text, fence.place)

    def test_sessionsPrintWhatTheySay(self) -> None:
        parser = doctest.DocTestParser()
        runner = doctest.DocTestRunner(verbose=False)
        for document in DOCUMENTS:
            names: dict[str, Any] = {}
            for fence in fencesOf(document):
                if fence.kind == "doctest":
                    session = parser.get_doctest(fence.text, names, fence.place, str(document), fence.line)
                    output: list[str] = []
                    failed = runner.run(session, out=output.append, clear_globs=False).failed
                    self.assertEqual(failed, 0, "".join(output))
                    names = session.globs

    def test_whatRunsElsewhereExists(self) -> None:
        for fence in self.fences("elsewhere"):
            self.assertTrue((ROOT / fence.words[0]).is_file(), fence.place)
            for command in commandsOf(fence.text):
                program = command.command.split()[0]
                if "/" in program:
                    self.assertTrue(os.access(ROOT / program, os.X_OK), fence.place)

    def test_theUnitStartsWhatExists(self) -> None:
        for fence in self.fences("unit"):
            unit = configparser.ConfigParser(interpolation=None)
            unit.optionxform = str  # type: ignore[assignment,method-assign]
            unit.read_string(fence.text)
            words = shlex.split(unit["Service"]["ExecStart"])
            self.assertTrue(words[0].endswith("/bin/twistd"))
            options = words[words.index("realtime") + 1 :]
            routes = options.index("--routes") + 1
            self.assertTrue(options[routes].startswith(unit["Service"]["WorkingDirectory"]))
            load("route = ^/$ sse:news", directory := self.directory())
            options[routes] = os.path.join(directory, "routes.ini")
            tap.Options().parseOptions(options)
            self.assertGreater(int(unit["Service"]["TimeoutStopSec"]), service.STOP_TIMEOUT)


class LinkTests(SynchronousTestCase):
    """What the documents refer to."""

    def test_linksLeadSomewhere(self) -> None:
        for document in DOCUMENTS:
            text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if "://" in target:
                    continue
                path, _, anchor = target.partition("#")
                file = (document.parent / path).resolve() if path else document
                self.assertTrue(file.exists(), f"{document.name}: {target}")
                if anchor:
                    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
                    self.assertIn(anchor, map(slug, headings), f"{document.name}: {target}")


def slug(heading: str) -> str:
    """A heading's anchor, as the usual renderers make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def sizeText(size: int) -> str:
    for unit, factor in (("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def defaultText(key: Key) -> str:
    """How the tables show a key's default."""
    default = key.default
    if key.required:
        return "required"
    if default is None or default == b"":
        return "none"
    if key.kind is Kind.FLAG:
        return "yes" if default else "no"
    if key.kind is Kind.SIZE:
        return sizeText(default)
    if isinstance(default, bytes):
        return default.decode()
    return f"{default:g}" if isinstance(default, float) else str(default)


class CompletenessTests(SynchronousTestCase):
    """Whatever exists is described, with its defaults."""

    def assertMentioned(self, names: Iterable[str], document: Path, form: str = r"`{}`") -> None:
        text = document.read_text(encoding="utf-8")
        for name in names:
            self.assertTrue(re.search(form.format(re.escape(name)), text), f"{document.name} does not mention {name}")

    def test_realtimeActions(self) -> None:
        described = set(re.findall(r"^### `([\w.]+)`$", sectionOf(ROUTING, "Realtime actions"), re.MULTILINE))
        self.assertEqual(described, set(ACTIONS))
        for name, action in ACTIONS.items():
            section = sectionOf(ROUTING, f"`{name}`")
            rows = {row[0]: row[1:] for row in rowsOf(section)}
            self.assertIn(f"argument\nis `{action.spec.bare}`", section.replace("argument is", "argument\nis"))
            keys = {cell.strip("`") for cell in rows if cell.startswith("`")}
            self.assertEqual(keys, {key.name for key in action.spec.keys}, name)
            for key in action.spec.keys:
                kind, default, meaning = rows[f"`{key.name}`"]
                self.assertEqual((kind, default), (key.kind.value, defaultText(key)), f"{name}: {key.name}")
                for choice in key.choices if "as for" not in meaning else ():
                    self.assertIn(f"`{choice}`", meaning)

    def test_methodsOfActions(self) -> None:
        for name, action in ACTIONS.items():
            values = {key.name: key.default for key in action.spec.keys}
            values.update({key.name: (b"x",) if key.kind is Kind.CHANNELS else b"x" for key in action.spec.keys[1:2]})
            values.update({key.name: b"x" for key in action.spec.keys if key.required and key.kind is Kind.TEXT})
            if action.publication is not None:
                # Of RTSP; HTTP only opens tunnels.
                continue
            resource = action.build(RuleContext(Hub()), values)
            assert isinstance(resource, RealtimeResource)
            section = sectionOf(ROUTING, f"`{name}`")
            if name != "sseraw":  # "as sse"
                stated = re.search(r"Answers ([A-Z, and]+)\.", section)
                assert stated is not None, name
                self.assertEqual(re.findall("[A-Z]+", stated[1]), [method.decode() for method in resource.methods])

    def test_typesOfKeys(self) -> None:
        rows = {row[0] for row in rowsOf(sectionOf(ROUTING, "Realtime actions"))}
        self.assertEqual({kind.value for kind in Kind} - rows, set())

    def test_builtInActions(self) -> None:
        self.assertMentioned([*verbs.BUILDERS, *verbs.IDLE], ROUTING, r"`{}:")
        refused = [name.removesuffix("*") for name in verbs._REFUSED]
        self.assertMentioned(refused, ROUTING, r"`{}(?:\.\.\.)?`")

    def test_conditions(self) -> None:
        self.assertMentioned(conditions.CONDITIONS, ROUTING, r"`{}:")
        self.assertMentioned(conditions._REFUSED, ROUTING)

    def test_ruleOptions(self) -> None:
        self.assertMentioned(rules.RULE_OPTIONS, ROUTING, r"^\| `{}` \|".replace("^", "(?m)^"))
        for option, variable in rules.SUBJECTS.items():
            self.assertIn(f"| `{option}` | `{variable}`", ROUTING.read_text())

    def test_variables(self) -> None:
        variables = requestVariables(b"GET", b"/", b"HTTP/1.1", [], peer=("a", 1), host=("b", 2), secure=True)
        self.assertMentioned(variables, ROUTING)

    def test_functions(self) -> None:
        self.assertMentioned(functions.FUNCTIONS, ROUTING, r"`\${{{}\[")
        for words in (functions._TIMES, functions._FACTS):
            self.assertMentioned(words, ROUTING, r"\[{}\]}}`")

    def test_magic(self) -> None:
        letters = expand.Magic.forFile("a.ini", "a.ini", "realtime", "/", "host", "1").values
        section = sectionOf(ROUTING, "Magic")
        for letter in letters:
            self.assertIn(f"%{letter}", section)
        for letter in expand._UNSUPPORTED - set("12345678"):
            self.assertIn(f"%{letter}", section)

    def test_options(self) -> None:
        ini = IniFile("a.ini", "uwsgi", (), (), frozenset())
        self.assertMentioned(_Collector(ini, "/")._handlers, ROUTING, r"`{}(?: = [^`]*)?`")
        self.assertMentioned([*compat.SILENT, *compat.PROCESS_MODEL, *compat.NOTICED], ROUTING)

    def test_settings(self) -> None:
        defaults = {
            "max-connections": "unlimited",
            "max-connections-per-ip": "unlimited",
            "max-body": sizeText(MAX_BODY),
            "header-timeout": f"{HEADER_TIMEOUT:g}",
            "idle-timeout": f"{IDLE_TIMEOUT:g}",
            "stop-timeout": f"{service.STOP_TIMEOUT:g}",
            "access-log": "yes",
        }
        rows = rowsOf(sectionOf(ROUTING, "Server settings"))[1:]
        self.assertEqual({row[0].strip("`"): row[1] for row in rows}, defaults)
        self.assertEqual(defaults.keys(), settings.SETTINGS.keys())

    def test_commandLine(self) -> None:
        options = tap.Options()
        names = [name for name in options.longOpt if name not in ("help",)]
        self.assertMentioned([f"--{name.removesuffix('=')}" for name in names], OPERATIONS, r"`{}[ `]")
        for letter in options.shortOpt.replace(":", ""):
            self.assertIn(f"`-{letter}`", OPERATIONS.read_text())
        self.assertIn(f"`{service.DEFAULT_LISTEN}`", OPERATIONS.read_text())

    def test_counters(self) -> None:
        names = {row[0].strip("`") for row in rowsOf(sectionOf(OPERATIONS, "Counters"))[1:]}
        self.assertEqual(names, set(Hub().stats()))
        self.assertTrue(set(Counters().asDict()) < names)

    def test_brokers(self) -> None:
        schemes = ("memory:", "redis://", "rediss://", "redis+unix://")
        self.assertMentioned(schemes, OPERATIONS, r"\| `{}")
        section = sectionOf(WIRE, "Retained values")
        self.assertIn(f"EX {redisbroker.RETAINED_TTL}`", section)
        self.assertIn(f"every {redisbroker.RETAINED_REFRESH} seconds", section)
        self.assertIn(redisbroker.retainedKey(b"<channel>").decode(), section)

    def test_commandsOfRedis(self) -> None:
        """Whatever the broker sends is in the table of rights."""
        sources = [Path(redisbroker.__file__), Path(redisbroker.__file__).with_name("connections.py")]
        text = "".join(path.read_text() for path in sources)
        sent = set(re.findall(r"b\"([A-Z]{3,})\"", text)) - {"NX", "EX", "NOAUTH", "LOADING", "MASTERDOWN"}
        sent |= set(re.findall(r"redis\.call\('([A-Z]+)'", text))
        self.assertTrue(sent >= {"PUBLISH", "EVAL", "DEL"})
        self.assertMentioned(sent, OPERATIONS)

    def test_publicNames(self) -> None:
        self.assertMentioned(realtime_tw.__all__, EMBEDDING)

    def test_parametersOfResources(self) -> None:
        for name in ("SSEResource", "StreamResource", "IStreamResource", "PublishResource"):
            row = next(row for row in rowsOf(EMBEDDING.read_text()) if row[0].startswith(f"`{name}("))
            annotations = getattr(realtime_tw, name).__init__.__annotations__
            parameters = [
                each for each in annotations if each not in ("hub", "subscribe", "publish", "channel", "return")
            ]
            self.assertEqual(re.findall(r"`(\w+)`", row[2]), parameters, name)

    def test_theChangelogHasThisVersion(self) -> None:
        self.assertIn(f"## [{realtime_tw.__version__}]", (ROOT / "CHANGELOG.md").read_text())
