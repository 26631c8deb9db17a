"""Life is judged right whatever clocks and zones say: real runs under Prometheus, watched alive, then killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import pytest
import yaml
from alerting import site, write_prometheus, write_rules
from support.loopback import query
from support.processes import eventually, free_port, of_session, required, there

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.nightly]

SILENT_SECONDS = 30
SITE = {
    "run_silent_seconds": SILENT_SECONDS,
    "run_quiet_seconds": 2 * SILENT_SECONDS,
    "block_stalled_seconds": SILENT_SECONDS,
    "block_without_manager_seconds": SILENT_SECONDS,
    "tasks_without_block_seconds": SILENT_SECONDS,
    "source_down_seconds": 60,
}
"""A site's thresholds. The other ones are the defaults."""

TOLD_SECONDS = SILENT_SECONDS + 60
"""Until a death must have been told: the threshold, the last rows that are on their way, a machine that is busy."""
BEFORE_CHANGE = 150
"""Seconds that the runs have to begin, before clocks go back for one of them."""
AFTER_CHANGE = 2 * SILENT_SECONDS

UTC_WORKERS = "export TZ=UTC"


class Case(NamedTuple):
    """The zones of the submit process and its exporter, and what makes its workers' stamps others."""

    zone: str
    worker_init: str = ""
    worker_timezone: str | None = None
    fake_clock: str | None = None
    says: bool = False
    """Whether the log names the host and the setting."""


GOES_BACK = "goes back"
CASES = {
    "workers an hour behind": Case("Europe/Paris", UTC_WORKERS, says=True),
    "workers an hour behind, as configured": Case("Europe/Paris", UTC_WORKERS, "UTC"),
    "workers hours ahead": Case("America/Chicago", UTC_WORKERS, says=True),
    "an hour comes twice": Case(GOES_BACK),
    "a worker's clock is ahead": Case("UTC", fake_clock="+127m"),
    "a worker's clock is behind": Case("UTC", fake_clock="-127m"),
}


class Seen(NamedTuple):
    """What was seen of the sources, by the name of their case, while their runs were alive, and of their deaths."""

    alerts: dict[bool, dict[str, set[str]]]
    values: dict[str, dict[str, float]]
    dead: dict[bool, set[str]]
    logs: dict[str, str]


VALUES = {
    "row": "time() - parsl_workflow_last_row_timestamp_seconds",
    "event": "time() - parsl_workflow_last_event_timestamp_seconds",
    "activity": "time() - max by (source) (parsl_block_last_activity_timestamp_seconds)",
    "activity ahead": "max_over_time((max by (source) (parsl_block_last_activity_timestamp_seconds) - time())[10m:1s])",
    "running": 'time() - min by (source) (parsl_task_oldest_timestamp_seconds{state="running"} > 0)',
    "begun": "time() - parsl_workflow_start_timestamp_seconds",
}


def going_back(at: datetime) -> str:
    """A POSIX zone, two hours behind UTC, whose clocks go back an hour at that moment."""
    local = at - timedelta(hours=2)
    day = (
        local.replace(year=2025).timetuple().tm_yday if (local.month, local.day) != (2, 29) else 60
    )  # J counts no 29 February
    return f"XST3XDT2,J{(day + 180) % 365 + 1},J{day}/{local:%H:%M:%S}"


