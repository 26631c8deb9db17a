"""Who may import whom: rows flow from reader to model to families to page, and nothing reaches back."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import parsl_exporter

PACKAGE = Path(parsl_exporter.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
EVERYWHERE = {"", "errors", "logs"}
"""The package's own name and version, the error tree, the log lines: below everything else."""
ALLOWED = {
    "model": {"model", "columns", "tables"},
    "metrics": {"metrics", "model", "tables", "errors"},
    "read": {"read", "columns", "tables", "errors", "settings", "redaction", "shard"},
    "columns": set[str](),
    "shard": set[str](),
    "tables": set[str](),
    "web": {"web", *EVERYWHERE, "listen_address", "redaction", "setting_kinds", "yaml_nodes"},
}
"""Of a layer: the layers that it may import."""
LIBRARIES = {
    "model": {"numpy"},
    "metrics": {"prometheus_client"},
    "tables": set[str](),
    "columns": {"numpy"},
    "read": {"numpy", "sqlalchemy", "psycopg"},
}
"""Of a layer: the libraries that it may import beside the standard one."""


def layer(module: str) -> str:
    return module.partition(".")[0]


def imports(module: str) -> Iterator[str]:
    """The full names of what a module imports; those for type checking too."""
    package = f"parsl_exporter.{module}".rpartition(".")[0]
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports relative to {package} hide the layer"
            yield node.module or ""


def own(name: str) -> str | None:
    """The layer of one of the package's modules; None for a library."""
    first, _, rest = name.partition(".")
    return layer(rest) if first == "parsl_exporter" else None


def of_layer(wanted: str) -> list[str]:
    return [module for module in MODULES if layer(module) == wanted]


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


@pytest.mark.parametrize(
    ("name", "forbidden"),
    [
        ("model", {"sqlite3", "time", "os", "socket", "threading", "logging", "pathlib", "random"}),
        ("metrics", {"sqlite3", "time", "os", "socket", "logging", "pathlib"}),
        ("read", {"prometheus_client", "logging"}),
    ],
)
def test_a_layer_keeps_to_its_own_trade(name: str, forbidden: set[str]) -> None:
    for module in of_layer(name):
        assert not {imported.partition(".")[0] for imported in imports(module)} & forbidden, module


def test_the_page_is_served_without_databases_and_read_without_sockets() -> None:
    assert all("web" not in {own(name) for name in imports(module)} for module in ("source", "dump"))
    for module in of_layer("web"):
        assert not {own(name) for name in imports(module)} & {"read", "model", "metrics", "source", "daemon"}


def test_nothing_imports_the_commands() -> None:
    commands = {"cli", "demo", "dump", "check"}
    for module in MODULES:
        if layer(module) not in {*commands, "__main__"}:
            assert not {own(name) for name in imports(module)} & commands, module
