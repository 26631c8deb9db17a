"""What tests run with is pinned: a machine that is set up tomorrow has the tools of today."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.exporter_process import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENTS = {
    "lock.txt": ("test", "demo", "dashboards", "docs", "kubernetes", "measure"),
    "lock-sqlalchemy21.txt": ("test",),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_lock_has_all_that_the_tests_ask_for_and_in_the_range_that_they_allow(name: str) -> None:
    lines = map(Requirement, (ROOT / ".ci" / name).read_text().splitlines())
    pinned = {canonicalize_name(line.name): str(line.specifier).removeprefix("==") for line in lines}
    asked = PROJECT["dependencies"] + [
        one for extra in ENVIRONMENTS[name] for one in PROJECT["optional-dependencies"][extra]
    ]
    for one in map(Requirement, asked):
        version = pinned.get(canonicalize_name(one.name))
        assert version is not None, f"{one.name}: make lock"
        assert one.specifier.contains(version), f"{one} is not {version}: make lock"
