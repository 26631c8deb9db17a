"""Programs that are started together and taken down together, with all that they started in turn (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType

from parsl_exporter.base.errors import ExporterError

_PATIENCE_AT_END = 5.0
_TIDYING = 2.0
_TAIL = 2000
# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Programs:
    """Starts programs in a folder, where they write logs of their own, and ends them with the `with` block.

    From the beginning of that block, a descendant whose parent has ended becomes a child of this process
    (PR_SET_CHILD_SUBREAPER), so that none is lost: batch jobs detach from whoever submits them. Should this process
    be killed, the programs are sent SIGTERM, once for each of its threads (PR_SET_PDEATHSIG). It must have no other
    children, and a single thread while it starts programs. Both: prctl(2).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._prctl = ctypes.CDLL(None).prctl

    def __enter__(self) -> Programs:
        self._prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill all descendants: what they would still write is in the folder, and nobody will read it.

        But for multiprocessing's trackers, which take their processes' semaphores away and then end by themselves.
        """
        begin = time.monotonic()
        while (living := list(_descendants())) and time.monotonic() < begin + _PATIENCE_AT_END:
            tidying = time.monotonic() < begin + _TIDYING
            for pid, _ in living:
                with suppress(ProcessLookupError):
                    if not (tidying and is_tracker(pid)):
                        os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.02)
        for process in self._started.values():
            process.poll()

    def start(self, name: str, *command: str | Path, environment: dict[str, str] | None = None) -> None:
        """Start a program under `name`, out of reach of the terminal's Ctrl-C. Raises ExporterError if it cannot."""
        try:
            with (self._folder / f"{name}.log").open("wb") as log:
                self._started[name] = subprocess.Popen(
                    command,
                    cwd=self._folder,
                    env=os.environ | (environment or {}),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=partial(self._prctl, _PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509  # no threads
                )
        except OSError as error:
            raise ExporterError(f"{command[0]} cannot be started: {error.strerror or error}") from None

    def send(self, name: str, sent: signal.Signals) -> None:
        """Send a signal to the program that was started under `name`."""
        self._started[name].send_signal(sent)

    def check(self) -> None:
        """Reap orphans that have ended. Raises ExporterError when a program has ended, with its last words."""
        for name, process in self._started.items():
            if (status := process.poll()) is not None:
                raise ExporterError(f"{name} ended with status {status}: {self._last_words(name)}")
        own = {process.pid for process in self._started.values()}
        # A batch job that has ended looks alive to its submitter until somebody takes its status.
        for pid, parent in _descendants():
            if parent == os.getpid() and pid not in own:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def _last_words(self, name: str) -> str:
        log = (self._folder / f"{name}.log").read_bytes()[-_TAIL:].decode(errors="replace")
        return (log.split("\n")[:-1] or [log])[-1] or "it said nothing"


def is_tracker(pid: int) -> bool:
    """Say whether a process is the tracker of a multiprocessing program (`multiprocessing/resource_tracker.py`)."""
    with suppress(OSError):
        return b"multiprocessing.resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _descendants() -> Iterator[tuple[int, int]]:
    """The process ids that descend from this process, each with its parent's; zombies are among them."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # proc(5): the name in brackets may hold anything, brackets and spaces too.
            parent = int(path.read_bytes().rpartition(b")")[2].split()[1])
            children[parent].append(int(path.parent.name))
    parents = [os.getpid()]
    while parents:
        parent = parents.pop()
        for pid in children[parent]:
            yield pid, parent
        parents += children[parent]
