"""The verdict on a run: one test for each sentence that a person may read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_exporter.model.report import RunReport, Workers
from parsl_exporter.model.states import STATES
from parsl_exporter.model.verdict import _CAUSES, SILENT, Severity, ranked, verdict
from parsl_exporter.model.waiting import CAUSES, WaitingTasks

NOW = 1_800_000_000.0
US = 1_000_000
HOUR = 3_600.0


def us(ago: float) -> int:
    """The microseconds of so many seconds before now."""
    return round((NOW - ago) * US)


def run(
    *,
    run_id: str = "1",
    begun: float = 3 * HOUR,
    ended: float | None = None,
    heard: float = 0,
    tasks: dict[str, dict[str, int]] | None = None,
    executor: str = "htex",
    failures: dict[str, int] | None = None,
    waiting: dict[str, tuple[int, float]] | None = None,
    held: float | None = None,
    blocks: dict[str, int] | None = None,
    workers: Workers | None = None,
    sampled: bool = False,
) -> RunReport:
    """A run with one executor; times are seconds ago, `waiting` is how many and for how long, by cause.

    `held`: since when these causes hold it up, if not since it begun.
    """
    return RunReport(
        run_id=run_id,
        names={},
        begin_us=us(begun),
        end_us=None if ended is None else us(ended),
        first_us=us(begun),
        heard_us=us(heard),
        tasks={(app, executor): states for app, states in (tasks or {}).items()},
        failures=failures or {},
        waiting={
            (executor, cause): WaitingTasks(count, us(ago)) for cause, (count, ago) in (waiting or {}).items()
        },
        held_us={} if held is None else {(executor, cause): us(held) for cause in waiting or {}},
        blocks={} if blocks is None else {executor: blocks},
        workers={} if workers is None else {executor: workers},
        sampled=sampled,
    )


def said(report: RunReport) -> tuple[Severity, str]:
    severity, text, _ = verdict(report, NOW)
    return severity, text


class TestARunThatWaits:
    def test_for_the_batch_queue(self) -> None:
        assert said(
            run(
                tasks={"simulate": {"launched": 200}},
                waiting={"batch_queue": (200, 2 * HOUR + 27 * 60)},
                blocks={"PENDING": 2},
            )
        ) == ("warning", "200 tasks have waited 2 h 27 min for the batch queue; 2 blocks PENDING, no worker")

    def test_one_task_for_a_moment_is_nothing_to_worry_about(self) -> None:
        assert said(
            run(
                tasks={"simulate": {"launched": 1}},
                waiting={"batch_queue": (1, 59)},
                blocks={"PENDING": 1},
            )
        ) == ("ok", "1 task waits for the batch queue; 1 block PENDING, no worker")

    def test_one_task_for_longer(self) -> None:
        one = run(
            tasks={"simulate": {"launched": 1}}, waiting={"batch_queue": (1, 60)}, blocks={"PENDING": 1}
        )
        assert said(one) == ("ok", "1 task has waited 1 min for the batch queue; 1 block PENDING, no worker")

    def test_for_a_block_where_all_have_ended(self) -> None:
        assert said(
            run(
                tasks={"simulate": {"launched": 3}},
                waiting={"no_block": (3, 600)},
                blocks={"FAILED": 3, "SCALED_IN": 1},
            )
        ) == (
            "critical",
            "3 tasks have waited 10 min for a block; blocks: 3 FAILED, 1 SCALED_IN, no worker",
        )

    def test_for_workers_that_do_not_come(self) -> None:
        assert said(
            run(
                tasks={"simulate": {"launched": 3}},
                waiting={"worker_start": (3, 900)},
                blocks={"RUNNING": 1},
            )
        ) == ("warning", "3 tasks have waited 15 min for workers to start; 1 block RUNNING, no worker")

    def test_beside_free_workers(self) -> None:
        stuck = {"launched": 3}
        workers = Workers(1, 16, 0)
        assert said(
            run(tasks={"simulate": stuck}, waiting={"idle_workers": (3, 1_900)}, workers=workers)
        ) == ("warning", "3 tasks have waited 31 min 40 s beside free workers")
        assert said(run(tasks={"simulate": stuck}, waiting={"idle_workers": (3, 2)}, workers=workers)) == (
            "ok",
            "3 tasks about to start",
        )

    @pytest.mark.parametrize(
        ("cause", "says"),
        [
            ("idle_workers", "9 tasks about to start"),
            ("batch_queue", "9 tasks wait for the batch queue; no block, no worker"),
            ("worker_start", "9 tasks wait for workers to start; no block, no worker"),
            ("no_block", "9 tasks wait for a block; no block, no worker"),
            ("unknown", "9 tasks wait for what the database does not tell"),
        ],
    )
    def test_not_for_as_long_as_other_tasks_ran_before_them(self, cause: str, says: str) -> None:
        backlog = run(tasks={"simulate": {"launched": 9}}, waiting={cause: (9, 3 * HOUR)}, held=20)
        assert said(backlog) == ("ok", says)

    def test_for_other_tasks_is_how_workflows_are(self) -> None:
        assert said(run(tasks={"reduce": {"pending": 9}}, waiting={"dependencies": (9, 9 * HOUR)})) == (
            "ok",
            "9 tasks wait for other tasks",
        )

    def test_for_a_try_that_is_to_come(self) -> None:
        assert said(run(tasks={"flaky": {"fail_retryable": 2}})) == ("ok", "waiting: 2 fail_retryable")

    def test_every_cause_has_its_words(self) -> None:
        assert _CAUSES.keys() == set(CAUSES)


class TestARunThatWorks:
    def test_while_none_of_its_workers_is_left(self) -> None:
        lost = run(tasks={"simulate": {"running": 2}}, workers=Workers(0, 0, 2))
        assert said(lost) == ("ok", "running: 2 tasks whose workers are gone")

    def test_on_all_workers_and_more_to_do(self) -> None:
        assert said(
            run(
                tasks={"simulate": {"launched": 384, "running": 16, "exec_done": 40}},
                waiting={"busy_workers": (384, 5 * HOUR)},
                workers=Workers(2, 16, 16),
                blocks={"RUNNING": 1},
            )
        ) == ("ok", "running: 16 of 16 workers busy, 384 tasks wait for a free worker")

    def test_without_managers(self) -> None:
        assert said(run(tasks={"local": {"running": 4}, "outer": {"joining": 1}}, executor="threads")) == (
            "ok",
            "running: 4 tasks on threads, 1 joining",
        )

    def test_and_waits_for_more_blocks(self) -> None:
        assert said(
            run(
                tasks={"simulate": {"launched": 9, "running": 4}},
                waiting={"batch_queue": (9, 2 * HOUR)},
                workers=Workers(1, 4, 4),
                blocks={"PENDING": 1, "RUNNING": 1},
            )
        ) == (
            "warning",
            "running: 4 of 4 workers busy, 9 tasks have waited 2 h for the batch queue;"
            " blocks: 1 PENDING, 1 RUNNING, 4 workers",
        )

    def test_of_several_executors_the_one_that_waits_is_named(self) -> None:
        both = run(tasks={"a": {"launched": 2}}, waiting={"batch_queue": (2, 5)}, blocks={"PENDING": 1})
        both = both._replace(tasks={**both.tasks, ("b", "threads"): {"exec_done": 1}})
        assert said(both) == ("ok", "2 tasks wait for the batch queue (htex); 1 block PENDING, no worker")

    def test_and_fails_at_times(self) -> None:
        assert said(
            run(
                tasks={"simulate": {"running": 1, "exec_done": 90, "failed": 4}},
                workers=Workers(1, 4, 1),
                failures={"ValueError": 3, "OSError": 1},
            )
        ) == ("ok", "running: 1 of 4 workers busy, 4 failed (ValueError 3, OSError 1)")

    def test_and_fails_too_often(self) -> None:
        assert said(
            run(
                tasks={"simulate": {"running": 1, "exec_done": 20, "failed": 5}, "sane": {"exec_done": 900}},
                workers=Workers(1, 4, 1),
                failures={"ValueError": 5},
            )
        ) == ("warning", "running: 1 of 4 workers busy, 5 failed (ValueError 5)")

    @pytest.mark.parametrize(
        ("done", "failed", "severity"),
        [
            (0, 4, "ok"),
            (0, 5, "warning"),
            (20, 5, "warning"),
            (21, 5, "ok"),
            (40, 10, "warning"),
            (90, 22, "ok"),
        ],
    )
    def test_too_often_is_a_fifth_of_all_tasks_of_an_app_that_are_over_and_five_of_them(
        self, done: int, failed: int, severity: Severity
    ) -> None:
        for state in ("exec_done", "memo_done"):
            app = {"running": 1, state: done, "failed": failed}
            assert said(run(tasks={"a": app, "sane": {"exec_done": 900}}))[0] == severity

    def test_and_tries_again_and_again(self) -> None:
        again = run(tasks={"flaky": {"running": 1}}, workers=Workers(1, 4, 1), failures={"OSError": 2})
        assert said(again) == ("ok", "running: 1 of 4 workers busy, 2 failed tries (OSError 2)")

    def test_and_tries_again(self) -> None:
        assert said(
            run(tasks={"flaky": {"running": 1}}, workers=Workers(1, 4, 1), failures={"OSError": 1})
        ) == ("ok", "running: 1 of 4 workers busy, 1 failed try (OSError 1)")

    def test_at_nothing_that_tasks_tell(self) -> None:
        assert said(run(tasks={"simulate": {"exec_done": 3, "memo_done": 1}}, heard=11 * HOUR)) == (
            "ok",
            "idle: 4 tasks done",
        )

    def test_and_has_just_begun(self) -> None:
        assert said(run()) == ("ok", "no task yet")


class TestARunThatIsOver:
    def test_with_failures(self) -> None:
        assert said(
            run(
                ended=60,
                tasks={"simulate": {"exec_done": 16_844, "failed": 12}},
                failures={"ValueError": 12},
            )
        ) == ("warning", "finished: 16,844 tasks done, 12 failed (ValueError 12)")

    def test_well(self) -> None:
        assert said(run(ended=60, tasks={"simulate": {"exec_done": 1}})) == ("ok", "finished: 1 task done")

    def test_without_having_done_all(self) -> None:
        assert said(run(ended=60, tasks={"simulate": {"exec_done": 1, "running": 2}})) == (
            "warning",
            "finished: 1 task done, 2 not finished",
        )

    def test_the_reasons_are_those_of_tries(self) -> None:
        reasons = {"A": 1, "B": 2, "C": 7, "D": 1, "E": 1}
        assert said(run(ended=60, tasks={"a": {"failed": 4}}, failures=reasons)) == (
            "warning",
            "finished: 0 tasks done, 4 failed (tries: C 7, B 2, A 1, 2 more)",
        )


class TestARunThatIsSilent:
    def test_has_crashed_where_samples_would_come(self) -> None:
        alive = run(tasks={"simulate": {"running": 4}}, sampled=True, heard=SILENT)
        assert said(alive)[0] == "ok"
        assert said(alive._replace(heard_us=us(3 * HOUR))) == (
            "critical",
            "silent since 2027-01-15 05:00 UTC, for 3 h: crashed? 4 running left",
        )

    def test_may_wait_for_half_a_day_where_none_would(self) -> None:
        queued = run(tasks={"simulate": {"launched": 4}}, waiting={"batch_queue": (4, 12 * HOUR)})
        assert "batch queue" in verdict(queued._replace(heard_us=us(12 * HOUR)), NOW).text
        assert said(queued._replace(heard_us=us(12.1 * HOUR)))[0] == "critical"

    def test_is_none_of_which_no_row_has_been_taken(self) -> None:
        """Its begin lies ahead of the exporter's clock."""
        assert said(run()._replace(heard_us=0)) == ("ok", "no task yet")

    def test_without_a_task_left_is_less_of_a_loss(self) -> None:
        assert said(run(tasks={"simulate": {"exec_done": 4}}, heard=24 * HOUR)) == (
            "warning",
            "silent since 2027-01-14 08:00 UTC, for 1 d: crashed? no task left",
        )


