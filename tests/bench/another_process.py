"""Another process: what it answers, and the CPU that it has used."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path


def get(url: str) -> tuple[int, str]:
    """Ask; give the status of the answer, 0 when there is none, and the page of a good one."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError:
        return 0, ""


def cpu_of(pid: int) -> float:
    """Seconds of CPU so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
