"""The cost of a poll of PostgreSQL that finds 1,000 new rows, after much history and after little."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from datetime import datetime

from pg import history
from pg.server import Server, running
from pg.watching import watching

SWEEP = 15.0  # the default
LITTLE, MUCH, NEW = 50_000, 5_000_000, 1_000
POLLS = 60


def main(arguments: Sequence[str] = ()) -> None:
    """Print milliseconds a poll and their ratio. An argument replaces the 5,000,000 rows."""
    much = int(arguments[0]) if arguments else MUCH
    with running("max_wal_size=8GB") as server:
        costs = {rows: cost(server, f"runs{rows}", rows) for rows in (LITTLE, much)}
    for rows, (elapsed, own) in costs.items():
        print(
            f"{rows:>9,} rows of history: {elapsed:6.2f} ms a poll that finds {NEW:,} rows, {own:6.2f} ms of it CPU"
        )
    print(f"ratio {costs[much][0] / costs[LITTLE][0]:.2f} (at most 1.20)")


def cost(server: Server, database: str, rows: int) -> tuple[float, float]:
    """Median milliseconds of a poll, and of its CPU time in this process."""
    history.make(server, database, rows)
    server.execute(database, "VACUUM ANALYZE")
    with watching(server.url(database, "reader"), sweep=SWEEP, retention=900.0) as watch:
        begin = time.monotonic()
        watch.source.poll()
        print(
            f"{rows:>9,} rows of history: first read {time.monotonic() - begin:.1f} s, {watch.condition}",
            flush=True,
        )
        took, own = [], []
        for i in range(POLLS):
            history.add(server, database, i * NEW, NEW)
            time.sleep(0.2)
            begin, cpu = time.perf_counter(), time.thread_time()
            watch.source.poll()
            took.append(time.perf_counter() - begin)
            own.append(time.thread_time() - cpu)
    return statistics.median(took) * 1e3, statistics.median(own) * 1e3


if __name__ == "__main__":
    print(datetime.now().isoformat(timespec="seconds"))
    main(sys.argv[1:])
