"""What tests take for the end of the programs that they start."""

from __future__ import annotations

import subprocess
import sys

from support.processes import eventually, of_group, of_session


def test_what_has_ended_is_gone_although_nobody_takes_its_status() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        assert (of_group(process.pid), of_session(process.pid)) == ([process.pid], [process.pid])
        assert process.stdin is not None
        process.stdin.close()
        eventually("its end", 10, lambda: not of_group(process.pid) and not of_session(process.pid))
        assert process.returncode is None
