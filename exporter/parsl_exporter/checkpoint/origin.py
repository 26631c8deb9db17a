"""What made a checkpoint: a program with any other line would understand something else by it."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path

import numpy as np

from parsl_exporter.base.release import VERSION


@cache
def program() -> str:
    """What tells this program from any other version of it, of Python and of NumPy."""
    folder = Path(__file__).parents[1]
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode())
        digest.update(content)
    return f"parsl-exporter {VERSION} {digest.hexdigest()}, Python {platform.python_version()}, NumPy {np.__version__}"
