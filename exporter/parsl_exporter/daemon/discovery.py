"""Discovery for the databases of configured sources, past folders of file systems that hang."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from parsl_exporter.config.settings import SourceSettings
from parsl_exporter.readers.targets import Found, discover

PATIENCE = 2.0
"""Seconds that one source may take before it is passed by."""


class Discovery:
    """A thread looks at one source after the other; where it hangs another goes on with those after that."""

    def __init__(self) -> None:
        self._hanging: dict[SourceSettings, _Walk] = {}

    def found(self, sources: Sequence[SourceSettings]) -> dict[SourceSettings, list[Found]]:
        """Give the databases that each source stands for now. A source that hangs is left out until it is back.

        Raises what looking raises.
        """
        self._hanging = {source: walk for source, walk in self._hanging.items() if walk.is_alive()}
        left = [source for source in dict.fromkeys(sources) if source not in self._hanging]
        answers: dict[SourceSettings, list[Found]] = {}
        while left:
            walk = _Walk(left)
            stuck = walk.wait(PATIENCE)
            answers.update(walk.answers)
            if stuck is None:
                break
            self._hanging[stuck] = walk
            left = left[left.index(stuck) + 1 :]
        return answers


class _Walk(threading.Thread):
    """Discovery at these sources in turn, until it has hung once."""

    def __init__(self, sources: Sequence[SourceSettings]) -> None:
        super().__init__(name="discovery", daemon=True)
        self.answers: dict[SourceSettings, list[Found]] = {}
        self._sources = sources
        self._error: Exception | None = None
        self._given_up = False
        self.start()

    def run(self) -> None:
        try:
            for source in self._sources:
                found = list(discover(source))
                if self._given_up:
                    return
                self.answers[source] = found
        except Exception as error:
            self._error = error

    def wait(self, patience: float) -> SourceSettings | None:
        """Wait until all is looked at, or one source has taken longer than `patience` seconds: give that."""
        while self.is_alive():
            before = len(self.answers)
            self.join(patience)
            if self.is_alive() and len(self.answers) == before:
                self._given_up = True
                return self._sources[before]
        if self._error is not None:
            raise self._error
        return None
