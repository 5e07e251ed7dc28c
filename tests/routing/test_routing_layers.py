"""The pure modules of the package stay pure: they import the standard library, the errors and each other."""

import ast
import os
import sys

from twisted.trial.unittest import SynchronousTestCase

import realtime_tw.routing

PURE = [
    "arguments",
    "basicauth",
    "compat",
    "conditions",
    "exchange",
    "expand",
    "files",
    "functions",
    "htpasswd",
    "ini",
    "options",
    "paths",
    "regexps",
    "replies",
    "rewriting",
    "rules",
    "settings",
    "table",
    "template",
    "text",
    "values",
    "variables",
    "verbs",
    "verdicts",
]


def importsOf(path: str) -> set[str]:
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


class LayersTests(SynchronousTestCase):
    def test_pure_modules_import_nothing_above_them(self) -> None:
        directory = os.path.dirname(realtime_tw.routing.__file__)
        allowed = {"realtime_tw.errors", "realtime_tw.brokerurl", "realtime_tw.rtsp.digest"}
        allowed |= {*(f"realtime_tw.routing.{name}" for name in PURE)}
        for name in PURE:
            for imported in importsOf(os.path.join(directory, f"{name}.py")):
                isStandard = imported.partition(".")[0] in sys.stdlib_module_names
                assert isStandard or imported in allowed, f"{name} imports {imported}"
