"""One version: what is built, its images, and what the changelog says of it."""

from __future__ import annotations

import re
from datetime import date

from support.exporter_process import ROOT
from support.packages import PROJECT
from support.stack_files import SERVICES

VERSION = PROJECT["version"]
HEADINGS = re.findall(r"(?m)^## (.*)$", (ROOT / "CHANGELOG.md").read_text())
RELEASED = [re.fullmatch(r"\[([0-9.]+)\] - (\d{4}-\d\d-\d\d)", one) for one in HEADINGS[1:]]
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
"""https://keepachangelog.com/en/1.1.0/"""


def test_images_bear_the_version() -> None:
    tags = {SERVICES[name]["image"].partition(":")[2] for name in ("exporter", "demo")}
    assert tags == {VERSION}


def test_the_changelog_has_what_is_to_come_and_then_each_release_with_its_date() -> None:
    assert HEADINGS[0] == "[Unreleased]"
    assert all(RELEASED), HEADINGS
    dates = [date.fromisoformat(one[2]) for one in RELEASED if one]
    assert dates == sorted(dates, reverse=True)


def test_the_version_is_one_that_is_not_before_the_last_release() -> None:
    versions = [tuple(map(int, text.split("."))) for text in [VERSION, *(one[1] for one in RELEASED if one)]]
    assert versions == sorted(versions, reverse=True)


def test_changes_are_of_the_usual_kinds() -> None:
    kinds = re.findall(r"(?m)^### (.*)$", (ROOT / "CHANGELOG.md").read_text())
    assert set(kinds) <= KINDS