def test_those_that_live_come_first_and_then_the_newest() -> None:
    runs = [
        run(run_id="old", begun=90, ended=80),
        run(run_id="older and lives", begun=100, tasks={"a": {"running": 1}}),
        run(run_id="silent", begun=30 * HOUR, heard=30 * HOUR),
        run(run_id="new", begun=50, ended=40),
        run(run_id="lives", begun=10),
    ]
    assert [one.run_id for one, _ in ranked(runs, NOW)] == [
        "lives",
        "older and lives",
        "new",
        "old",
        "silent",
    ]


def test_of_runs_that_live_the_worst_are_listed_first() -> None:
    def lives(run_id: str, cause: str, begun: float) -> RunReport:
        waits = {cause: (1, 2 * HOUR)}
        return run(run_id=run_id, begun=begun, tasks={"a": {"launched": 1}}, waiting=waits)

    runs = [lives("ok", "busy_workers", 1), lives("bad", "batch_queue", 2), lives("worst", "no_block", 3)]
    assert [one.run_id for one, _ in ranked(runs, NOW)] == ["worst", "bad", "ok"]


@given(
    tasks=st.dictionaries(
        st.text(max_size=3), st.dictionaries(st.sampled_from([*STATES, "odd"]), st.integers(1, 10**6))
    ),
    failures=st.dictionaries(st.text(max_size=3), st.integers(1, 99)),
    waiting=st.dictionaries(
        st.sampled_from(CAUSES), st.tuples(st.integers(1, 99), st.floats(-1e6, 1e9)), max_size=4
    ),
    blocks=st.dictionaries(st.sampled_from(["PENDING", "RUNNING", "FAILED", "odd"]), st.integers(1, 9)),
    workers=st.none() | st.builds(Workers, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    heard=st.floats(-1e6, 1e9),
    ended=st.none() | st.floats(-1e6, 1e9),
    sampled=st.booleans(),
)
def test_there_is_a_verdict_on_any_run(
    tasks: dict[str, dict[str, int]],
    failures: dict[str, int],
    waiting: dict[str, tuple[int, float]],
    blocks: dict[str, int],
    workers: Workers | None,
    heard: float,
    ended: float | None,
    sampled: bool,
) -> None:
    severity, text, live = verdict(
        run(
            tasks=tasks,
            failures=failures,
            waiting=waiting,
            blocks=blocks,
            workers=workers,
            heard=heard,
            ended=ended,
            sampled=sampled,
        ),
        NOW,
    )
    assert severity in ("ok", "warning", "critical")
    assert text
    assert not (live and ended is not None)


@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_what_waits_is_said_whatever_the_cause(cause: str) -> None:
    text = verdict(run(tasks={"a": {"launched": 7}}, waiting={cause: (7, 90)}), NOW).text
    assert text.startswith(("7 tasks wait ", "7 tasks have waited 1 min 30 s "))
