"""Every dashboard passes the TypeScript compiler against Grafana's own types of dashboards and panels."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from grafana import inventory

pytestmark = pytest.mark.stack

HARNESS = Path(__file__).with_name("schema")


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the harness and what it needs, from npm."""
    npm = shutil.which("npm")
    if npm is None:
        assert not os.environ.get("CI"), "npm is not installed"
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("schema")
    for file in HARNESS.iterdir():
        shutil.copy(file, folder)
    (folder / "boards").mkdir()
    command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"npm cannot install: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    return folder


def complaints(compiler: Path, **boards: Any) -> str:
    """What the compiler says of these dashboards."""
    for old in (compiler / "boards").iterdir():
        old.unlink()
    for name, board in boards.items():
        text = json.dumps(board, ensure_ascii=False, indent=2)
        file = compiler / "boards" / f"{name}.ts"
        file.write_text(
            f"import type {{ Board }} from '../strict';\nexport const board = {text} satisfies Board;\n",
            encoding="utf-8",
        )
    done = subprocess.run(
        ["node", "node_modules/typescript/bin/tsc", "--project", ".", "--pretty", "false"],
        cwd=compiler,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert bool(done.returncode) is bool(done.stdout), done.stderr
    return done.stdout


def test_every_dashboard_passes(compiler: Path) -> None:
    assert complaints(compiler, **{board["uid"]: board for board in inventory.boards()}) == ""


def without_a_target_expression(board: Any) -> None:
    del next(panel for panel in board["panels"] if panel["type"] == "stat")["targets"][0]["expr"]


def with_an_option_that_does_not_exist(board: Any) -> None:
    next(panel for panel in board["panels"] if panel["type"] == "stat")["options"]["colourMode"] = "value"


def with_a_value_that_an_option_does_not_have(board: Any) -> None:
    next(panel for panel in board["panels"] if panel["type"] == "stat")["options"]["colorMode"] = "bright"


def with_a_field_setting_that_does_not_exist(board: Any) -> None:
    panel = next(panel for panel in board["panels"] if panel["type"] == "timeseries")
    panel["fieldConfig"]["defaults"]["custom"]["lineThickness"] = 2


def with_an_override_that_does_not_exist(board: Any) -> None:
    panel = next(panel for panel in board["panels"] if panel["type"] == "table")
    panel["fieldConfig"]["overrides"][0]["properties"][0]["id"] = "custom.colour"


def with_a_key_that_dashboards_do_not_have(board: Any) -> None:
    board["refreshEvery"] = "1m"


def with_a_stray_variable_key(board: Any) -> None:
    board["templating"]["list"][1]["auto"] = False


@pytest.mark.parametrize(
    "broken",
    [
        without_a_target_expression,
        with_an_option_that_does_not_exist,
        with_a_value_that_an_option_does_not_have,
        with_a_field_setting_that_does_not_exist,
        with_an_override_that_does_not_exist,
        with_a_key_that_dashboards_do_not_have,
        with_a_stray_variable_key,
    ],
)
def test_the_compiler_refuses_a_dashboard(compiler: Path, broken: Any) -> None:
    (board,) = (board for board in inventory.boards() if board["uid"] == "parsl-overview")
    broken(board)
    assert "boards/overview.ts" in complaints(compiler, overview=board)
