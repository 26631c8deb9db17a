"""SECURITY.md says what is shown, what hides it, and the numbers that the code has."""

from __future__ import annotations

import re

from support.exporter_process import ROOT

from parsl_exporter.config.settings import WebSettings
from parsl_exporter.config.types import HIDEABLE
from parsl_exporter.metrics.families import FAMILIES
from parsl_exporter.model import names
from parsl_exporter.readers.sqlite import faults, file
from parsl_exporter.web import authentication, server

PAGE = " ".join((ROOT / "SECURITY.md").read_text(encoding="utf-8").split())


def test_every_label_is_in_it() -> None:
    table = PAGE[PAGE.index("| what |") : PAGE.index("Arguments and results")]
    assert set(re.findall(r"`(\w+)`", table)) - {"status"} == {
        label for one in FAMILIES for label in one.labels
    }


def test_it_has_what_holds_by_default_and_what_can_be_hidden() -> None:
    (address,) = WebSettings().listen_address
    assert f"By default it listens on `{address}`" in PAGE
    assert f"`hide_labels: [{', '.join(HIDEABLE)}]`" in PAGE


def test_its_limits_are_those_of_the_code() -> None:
    for text in (
        f"Each read ends after {file.DEADLINE:g} s",
        f"Names are cut to {names.LONGEST} characters",
        f"{server._MOST_CONNECTIONS:,} at a time are let in",
        f"limited to {server._LONGEST_HEAD // 1024} KiB",
    ):
        assert text in PAGE
    assert faults.LONGEST_VALUE == 1_000_000
    assert (authentication._MOST_AT_A_TIME, authentication._MOST_OF_A_CLIENT) == (8, 4)
