"""What tests run with is pinned: a machine that is set up tomorrow has the tools of today."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.exporter_process import ROOT
from support.packages import PROJECT, PYPROJECT

ENVIRONMENTS = {
    "lock.txt": ("test", "demo", "dashboards", "docs", "kubernetes", "measure"),
    "lock-sqlalchemy21.txt": ("test",),
}
IMAGES = {"lock-image.txt": ("postgresql", "web"), "lock-demo.txt": ("postgresql", "web", "demo")}
"""What the images are made of: the exporter's does all that config/exporter.yml can be told to do."""


def lines(name: str) -> list[str]:
    """The requirements of a lock, each with its hashes on one line."""
    return (ROOT / ".ci" / name).read_text().replace("\\\n", " ").splitlines()


def pinned(name: str) -> dict[str, str]:
    found = (Requirement(line.partition(" --hash")[0]) for line in lines(name))
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in found}


def held(asked: list[str], name: str) -> None:
    versions = pinned(name)
    for one in map(Requirement, asked):
        version = versions.get(canonicalize_name(one.name))
        assert version is not None, f"{one.name}: make lock"
        assert one.specifier.contains(version), f"{one} is not {version}: make lock"


@pytest.mark.parametrize(("name", "extras"), (ENVIRONMENTS | IMAGES).items())
def test_a_lock_has_all_that_is_asked_for_and_in_the_range_that_is_allowed(
    name: str, extras: tuple[str, ...]
) -> None:
    optional = PROJECT["optional-dependencies"]
    held(PROJECT["dependencies"] + [one for extra in extras for one in optional[extra]], name)


def test_the_lock_of_the_build_has_what_builds_the_wheel() -> None:
    held(PYPROJECT["build-system"]["requires"], "lock-build.txt")


@pytest.mark.parametrize("name", [*IMAGES, "lock-build.txt"])
def test_each_file_of_an_image_is_known_by_its_hash(name: str) -> None:
    for line in lines(name):
        assert re.fullmatch(r"\S+==\S+( ; .+?)?( +--hash=sha256:[0-9a-f]{64})+", line), line


def test_images_have_the_versions_that_tests_run_with() -> None:
    """But SQLAlchemy's, which Parsl keeps down where it is installed: its next version has tests of its own."""
    tested = pinned("lock.txt")
    for name in IMAGES:
        other = {one for one, version in pinned(name).items() if tested.get(one) != version}
        assert other <= {"sqlalchemy"}, f"{name}: make lock"
