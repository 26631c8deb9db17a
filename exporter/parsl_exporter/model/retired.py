"""The ids of finished tasks, one byte each: Parsl counts task_id up from 0 in each run."""

from __future__ import annotations

_SLACK = 65_536


class Retired:
    """A set of integers that is dense from 0; ids far beyond the others are kept apart."""

    __slots__ = ("_dense", "_sparse")

    def __init__(self) -> None:
        self._dense = bytearray()
        self._sparse: set[int] = set()

    def __contains__(self, task_id: int) -> bool:
        if 0 <= task_id < len(self._dense):
            return self._dense[task_id] == 1
        return bool(self._sparse) and task_id in self._sparse

    def add(self, task_id: int) -> None:
        """Add an id."""
        dense = self._dense
        if 0 <= task_id < 2 * len(dense) + _SLACK:
            if task_id >= len(dense):
                dense.extend(bytes(task_id + _SLACK - len(dense)))
                for sparse in [s for s in self._sparse if 0 <= s < len(dense)]:
                    self._sparse.remove(sparse)
                    dense[sparse] = 1
            dense[task_id] = 1
        else:
            self._sparse.add(task_id)

    def remove(self, task_id: int) -> None:
        """Remove an id that is there."""
        if task_id in self._sparse:
            self._sparse.remove(task_id)
        else:
            self._dense[task_id] = 0
