"""What a poll makes the server do depends on what is new, not on what is there."""

from __future__ import annotations

import re
from pathlib import Path

from support.pg import history
from support.pg.server import Server, running
from support.pg.watching import Watch

SWEEP = 15.0  # the default
LITTLE, MUCH, NEW = 30_000, 300_000, 1_000
_BUFFERS = re.compile(r"Buffers: shared hit=(\d+)")


def plans_of_a_poll(server: Server, database: str) -> list[str]:
    """The plans, with what they touched, of the statements of one poll that finds `NEW` status rows."""
    log = server.folder / "log"
    with Watch(server.url(database, "reader"), sweep=SWEEP, retention=900.0) as watch:
        for first in range(0, 5 * NEW, NEW):
            history.add(server, database, first, NEW)
            before = log.stat().st_size
            rows = watch.source.published.rows
            watch.poll()
        assert watch.up
        assert watch.source.published.rows - rows >= NEW
    return [entry for entry in log.read_text()[before:].split("parsl-exporter:LOG:") if "plan:" in entry]


def buffers(plans: list[str]) -> int:
    return sum(int(_BUFFERS.findall(plan)[0]) for plan in plans if "Buffers: shared hit" in plan)


def test_a_poll_scans_no_table_and_touches_as_many_pages_after_ten_times_the_history(tmp_path: Path) -> None:
    with running(
        "shared_preload_libraries=auto_explain", "auto_explain.log_min_duration=0", "auto_explain.log_analyze=on",
        "auto_explain.log_buffers=on", "log_line_prefix=%a:",
    ) as server:  # fmt: skip
        polls = {}
        for rows in (LITTLE, MUCH):
            history.make(server, f"runs{rows}", rows)
            server.execute(f"runs{rows}", "VACUUM ANALYZE")
            polls[rows] = plans_of_a_poll(server, f"runs{rows}")

    for plans in polls.values():
        assert len(plans) >= 5
        scans = [line for plan in plans for line in plan.splitlines() if "Seq Scan" in line]
        assert [
            line for line in scans if re.search(r"on (workflow|task|try|status|resource|block|node)\b", line)
        ] == []
        assert any("Tid Range Scan on status" in plan for plan in plans)
        assert any("Index Scan using try_pkey" in plan for plan in plans)
    little, much = (buffers([p for p in plans if "_pkey" not in p]) for plans in polls.values())
    assert little > 10
    assert much < 1.2 * little
    # A larger index may be a level higher: one page more for each task and try that is looked up.
    little, much = (buffers([p for p in plans if "_pkey" in p]) for plans in polls.values())
    assert little > 100
    assert much <= little + 2 * NEW / history.ROWS_A_TASK
