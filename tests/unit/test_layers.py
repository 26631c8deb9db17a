"""Who may import whom: rows flow from reader to model to families to page, and nothing reaches back."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from support.exporter_process import environment

import parsl_exporter

PACKAGE = Path(parsl_exporter.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
ALLOWED = {
    "base": {"base"},
    "assets": {"assets", "base"},
    "config": {"config", "base"},
    "model": {"model", "base"},
    "metrics": {"metrics", "model", "base"},
    "readers": {"readers", "config", "base"},
    "web": {"web", "config", "base"},
    "checkpoint": {"checkpoint", "base"},
    "source": {"source", "readers", "metrics", "checkpoint", "model", "config", "base"},
    "daemon": {"daemon", "source", "readers", "metrics", "web", "checkpoint", "model", "config", "base"},
    "cli": {
        "cli",
        "demo",
        "daemon",
        "assets",
        "web",
        "source",
        "readers",
        "metrics",
        "model",
        "config",
        "base",
    },
    "demo": {"demo", "cli", "assets", "daemon", "web", "config", "base"},
    "workflow": {"workflow", "cli", "daemon", "web", "source", "readers", "model", "config", "base"},
}
"""Of each folder: those that it may import. Imports only go down; the commands stand at the top."""
AT_THE_ROOT = {"__init__", "__main__"}
"""The package itself and what `python -m parsl_exporter` runs: no other module lies outside a folder."""
LIBRARIES = {
    "base": {"numpy", "sqlalchemy"},
    "assets": set[str](),
    "config": {"yaml", "sqlalchemy"},
    "model": {"numpy"},
    "metrics": {"google", "prometheus_client"},
    "readers": {"numpy", "sqlalchemy", "psycopg"},
    "web": {"uvicorn", "bcrypt"},
    "checkpoint": {"numpy"},
    "source": set[str](),
    "daemon": {"prometheus_client"},
    "cli": {"rich", "prometheus_client"},
    "demo": {"parsl", "rich"},
    "workflow": {"rich", "sqlalchemy"},
}
"""Of each folder: the libraries that it may import beside the standard one."""
OF_URLS = {
    "base.redaction",
    "config.types",
    "readers.postgresql.reader",
    "readers.postgresql.session",
    "readers.targets",
    "workflow.database",
}
"""The modules that may know SQLAlchemy: `make unit` runs their tests with its next version, too."""


def layer(module: str) -> str:
    return module.partition(".")[0]


@cache
def imports(module: str) -> frozenset[str]:
    """The full names of what a module imports; those for type checking too."""
    package = f"parsl_exporter.{module}".rpartition(".")[0]
    names = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports relative to {package} hide the layer"
            names.add(node.module or "")
    return frozenset(names)


def own(name: str) -> str | None:
    """The layer of one of the package's modules; None for a library."""
    first, _, rest = name.partition(".")
    return layer(rest) if first == "parsl_exporter" else None


def of_layer(wanted: str) -> list[str]:
    return [module for module in MODULES if layer(module) == wanted]


def test_every_module_lies_in_a_folder_that_has_a_rule() -> None:
    assert {layer(module) for module in MODULES} - AT_THE_ROOT == ALLOWED.keys() == LIBRARIES.keys()


@pytest.mark.parametrize("name", ALLOWED)
def test_a_layer_imports_only_those_below_it(name: str) -> None:
    assert of_layer(name)
    for module in of_layer(name):
        found = {one for imported in imports(module) if (one := own(imported)) is not None}
        assert found <= ALLOWED[name], module


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_layer_needs_few_libraries(name: str) -> None:
    for module in of_layer(name):
        found = {imported.partition(".")[0] for imported in imports(module) if own(imported) is None}
        assert found - sys.stdlib_module_names <= LIBRARIES[name], module


def test_only_what_reads_database_urls_knows_sqlalchemy() -> None:
    """And of it no more than its URLs: engines and statements are the drivers' own."""
    known = {
        module: {name for name in imports(module) if name.partition(".")[0] == "sqlalchemy"}
        for module in MODULES
    }
    assert {module for module, names in known.items() if names} == OF_URLS
    assert set().union(*known.values()) <= {"sqlalchemy", "sqlalchemy.engine", "sqlalchemy.exc"}


@pytest.mark.parametrize(
    ("name", "forbidden"),
    [
        ("model", {"sqlite3", "time", "os", "socket", "threading", "logging", "pathlib", "random"}),
        ("metrics", {"sqlite3", "time", "os", "socket", "logging", "pathlib"}),
        ("readers", {"prometheus_client", "logging"}),
    ],
)
def test_a_layer_keeps_to_its_own_trade(name: str, forbidden: set[str]) -> None:
    for module in of_layer(name):
        assert not {imported.partition(".")[0] for imported in imports(module)} & forbidden, module


def test_check_and_status_start_without_the_http_server() -> None:
    modules = ("cli.check", "cli.status", "web.configuration")
    imported = ", ".join(f"parsl_exporter.{module}" for module in modules)
    program = f"import sys, {imported}; print('uvicorn' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), stdout=subprocess.PIPE, check=True
    )
    assert done.stdout == b"False\n"
