"""What a run does and what holds it up, in sentences: PromQL whose labels are the words.

Numbers come into sentences as labels, which `count_values` makes of values. The value of a sentence says how it is
coloured: 0 plain, 1 warning, 2 critical.
"""

from __future__ import annotations

from grafana import promql, style
from grafana.managers import CONNECTED
from grafana.promql import DONE, FAILED, POOL, RUN, RUN_KEYS
from grafana.style import Query

STEPS: style.Steps = ((None, style.NEUTRAL), (1, style.AMBER), (2, style.RED))

_UNUSUAL = "batch_queue|worker_start|idle_workers|no_block"
_FOR = {
    "dependencies": "tasks they depend on",
    "batch_queue": "the batch queue",
    "worker_start": "workers to start",
    "idle_workers": "nothing: workers are free",
    "busy_workers": "busy workers",
    "no_block": "a block: there is none",
    "untold": "workers, or run: the run does not tell",
    "unknown": "what is not known",
}
_PATIENCE = 300
"""Seconds of waiting for what should come soon that are nothing unusual."""

_WAITING = f"parsl_tasks_waiting{{{POOL}}}"
_WAIT = "executor, cause"


def _number(label: str, expr: str, by: str) -> str:
    """A series for each of `expr`, which has the labels `by`: its value as a label."""
    return f'count_values by ({by}) ("{label}", {expr})'


def _spoken(seconds: str, by: str) -> str:
    """A series for each of `seconds`, which has the labels `by`, with the label `time`: 40 s, 27 min, 2 h 27 min."""

    def part(size: int, least: int, most: float = float("inf")) -> str:
        inside = f"{seconds} >= {least}" + (f" < {most}" if most < float("inf") else "")
        return f"floor(({inside}) / {size})"

    def said(text: str, source: str, labels: str) -> str:
        return f'label_replace({source}, "time", "{text}", "{labels}", "(.*)")'

    short = said("$1 s", _number("a", part(1, 0, 60), by), "a")
    middle = said("$1 min", _number("a", part(60, 60, 3600), by), "a")
    rest = f"floor(({seconds} >= 3600) % 3600 / 60)"
    long = f"{_number('a', part(3600, 3600), by)} * on ({by}) group_left (b) {_number('b', rest, by)}"
    joined = f'label_join({long}, "ab", " h ", "a", "b")'
    every = " or ".join((short, middle, said("$1 min", joined, "ab")))
    return f"max by ({by}, time) ({every})"


def condition() -> Query:
    """Whether it runs, for how long, and how far it is."""
    state, age = f"({promql.run_state(RUN)})", f"({promql.run_duration(RUN)})"
    counts = {"done": DONE, "failed": FAILED, "all": ".*"}
    expr = f"(({state}) == bool 1)"
    expr += f" * on ({RUN_KEYS}) group_left (state) {_number('state', state, RUN_KEYS)}"
    expr += f" * on ({RUN_KEYS}) group_left (time) {_spoken(age, RUN_KEYS)}"
    for label, states in counts.items():
        tasks = f'parsl_tasks{{{RUN}, state=~"{states}"}}'
        expr += (
            f" * on ({RUN_KEYS}) group_left ({label}) {_number(label, f'({promql.total(tasks)})', RUN_KEYS)}"
        )
    words = {"0": "Has been running for", "1": "Silent, probably killed, after", "2": "Ended after"}
    return Query(
        promql.said(f"({expr})", "words", words, "state"),
        "{{words}} {{time}}: {{done}} of {{all}} tasks done, {{failed}} failed",
    )


def waits() -> Query:
    """How many tasks wait for what, for how long the longest, and what capacity there is: the four most.

    Where the executor has blocks, these and its workers are told, too.
    """
    most = f"topk (4, {promql.added(_WAITING, _WAIT)} > 0)"
    age = f"(time() - min by ({_WAIT}) (parsl_tasks_waiting_oldest_timestamp_seconds{{{POOL}}}))"
    unusual = f'group by ({_WAIT}) (parsl_tasks_waiting{{{POOL}, cause=~"{_UNUSUAL}"}})'
    expr = f"({age} > bool {_PATIENCE} and on ({_WAIT}) {unusual} or 0 * {age})"
    expr += f" * on ({_WAIT}) group_left (n) {_number('n', most, _WAIT)}"
    expr += f" * on ({_WAIT}) group_left (time) {_spoken(age, _WAIT)}"
    expr += f" * on (executor) group_left (capacity) ({_capacity()} or on (executor) group by (executor) ({_WAITING}))"
    expr = f'label_replace({expr}, "capacity", "", "cause", "dependencies")'
    expr = promql.said(expr, "what", _FOR, "cause")
    expr = f'label_replace({expr}, "tasks", "$1 tasks have", "n", "(.*)")'
    expr = f'label_replace({expr}, "tasks", "1 task has", "n", "1")'
    return Query(expr, "{{tasks}} waited up to {{time}} for {{what}} ({{executor}}{{capacity}})")


def _capacity() -> str:
    """A series for each executor that has had a block, with what it has now as label `capacity`."""
    blocks = f"sum by (executor) (max by (executor, state) (parsl_blocks{{{POOL}, state=~%s}}))"
    pending, running = blocks % '"PENDING|HELD"', blocks % '"RUNNING"'
    workers = f"({promql.added(CONNECTED, 'executor')} or 0 * {pending})"
    expr = " * on (executor) group_left (running, workers) ".join(
        (
            _number("pending", pending, "executor"),
            f"({_number('running', running, 'executor')} * on (executor) group_left (workers) "
            f"{_number('workers', workers, 'executor')})",
        )
    )
    expr = f'label_replace({expr}, "pending", "; blocks: $1 PENDING", "pending", "(.*)")'
    expr = f'label_replace({expr}, "running", "$1 RUNNING", "running", "(.*)")'
    expr = f'label_replace({expr}, "workers", "workers: $1", "workers", "(.*)")'
    return f'group by (executor, capacity) (label_join({expr}, "capacity", ", ", "pending", "running", "workers"))'


def alerts() -> Query:
    """The alerts of the run that fire, in words: three, the critical ones first."""
    firing = f'ALERTS{{{RUN}, alertstate="firing", alertname=~"Parsl.*", severity="%s"}}'
    counted = " or ".join(
        f"{value} + 0 * count by (alertname, severity) ({firing % severity})"
        for severity, value in (("critical", 2), ("warning", 1))
    )
    told = promql.said(f"topk (3, {counted})", "words", style.TROUBLES, "alertname")
    return Query(told, "{{severity}}: {{words}}")


def failures() -> Query:
    """The most frequent reason of failed tries."""
    tries = promql.added(f"parsl_task_failures_total{{{RUN}}}", "reason")
    most = f"topk (1, {tries} > 0)"
    return Query(f"0 * {_number('n', most, 'reason')} + 1", "{{n}} tries failed: {{reason}}")
