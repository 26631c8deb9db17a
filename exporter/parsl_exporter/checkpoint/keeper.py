"""A thread that alone touches the state directory: one that hangs, or is full, holds up no poll."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from parsl_exporter.base.errors import CheckpointFault
from parsl_exporter.base.logs import RepeatedFault
from parsl_exporter.checkpoint.codec import Part
from parsl_exporter.checkpoint.folder import Folder

STALE = 900.0
"""Seconds after which one that nobody kept up is not used, and removed: all that goes by the exporter's own clock would
be off by as long."""
_PATIENCE = 10.0

_log = logging.getLogger(__name__)


class Keeper:
    """Reads and writes the checkpoints in a state directory, for the threads of all sources.

    `steady` and `wall` are clocks: seconds that only go forward, and UTC epoch seconds.
    """

    def __init__(
        self, state_directory: Path, *, steady: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._state_directory = state_directory
        self._wall = wall
        self._folder: Folder | None = None
        self._pruned = float("-inf")
        self._steady = steady
        self._waiting: dict[str, tuple[Callable[[Folder, float], object], float]] = {}
        self._handing = threading.Lock()
        self._faults = RepeatedFault(_log, steady)
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
        self._thread.start()

    def stop(self, patience: float) -> None:
        """Do what is left to do and end, within `patience` seconds; what hangs is left behind."""
        self._jobs.put(None)
        self._thread.join(patience)

    def read(self, name: str) -> list[bytearray] | None:
        """Give the parts of a checkpoint; None when there is none. Raises CheckpointFault when it is not to be used."""
        answer: queue.SimpleQueue[list[bytearray] | CheckpointFault | None] = queue.SimpleQueue()

        def job() -> None:
            try:
                answer.put(self._read(name))
            except Exception as error:  # whatever it is, the thread goes on
                answer.put(self._fault(error))

        self._jobs.put(job)
        try:
            found = answer.get(timeout=_PATIENCE)
        except queue.Empty:
            raise CheckpointFault(f"{self._state_directory}: does not answer") from None
        if isinstance(found, CheckpointFault):
            raise found
        return found

    def _read(self, name: str) -> list[bytearray] | None:
        found = self._opened().read(name)
        if found is None:
            return None
        parts, at = found
        age = self._wall() - at
        if age > STALE:
            raise CheckpointFault(
                f"it was last kept up {age / 60:.0f} min ago, and {STALE / 60:.0f} are the most"
            )
        if age < -1:
            raise CheckpointFault("it is of the future: a clock was set back")
        return parts

    def write(self, name: str, parts: Sequence[Part]) -> None:
        """Have a checkpoint replaced, as of now; by this one alone where another still waits for that."""
        self._hand(name, lambda folder, wall: folder.write(name, parts, wall))

    def touch(self, name: str) -> None:
        """Note that a checkpoint still says what there is to say."""
        with self._handing:
            job, _ = self._waiting.get(name, (None, None))
        self._hand(name, job or (lambda folder, wall: folder.touch(name, wall)))

    def remove(self, name: str) -> None:
        """Have no checkpoint of that name."""
        self._hand(name, lambda folder, _: folder.remove(name))

    def _hand(self, name: str, job: Callable[[Folder, float], object]) -> None:
        """Have something done with a checkpoint, as of now, instead of what still waits for a slow disk."""
        with self._handing:
            waits = name in self._waiting
            self._waiting[name] = job, self._wall()
        if not waits:
            self._jobs.put(lambda: self._do(name))

    def _do(self, name: str) -> None:
        with self._handing:
            job, wall = self._waiting.pop(name)
        try:
            folder = self._opened()
            job(folder, wall)
            self._prune(folder, wall)
            self._faults.ended("checkpoint")
        except Exception as error:  # whatever it is, the thread goes on
            self._faults.failed(
                "checkpoint",
                "no checkpoint can be written; nothing else suffers, but the next start will read everything",
                why=self._fault(error),
            )

    def _fault(self, error: Exception) -> CheckpointFault:
        if isinstance(error, CheckpointFault):
            return error
        what = error.strerror if isinstance(error, OSError) else None
        return CheckpointFault(f"{self._state_directory}: {what or repr(error)}")

    def _opened(self) -> Folder:
        if self._folder is None:
            self._folder = Folder(self._state_directory)
        return self._folder

    def _prune(self, folder: Folder, wall: float) -> None:
        """Remove those of sources that went, now and then."""
        now = self._steady()
        if now - self._pruned > STALE:
            self._pruned = now
            folder.prune(wall - STALE)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        if self._folder is not None:
            self._folder.close()
