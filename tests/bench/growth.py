"""How a first read grows with the tasks of a database, beside a plain fetch.

python tests/bench/growth.py [--tasks 10000 100000 1000000 3000000]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from first_read import compare
from generate import generate


def main() -> None:
    parser = argparse.ArgumentParser(description="First reads of a database that grows.")
    parser.add_argument("--tasks", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 3_000_000])
    parser.add_argument("--pairs", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, before = Path(folder) / "growing.db", 0
        for tasks in sorted(options.tasks):
            generate(path, tasks - before, first_task=before)
            before = tasks
            print(f"{tasks:,} tasks, {path.stat().st_size / 1e6:,.0f} MB")
            compare(path, options.pairs)


if __name__ == "__main__":
    main()
