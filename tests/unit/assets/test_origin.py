"""What belongs to the exporter is found in a checkout, and a wheel packs the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.exporter_process import ROOT
from support.packages import PYPROJECT

from parsl_exporter.assets import origin
from parsl_exporter.base.errors import AssetsFault

WHEEL = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]


def test_a_checkout_has_the_files_where_they_are_written() -> None:
    found = origin.originals()
    for name in ("config/rules/alerts.yml", "docs/runbooks.md", "grafana/dashboards/parsl-overview.json"):
        assert found[name] == (ROOT / name).read_bytes()


def test_a_wheel_packs_the_same_files_and_the_package() -> None:
    assert set(WHEEL["only-include"]) == {*origin.BELONG, "exporter/parsl_exporter"}
    packed = {name: f"parsl_exporter/assets/files/{name}" for name in ("config", "docs", "grafana")}
    assert WHEEL["sources"] == packed | {"exporter": ""}


def test_a_package_that_lacks_them_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "_PACKED", tmp_path / "files")
    monkeypatch.setattr(origin, "_CHECKOUT", tmp_path)
    with pytest.raises(AssetsFault, match=r"files: is not there; install parsl-exporter anew"):
        origin.originals()
