"""The process, suited to fold many rows, and to hold many databases open, while it answers scrapes."""

from __future__ import annotations

import gc
import os
import resource
import sys
from contextlib import suppress

_ALLOCATIONS = 100_000
_SWITCH = 0.001


def suit_process() -> None:
    """Look for cycles seldom, as rows and facts have none; hand the interpreter on each millisecond; have many files.

    A first read takes a fifth less time so, and a scrape beside it is answered several times sooner. The usual
    limit of 1,024 open files is one for programs that still call select(); each database and each client takes one.

    To be called before NumPy is imported, and what else takes long: its BLAS, which nothing here needs, would have a
    thread for each other processor, which looks for work for a while before it sleeps.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 50)
    sys.setswitchinterval(_SWITCH)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def umask() -> int:
    """Give the permissions that new files of this process do not have. For the main thread, as reading sets it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
