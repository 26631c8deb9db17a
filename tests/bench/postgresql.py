"""The cost of a poll of PostgreSQL that finds 1,000 new rows, after much history and after little.

Polls of the two databases take turns, so that what else the machine does weighs on both.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from support.pg import history
from support.pg.server import Server, running
from support.pg.watching import Watch

SWEEP = 15.0  # the default
LITTLE, MUCH, NEW = 50_000, 5_000_000, 1_000
POLLS = 80


def main(arguments: Sequence[str] = ()) -> None:
    """Print milliseconds a poll and their ratio. An argument replaces the 5,000,000 rows."""
    much = int(arguments[0]) if arguments else MUCH
    sizes = (LITTLE, much)
    took: dict[int, list[float]] = {rows: [] for rows in sizes}
    own: dict[int, list[float]] = {rows: [] for rows in sizes}
    with running("max_wal_size=8GB") as server, ExitStack() as open_until_here:
        watches = {rows: open_until_here.enter_context(caught_up(server, rows)) for rows in sizes}
        for i in range(POLLS):
            for rows, watch in watches.items():
                history.add(server, f"runs{rows}", i * NEW, NEW)
                begin, cpu = time.perf_counter(), time.thread_time()
                watch.source.poll()
                took[rows].append(time.perf_counter() - begin)
                own[rows].append(time.thread_time() - cpu)
    for rows in sizes:
        elapsed, of_it = (statistics.median(found[rows]) * 1e3 for found in (took, own))
        print(
            f"{rows:>9,} rows of history: {elapsed:6.2f} ms a poll that finds {NEW:,} rows, {of_it:6.2f} ms of it CPU"
        )
    print(f"ratio {statistics.median(took[much]) / statistics.median(took[LITTLE]):.2f} (at most 1.20)")


@contextmanager
def caught_up(server: Server, rows: int) -> Iterator[Watch]:
    """A watch of a database with so many rows, after its first read."""
    history.make(server, f"runs{rows}", rows)
    server.execute(f"runs{rows}", "VACUUM ANALYZE")
    with Watch(server.url(f"runs{rows}", "reader"), sweep=SWEEP, retention=900.0) as watch:
        begin = time.monotonic()
        watch.source.poll()
        print(f"{rows:>9,} rows of history: first read {time.monotonic() - begin:.1f} s", flush=True)
        yield watch


if __name__ == "__main__":
    main(sys.argv[1:])
