"""Real exporters that are ended or killed, and the next ones that go on from their checkpoints."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.checkpoints import files
from support.exporter_process import Serving, ended, serving, until
from support.replay import CLOCKS, Clocks, Replay
from support.source_harness import SOURCE
from test_restart import comes_true, configured, of_runs, shown

KILLS = 3
GOES_ON, NOT_USED = "goes on from its checkpoint", "checkpoint not used: everything is read"

pytestmark = pytest.mark.integration


def read(exporter: Serving, state: Path) -> None:
    """Wait until it is ready and has kept what it knows."""
    until("readiness", lambda: exporter.get("/-/ready")[0] == 200)
    until("a checkpoint", lambda: files(state) or None)


@pytest.mark.parametrize("name", ["managerlost-2026.10.26", "std-2026.10.26", *CLOCKS])
def test_a_killed_exporter_goes_on_with_the_truth(
    name: str, folder: Path, set_tz: Callable[[str], None]
) -> None:
    set_tz(CLOCKS.get(name, Clocks()).tz)
    replay = Replay(name, folder)
    chance = random.Random(name)
    config, state = configured(replay), folder / "state"
    kills = sorted(chance.sample(range(1, len(replay.commits)), KILLS))
    done = 0
    for number, kill in enumerate([*kills, len(replay.commits)]):
        with serving(folder, "--config.file", config, "--state.directory", state) as exporter:
            read(exporter, state)
            assert len(exporter.events(GOES_ON)) == bool(number)
            assert exporter.events(NOT_USED) == []
            comes_true(exporter, replay)
            for commit in replay.commits[done:kill]:
                replay.play(commit)
            done = kill
            if chance.random() < 0.5:
                comes_true(exporter, replay)
                assert ended(exporter.process, signal.SIGTERM)[0] == 0
    with serving(folder, "--config.file", config, "--state.directory", state) as exporter:
        comes_true(exporter, replay)


def test_what_is_known_at_a_clean_end_is_kept_in_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder that systemd gives."""
    monkeypatch.setenv("STATE_DIRECTORY", f"{folder / 'state'}:{folder / 'other'}")
    replay = Replay("std-2026.10.26", folder)
    config = configured(replay)
    for commit in replay.commits[:20]:
        replay.play(commit)
    with serving(folder, "--config.file", config) as exporter:
        read(exporter, folder / "state")
        for commit in replay.commits[20:]:
            replay.play(commit)
        comes_true(exporter, replay)
        status, seconds = ended(exporter.process, signal.SIGTERM)
        assert (status, seconds < 2) == (0, True)
    with serving(folder, "--config.file", config) as exporter:
        until("a page of runs", lambda: of_runs(shown(exporter)) or None)
        rows = exporter.value(f'parsl_exporter_rows_read_total{{source="{SOURCE}",table="status"}}')
        (line,) = exporter.events(GOES_ON)
        assert line["runs"] == 2
        comes_true(exporter, replay)
        assert exporter.value(f'parsl_exporter_rows_read_total{{source="{SOURCE}",table="status"}}') == rows
    assert not (folder / "other").exists()


def test_two_exporters_need_two_folders_and_serve_without(folder: Path) -> None:
    replay = Replay("managerlost-2026.10.26", folder)
    config, state = configured(replay), folder / "state"
    (folder / "second").mkdir()
    with serving(folder, "--config.file", config, "--state.directory", state) as first:
        read(first, state)
        with serving(folder / "second", "--config.file", config, "--state.directory", state) as second:
            until("readiness", lambda: second.get("/-/ready")[0] == 200)
            (line,) = second.events(NOT_USED)
            assert (
                line["why"]
                == f"{state}/checkpoints: another exporter uses it; give each its own state directory"
            )
            for commit in replay.commits:
                replay.play(commit)
            comes_true(second, replay)
        comes_true(first, replay)


def test_a_state_directory_of_parsl_s_own_is_left_alone(folder: Path) -> None:
    replay = Replay("managerlost-2026.10.26", folder)
    config = configured(replay)
    before = sorted(folder.iterdir())
    with serving(folder, "--config.file", config, "--state.directory", folder) as exporter:
        until("readiness", lambda: exporter.get("/-/ready")[0] == 200)
        (line,) = exporter.events(NOT_USED)
        assert line["why"] == f"{folder}: is a folder of Parsl's; give one that is the exporter's own"
        comes_true(exporter, replay)
    assert {path.name for path in folder.iterdir()} - {path.name for path in before} <= {"exporter.log"}
