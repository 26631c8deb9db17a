"""The process, suited to what it does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.exporter_process import environment


def output_of(program: str) -> str:
    """What a program in a process of its own writes, to which nothing is said."""
    own = environment(PYTHONPATH=":".join(sys.path))
    own.pop("OPENBLAS_NUM_THREADS", None)  # which a command within this process has set
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=own,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.skipif(os.cpu_count() == 1, reason="BLAS has threads for other processors")
def test_numpy_starts_no_threads() -> None:
    threads = "import numpy, os; print(len(os.listdir('/proc/self/task')))"
    program = f"from parsl_exporter.base.process import suit_process; suit_process(); {threads}"
    assert output_of(program) == "1"


@pytest.mark.parametrize("program", ["__main__", "workflow.child"])
def test_each_program_suits_its_process_before_it_imports_numpy(program: str) -> None:
    note = "process.suit_process = lambda: print('numpy' in sys.modules)"
    run = f"from parsl_exporter.{program} import main; main()"
    arguments = "sys.argv = ['parsl-exporter', 'completion', 'bash']"
    output = output_of(f"import sys; from parsl_exporter.base import process; {note}; {arguments}; {run}")
    assert output.split()[0] == "False"
