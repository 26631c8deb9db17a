"""Real Parsl runs that write to one PostgreSQL database at the same time, read while they go on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.pg import tables, workflow
from support.pg.server import Server
from support.pg.watching import Watch, settle


@pytest.mark.integration
def test_runs_are_read_while_they_go_on_and_end_as_the_oracle_has_them(
    server: Server, tmp_path: Path
) -> None:
    tables.create(server, "parsl")
    runs = [start(server, tmp_path / name) for name in ("one", "two")]
    try:
        with Watch(server.url("parsl", "reader")) as watch:
            watch.wait(lambda: all(run.poll() is not None for run in runs), 120)
            assert [run.returncode for run in runs] == [0, 0]
            assert settle(watch, server, "parsl", tmp_path / "twin.db", 30) == []
            assert watch.falls == []
            assert watch.source.published.series > 200
    finally:
        for run in runs:
            run.kill()
            run.wait()


def start(server: Server, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir()
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, workflow.__file__, server.url("parsl")],
            cwd=folder, stdout=output, stderr=output, env={**os.environ, "TZ": "UTC", "PATH": programs},
        )  # fmt: skip
