"""In which zone the rows of an executor's workers are read, and when they have to wait for it."""

from __future__ import annotations

from datetime import timezone
from zoneinfo import ZoneInfo

from support.oracle import BYTES, SECONDS
from support.rows import RUN

from parsl_exporter.model.observations import Buckets
from parsl_exporter.model.run import Limits, Run
from parsl_exporter.model.run_facts import Info
from parsl_exporter.model.timestamps import Stamps
from parsl_exporter.model.worker_zones import WorkerZones

PARIS, UTC = ZoneInfo("Europe/Paris"), timezone.utc
OWN = Stamps(UTC)
OVER = Info("wf", "1", "submit", "me", "/runs", 0, 1, 1)


def a_run(*placed: str, over: bool = False) -> Run:
    """A run, and those of its executors that have a block."""
    run = Run(RUN, Buckets.of(SECONDS, BYTES), Limits(30.0, 900.0, 900.0, 10))
    run.placed.update(placed)
    run.info = OVER if over else None
    return run


def test_rows_of_a_try_whose_executor_is_not_known_wait_until_the_run_is_over() -> None:
    zones = WorkerZones([("*", PARIS)])
    assert zones.stamps(a_run(), None, OWN, last_call=False) is None
    assert zones.stamps(a_run(), None, OWN, last_call=True) is None
    assert zones.stamps(a_run(over=True), None, OWN, last_call=False) is None
    assert zones.stamps(a_run(over=True), None, OWN, last_call=True) is OWN


def test_the_first_pattern_that_matches_says_the_zone() -> None:
    zones = WorkerZones([("ht*", PARIS), ("*", UTC)])
    paris, utc = zones.zones()
    for executor, stamps in (("htex", paris), ("other", utc)):
        assert zones.stamps(a_run(executor), executor, OWN, last_call=False) is stamps
        assert zones.read_by(a_run(executor), executor, OWN) is stamps


def test_an_executor_that_no_pattern_matches_is_read_in_the_runs_zone_at_once() -> None:
    zones = WorkerZones([("htex", PARIS)])
    assert zones.stamps(a_run(), "threads", OWN, last_call=False) is OWN
    assert zones.read_by(a_run(), "threads", OWN) is OWN


def test_an_executor_without_a_block_waits_for_one_until_the_end_of_a_poll() -> None:
    zones, run = WorkerZones([("htex", PARIS)]), a_run()
    assert zones.stamps(run, "htex", OWN, last_call=False) is None
    assert zones.stamps(run, "htex", OWN, last_call=True) is OWN
    assert zones.stamps(run, "htex", OWN, last_call=False) is OWN
    assert zones.read_by(run, "htex", OWN) is OWN


def test_a_run_whose_executor_gets_a_block_after_that_was_misread_once_and_is_read_in_its_zone_from_then() -> (
    None
):
    zones, run = WorkerZones([("htex", PARIS)]), a_run()
    zones.stamps(run, "htex", OWN, last_call=True)
    assert not zones.misread(run)
    run.placed.add("htex")
    assert zones.misread(run)
    assert not zones.misread(run)
    anew = a_run()
    (paris,) = zones.zones()
    assert zones.stamps(anew, "htex", OWN, last_call=False) is paris
    assert zones.read_by(anew, "htex", OWN) is paris


def test_a_run_that_is_forgotten_begins_anew() -> None:
    zones, run = WorkerZones([("htex", PARIS)]), a_run()
    zones.forget(RUN)
    zones.stamps(run, "htex", OWN, last_call=True)
    zones.forget(RUN)
    assert zones.stamps(run, "htex", OWN, last_call=False) is None
    zones.stamps(run, "htex", OWN, last_call=True)
    run.placed.add("htex")
    assert zones.misread(run)
    zones.forget(RUN)
    assert zones.stamps(a_run(), "htex", OWN, last_call=False) is None


def test_without_patterns_there_are_no_zones() -> None:
    assert WorkerZones([("htex", PARIS)])
    assert not WorkerZones([])
