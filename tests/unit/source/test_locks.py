"""The baton: one at a time, in turn, past one that hangs and not past one that works."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from parsl_exporter.source.locks import Baton

SOON = 10.0
PATIENCE = 0.1


class Runners:
    """Threads that take the baton."""

    def __init__(self, baton: Baton) -> None:
        self.baton = baton
        self.order: list[str] = []
        self.inside = 0
        self.most_inside = 0
        self._threads: list[threading.Thread] = []

    def start(self, name: str, work: Callable[[], object] = lambda: None) -> threading.Event:
        """Start one that does `work` with the baton; gives an event that is set once it has it."""
        has_it = threading.Event()

        def run() -> None:
            with self.baton:
                self.inside += 1
                self.most_inside = max(self.most_inside, self.inside)
                self.order.append(name)
                has_it.set()
                work()
                self.inside -= 1

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        waiting = len(self.baton._line)
        thread.start()
        while not has_it.is_set() and len(self.baton._line) == waiting and thread.is_alive():
            time.sleep(0.001)
        return has_it

    def end(self) -> None:
        for thread in self._threads:
            thread.join(SOON)
            assert not thread.is_alive()


@pytest.fixture
def runners() -> Runners:
    return Runners(Baton(patience=PATIENCE))


@contextmanager
def hung(runners: Runners) -> Iterator[None]:
    """A holder that waits in the kernel for as long as the block lasts."""
    comes_back = threading.Event()
    assert runners.start("hung", comes_back.wait).wait(SOON)
    try:
        yield
    finally:
        comes_back.set()


def test_one_at_a_time() -> None:
    runners = Runners(Baton(patience=SOON))
    for i in range(20):
        runners.start(str(i), lambda: time.sleep(0.001))
    runners.end()
    assert (len(runners.order), runners.most_inside) == (20, 1)


def test_in_the_order_of_asking() -> None:
    runners = Runners(Baton(patience=SOON))
    gate = threading.Event()
    runners.start("first", gate.wait)
    for name in "bcdefgh":
        runners.start(name)
    gate.set()
    runners.end()
    assert runners.order == ["first", *"bcdefgh"]


def test_a_holder_that_fails_gives_it_back() -> None:
    baton = Baton()
    with pytest.raises(ValueError), baton:
        raise ValueError
    with baton:
        pass


def test_one_that_hangs_is_passed_by_after_the_patience(runners: Runners) -> None:
    begin = time.monotonic()
    with hung(runners):
        assert runners.start("b").wait(SOON)
        assert time.monotonic() - begin >= PATIENCE
        assert runners.start("c").wait(SOON)
    runners.end()
    assert runners.order == ["hung", "b", "c"]


def test_several_that_hang_are_passed_by_one_after_the_other(runners: Runners) -> None:
    with hung(runners), hung(runners), hung(runners):
        assert runners.start("b").wait(SOON)
    runners.end()
    assert runners.order == ["hung", "hung", "hung", "b"]


def test_one_that_comes_back_late_takes_nothing_from_the_next(runners: Runners) -> None:
    holding = threading.Event()
    with hung(runners):
        assert runners.start("b", holding.wait).wait(SOON)
    runners._threads[0].join(SOON)  # the late one has given back what it no longer had
    assert not runners.baton._changing.locked()
    assert runners.baton._holder is not None
    holding.set()
    runners.end()
    with runners.baton:
        pass


def test_one_that_works_is_waited_for_however_long(runners: Runners) -> None:
    def work() -> None:
        until = time.thread_time() + 4 * PATIENCE
        while time.thread_time() < until:
            pass

    assert runners.start("works", work).wait(SOON)
    runners.start("b")
    runners.end()
    assert runners.most_inside == 1


def test_handing_on_wakes_one_and_not_the_crowd() -> None:
    crowd, turns = 200, 3
    baton = Baton(patience=SOON)

    def run() -> None:
        for _ in range(turns):
            with baton:
                time.sleep(0)

    threads = [threading.Thread(target=run) for _ in range(crowd)]
    with baton:
        for thread in threads:
            thread.start()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for thread in threads:
        thread.join(SOON)
    woken = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before
    assert woken / (crowd * turns) < 20
