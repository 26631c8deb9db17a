"""Draw mutants of the model at random: `python tests/mutation/sample.py NUMBER [SEED] >NAMES`, in mutmut's folder.

Has mutmut make all mutants first, and says with which seed it drew: with that the same are drawn again.
"""

from __future__ import annotations

import json
import os
import random
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path


def main(number: int, seed: int) -> None:
    """Print their names, a line each."""
    # mutmut has no command that only makes mutants; those that are there and up to date it leaves as they are.
    with redirect_stdout(sys.stderr):
        import_module("mutmut.__main__").create_mutants(os.cpu_count() or 1)
    records = sorted(Path("mutants/src/parsl_exporter/model").glob("*.py.meta"))
    names = [name for record in records for name in json.loads(record.read_text())["exit_code_by_key"]]
    drawn = random.Random(seed).sample(names, min(number, len(names)))
    print(f"{len(drawn)} of {len(names)} mutants, drawn with SEED={seed}", file=sys.stderr)
    print(*drawn, sep="\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1_000_000))