def fake_clock_library() -> str:
    command = [required("faketime"), "-m", "-f", "+0", sys.executable, "-S", "-c"]
    asked = [*command, "import os; print(os.environ['LD_PRELOAD'])"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """The runs begin, are watched across the change of clocks and a restart of their exporters, and are killed."""
    prometheus, library = there("prometheus"), fake_clock_library()
    folder = tmp_path_factory.mktemp("clocks")
    change = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=BEFORE_CHANGE)
    names = {case: f"case{number}" for number, case in enumerate(CASES)}
    ports = {case: free_port() for case in CASES}
    urls = {}
    with site(folder) as here:

        def zone(case: str) -> str:
            return going_back(change) if CASES[case].zone == GOES_BACK else CASES[case].zone

        def start_exporter(case: str, log: str) -> subprocess.Popen[str]:
            source = {"path": f"{names[case]}/runinfo/monitoring.db", "name": case}
            if told := CASES[case].worker_timezone:
                source["worker_timezone"] = told
            config = folder / f"{names[case]}.yml"
            config.write_text(yaml.safe_dump({"sources": [source]}))
            name = f"{names[case]}-{log}"
            return here.start_exporter(ports[case], f"--config.file={config}", name=name, TZ=zone(case))

        runs = {}
        for case, (_, worker_init, _, fake_clock, _) in CASES.items():
            init = worker_init
            if fake_clock:
                init = f"export LD_PRELOAD='{library}' FAKETIME={fake_clock} FAKETIME_DONT_FAKE_MONOTONIC=1"
            runs[case] = here.start_run("healthy", names[case], WORKER_INIT=init, TZ=zone(case))
        exporters = {case: start_exporter(case, "first") for case in CASES}
        for today, program in prometheus.items():
            home, port = folder / f"prometheus{today:d}", free_port()
            write_rules(home / "rules", SITE)
            write_prometheus(home / "prometheus.yml", free_port(), free_port())
            config = yaml.safe_load((home / "prometheus.yml").read_text())
            config["scrape_configs"][0]["static_configs"][0]["targets"] = [
                f"127.0.0.1:{port}" for port in ports.values()
            ]
            (home / "prometheus.yml").write_text(yaml.safe_dump(config))
            here.start(
                f"prometheus{today:d}", program, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                f"--web.listen-address=127.0.0.1:{port}", cwd=home,
            )  # fmt: skip
            urls[today] = f"http://127.0.0.1:{port}"

        def sources(today: bool, expr: str) -> set[str]:
            return {one["metric"]["source"] for one in query(urls[today], expr)}

        for case, run in runs.items():
            run.begun()
            eventually(f"{case}: samples of a running task", 60, run.samples_a_running_task)
        eventually("clocks to have gone back", BEFORE_CHANGE, lambda: datetime.now(timezone.utc) > change)
        eventually(
            "the runs to be watched beyond that", AFTER_CHANGE + 60,
            lambda: time.time() > change.timestamp() + AFTER_CHANGE and all(
                sources(today, f"count_over_time(parsl:run:live[5m]) > {AFTER_CHANGE}") == set(CASES) for today in urls
            ),
        )  # fmt: skip
        for exporter in exporters.values():
            exporter.send_signal(signal.SIGTERM)
        for exporter in exporters.values():
            exporter.wait(20)
        exporters = {case: start_exporter(case, "second") for case in CASES}
        again = time.time()
        eventually(
            "the runs to be watched again", 2 * TOLD_SECONDS,
            lambda: all(
                sources(
                    today, f"time() - (parsl:run:watched_since_timestamp_seconds > {again}) > {2 * SILENT_SECONDS + 10}"
                ) == set(CASES) for today in urls
            ),
        )  # fmt: skip

        values: dict[str, dict[str, float]] = {case: {} for case in CASES}
        for name, expr in VALUES.items():
            for one in query(urls[min(urls)], expr):
                values[one["metric"]["source"]][name] = float(one["value"][1])
        alerts: dict[bool, dict[str, set[str]]] = {today: {case: set() for case in CASES} for today in urls}
        for today, url in urls.items():
            for one in query(url, 'count_over_time(ALERTS{run_id=~".+"}[15m])'):
                alerts[today][one["metric"]["source"]].add(one["metric"]["alertname"])

        for run in runs.values():
            for pid in of_session(run.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        dead: dict[bool, set[str]] = {today: set() for today in urls}
        with suppress(AssertionError):  # each test says which one was missed

            def all_told() -> bool:
                for today in urls:
                    dead[today] |= sources(today, 'ALERTS{alertname="ParslRunSilent", alertstate="firing"}')
                return all(found == set(CASES) for found in dead.values())

            eventually("all deaths told", TOLD_SECONDS, all_told)
        logs = {case: (folder / f"{names[case]}-first.log").read_text() for case in CASES}
        yield Seen(alerts, values, dead, logs)


each_case = pytest.mark.parametrize("case", CASES)


@each_case
def test_no_alert_on_a_run_that_is_alive(watched: Seen, case: str) -> None:
    assert {name for alerts in watched.alerts.values() for name in alerts[case]} == set()


@each_case
def test_the_death_of_a_run_is_told_in_time(watched: Seen, case: str) -> None:
    assert [today for today, dead in watched.dead.items() if case not in dead] == []


@each_case
def test_last_row_is_when_it_came_and_no_block_was_active_in_the_future(watched: Seen, case: str) -> None:
    values = watched.values[case]
    assert values["row"] < 20
    assert values["activity ahead"] <= 0


@pytest.mark.parametrize("case", ["workers an hour behind, as configured", "an hour comes twice"])
def test_times_are_right_where_zones_are_known(watched: Seen, case: str) -> None:
    values = watched.values[case]
    assert 0 <= values["event"] < 20
    assert 0 <= values["activity"] < 20
    assert BEFORE_CHANGE / 2 < values["running"] < values["begun"] < 900


@each_case
def test_the_log_names_host_and_setting_where_they_speak_against_the_zone(watched: Seen, case: str) -> None:
    assert ("worker_timezone: {" in watched.logs[case]) == CASES[case].says
