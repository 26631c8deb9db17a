"""The committed JSON is what the code makes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def build() -> Iterator[ModuleType]:
    """The builder."""
    if not os.environ.get("CI"):
        pytest.importorskip("grafana_foundation_sdk")
    from grafana import build

    yield build


def test_the_committed_json_is_up_to_date(build: ModuleType) -> None:
    assert build.main(["--check"]) == 0


def test_the_check_names_files_that_are_changed_missing_or_extra(build: ModuleType, tmp_path: Path) -> None:
    build.write(tmp_path)
    assert build.stale(tmp_path) == []
    changed = tmp_path / "parsl-overview.json"
    changed.write_text(changed.read_text().replace("now-6h", "now-7h"))
    (tmp_path / "parsl-exporter.json").unlink()
    (tmp_path / "old.json").write_text("{}")
    assert build.stale(tmp_path) == ["old.json", "parsl-exporter.json", "parsl-overview.json"]
    build.write(tmp_path)
    assert build.stale(tmp_path) == []


def test_the_json_is_sorted_and_the_same_every_time(build: ModuleType) -> None:
    assert build.render() == build.render()
    for text in build.render().values():
        assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
