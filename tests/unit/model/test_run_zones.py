"""In which zone the stamps of a run's submit side are read."""

from __future__ import annotations

from datetime import timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from support.rows import EPOCH, as_rows, stamp, workflow

from parsl_exporter.base.tables import Row
from parsl_exporter.model.run_zones import RunZones

PARIS, CHICAGO, UTC = ZoneInfo("Europe/Paris"), ZoneInfo("America/Chicago"), timezone.utc


def row(run_id: str, host: Any) -> Row:
    ((_, found),) = as_rows([workflow(run_id, host=host)])
    return found


@pytest.mark.parametrize("host", ["elsewhere", "", None, 7])
def test_a_run_on_a_host_that_no_pattern_matches_is_read_in_the_zone_of_the_source(host: Any) -> None:
    zones = RunZones(UTC, [("login*", PARIS)])
    zones.learn([row("r", host)])
    assert zones.stamps("r") is zones.default
    assert zones.unknown(["r"]) == []


def test_the_first_pattern_that_matches_its_host_says_the_zone() -> None:
    zones = RunZones(UTC, [("login*", PARIS), ("*", CHICAGO)])
    zones.learn([row("first", "login1"), row("second", "head")])
    assert [zones.stamps("first"), zones.stamps("second")] == zones.others
    noon = [zones.stamps(run).read(stamp(0)) / 1_000_000 for run in ("first", "second", "other")]
    assert noon == [EPOCH - 3_600, EPOCH + 6 * 3_600, EPOCH]


def test_the_zone_of_a_run_is_not_known_until_its_workflow_row_came_or_is_given_up() -> None:
    zones = RunZones(UTC, [("*", PARIS)])
    zones.learn([row("known", "login1")])
    assert zones.unknown(["b", "known", "a"]) == ["a", "b"]
    zones.settle(["a", "known"])
    assert zones.unknown(["b", "known", "a"]) == ["b"]
    assert (zones.stamps("a"), zones.stamps("known")) == (zones.default, zones.others[0])


def test_where_all_runs_have_one_zone_it_is_known_at_once() -> None:
    zones = RunZones(UTC, [])
    zones.learn([row("r", "login1")])
    assert zones.unknown(["r", "other"]) == []
    assert zones.stamps("r") is zones.default


@pytest.mark.parametrize("run_id", [None, 7, b"r"])
def test_what_is_no_run_id_is_read_in_the_zone_of_the_source(run_id: object) -> None:
    zones = RunZones(UTC, [("*", PARIS)])
    assert zones.stamps(run_id) is zones.default


@pytest.mark.parametrize(
    ("least", "greatest", "in_order"),
    [
        (stamp(0), stamp(60), True),
        (stamp(0), stamp(61), False),  # later than now
        (stamp(0), "?", False),
        ("2025-10-26 01:30:00.000000", "2025-10-26 04:00:00.000000", False),  # an hour of Paris came twice
        ("2025-11-02 00:30:00.000000", "2025-11-02 03:00:00.000000", True),  # of a zone that is none of these
    ],
)
def test_the_greatest_stamp_is_the_newest_where_no_zone_says_otherwise(
    least: str, greatest: str, in_order: bool
) -> None:
    assert RunZones(UTC, [("*", PARIS)]).in_order(least, greatest, EPOCH + 60) is in_order


@pytest.mark.parametrize(
    ("run_id", "least", "greatest", "in_order"),
    [
        ("chicago", stamp(-6 * 3_600), stamp(-6 * 3_600), True),
        ("chicago", stamp(0), stamp(0), False),  # later than now
        ("utc", stamp(0), stamp(0), True),  # which in Chicago would be later than now
        ("unknown", stamp(0), stamp(0), False),
        ("chicago", "2025-10-26 01:30:00.000000", "2025-10-26 04:00:00.000000", True),
        ("paris", "2025-10-26 01:30:00.000000", "2025-10-26 04:00:00.000000", False),  # an hour came twice
        ("unknown", "2025-10-26 01:30:00.000000", "2025-10-26 04:00:00.000000", False),
    ],
)
def test_the_greatest_stamp_of_a_run_is_the_newest_where_the_zone_of_the_run_does_not_say_otherwise(
    run_id: str, least: str, greatest: str, in_order: bool
) -> None:
    zones = RunZones(UTC, [("login*", PARIS), ("head*", CHICAGO)])
    zones.learn([row("paris", "login1"), row("chicago", "head1"), row("utc", "elsewhere")])
    assert zones.in_order(least, greatest, EPOCH + 60, run_id) is in_order
