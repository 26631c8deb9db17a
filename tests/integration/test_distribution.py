"""How tests are shared out among workers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict

from support.exporter_process import ROOT

FILES = ("tests/unit/model/test_limits.py", "tests/unit/model/test_ends.py")


def test_the_tests_of_a_file_stay_together_for_what_they_share() -> None:
    """Programs that a file's tests share would be started once a worker."""
    sharing = ("--numprocesses", "2", "--dist", "loadgroup", "--no-loadscope-reorder")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *sharing, *FILES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    workers = defaultdict(set)
    for worker, file in re.findall(r"(?m)^\[(gw\d+)\].* PASSED (\S+?)::", done.stdout):
        workers[file].add(worker)
    assert {file: len(found) for file, found in workers.items()} == dict.fromkeys(FILES, 1)
