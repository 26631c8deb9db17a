"""The ids of finished tasks, one byte each: Parsl counts task_id up from 0 in each run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SLACK = 65_536


class Retired:
    """A set of integers that is dense from 0; ids far beyond the others are kept apart."""

    __slots__ = ("_count", "_dense", "_sparse")

    def __init__(self) -> None:
        self._count = 0
        self._dense = bytearray()
        self._sparse: set[int] = set()

    def __contains__(self, task_id: int) -> bool:
        if 0 <= task_id < len(self._dense):
            return self._dense[task_id] == 1
        return bool(self._sparse) and task_id in self._sparse

    def add(self, task_id: int) -> None:
        """Add an id."""
        dense = self._dense
        self._count += 1
        if 0 <= task_id < max(len(dense), 2 * self._count + _SLACK):
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
        self._count -= 1
        if task_id in self._sparse:
            self._sparse.remove(task_id)
        else:
            self._dense[task_id] = 0

    def add_all(self, task_ids: npt.NDArray[np.int64]) -> None:
        """Add ids, all at or above 0 and not far beyond the others."""
        self._count += len(task_ids)
        last = int(task_ids.max())
        if last >= len(self._dense):
            self._dense.extend(bytes(last + _SLACK - len(self._dense)))
        import numpy as np  # noqa: PLC0415  # only a first read in columns comes here, and it has numpy

        np.frombuffer(self._dense, np.uint8)[task_ids] = 1

    def among(self, task_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Say of each id, all at or above 0, whether it is there."""
        import numpy as np  # noqa: PLC0415  # as above

        known = np.frombuffer(self._dense or b"\0", np.uint8)
        found: npt.NDArray[np.bool_] = (known[np.minimum(task_ids, len(known) - 1)] == 1) & (
            task_ids < len(known)
        )
        if self._sparse:
            found |= np.isin(task_ids, list(self._sparse))
        return found
