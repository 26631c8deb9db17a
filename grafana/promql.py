"""PromQL that several panels share: selectors by the dashboards' variables, and expressions over runs.

A run's series end 15 minutes after the run (the exporter's retention), and a finished run should keep its numbers
for as long as its time is on the screen. What is one series a run is therefore read with `seen`. What is added up
over series goes through `lasting`: the newest value of each series would not do, for single series may come and go
while a run lives (a task whose app is not known yet counts as `unknown` for a moment), and their last values must
not be added to what the others came to.
"""

from __future__ import annotations

from collections.abc import Mapping

SOURCE = 'source=~"$source"'
WORKFLOW = f'{SOURCE}, workflow_name=~"$workflow"'
RUN = f'{SOURCE}, run_id="$run"'
POOL = f'{RUN}, executor=~"$executor"'
TASK = f'{RUN}, executor=~"$executor", app=~"$app"'

DONE = "exec_done|memo_done"
FAILED = "failed|dep_fail"
FINAL = f"{DONE}|{FAILED}"
OUTCOMES = {
    "done": DONE,
    "failed": FAILED,
    "open": "pending|launched|running|running_ended|joining|fail_retryable",
}
"""The states behind each outcome that the rules record."""

SILENT_AFTER = 900
"""Seconds without any new row after which a run without an end is called silent, where no rules are loaded."""

RUN_KEYS = "source, run_id"
APP_KEYS = "app, executor"
_NAMED = f"parsl_workflow_info{{{WORKFLOW}}}"

LONGEST = "1|1.0"
"""A matcher of the quantile 1 of a summary: Prometheus 3 writes it as a float."""

SPAN = "$__range"


def seen(series: str, span: str = SPAN) -> str:
    """The newest value of each series within the time range, or another one."""
    return f"last_over_time({series}[{span}])"


def lasting(expr: str) -> str:
    """`expr` as it is; for runs that are gone, as it was last within the time range.

    `expr` has the labels source and run_id. The step of 5 minutes is well within the retention time, so that it
    meets a run's final numbers however long the time range is.
    """
    gone = f"unless on ({RUN_KEYS}) parsl_workflow_info{{{RUN}}}"
    return f"{expr} or last_over_time(({expr})[$__range:5m]) {gone}"


def total(series: str, by: str = "") -> str:
    """The series added up for each run and each value of the labels in `by`; of gone runs, what it came to."""
    return lasting(_sum(series, by))


def ratio(part: str, whole: str, by: str = "") -> str:
    """The sum of some series divided by that of others, as in `total`."""
    return lasting(_if_any(f"{_sum(part, by)} / {_sum(whole, by)}"))


def greatest(series: str, by: str) -> str:
    """The greatest value of the series by the labels in `by`, in each run; of gone runs, what it was last."""
    return lasting(f"max by ({RUN_KEYS}, {by}) ({series})")


def _if_any(expr: str) -> str:
    """Without the NaN that a ratio of nothing is."""
    return f"({expr} >= 0)"


def by_labels(by: str) -> str:
    """What makes an aggregation one for each value of the labels in `by`; nothing without any."""
    return f"by ({by}) " if by else ""


def added(expr: str, by: str = "") -> str:
    """The series added up by the labels in `by`, each once though two exporters publish it."""
    return f"sum {by_labels(by)}(max without (job, instance) ({expr}))"


def ever(series: str, by: str) -> str:
    """The series added up as in `added`, of those only that are above 0 at any time of the range: 0 is drawn, too.

    `> 0` would leave holes. What has a value at the range's end alone is the same at each step, and asked once.
    """
    return f"{added(series, by)} and on ({by}) ({_peak(series, by)} > 0)"


def _peak(series: str, by: str) -> str:
    return f"max by ({by}) (max_over_time({series}[$__range] @ end()))"


def added_workflows(series: str, by: str = "") -> str:
    """What the rules record of each workflow, added up by the labels in `by`."""
    keys = ", ".join(filter(None, ("source, workflow_name", by)))
    return f"sum {by_labels(by)}(max by ({keys}) ({series}))"


def workflows_ever(series: str, by: str, always: str = "") -> str:
    """As `ever`, of what the rules record of each workflow, and of series that match `always`."""
    shown = f"{_peak(series, by)} > 0"
    if always:
        shown += f" or {_peak(f'{series[:-1]}, {always}}}', by)}"
    return f"{added_workflows(series, by)} and on ({by}) ({shown})"


def top(count: int, expr: str, by: str, rank: str) -> str:
    """Of `expr`, which has the labels `by`, the series of those `count` that come first by `rank` at the range's end.

    `topk` alone takes others at each step, and draws many more than `count`.
    """
    return f"{expr} and on ({by}) topk ({count}, {rank})"


def top_ever(count: int, series: str, by: str) -> str:
    """Of the series added up as in `added`, those `count` whose parts were the greatest in the time range."""
    peak = f"max_over_time({series}[$__range] @ end())"
    return top(count, added(series, by), by, f"{added(peak, by)} > 0")


def top_greatest(count: int, series: str, by: str) -> str:
    """The greatest of the series for each value of the labels in `by`, of those `count` that came highest."""
    return top(count, f"max by ({by}) ({series})", by, _peak(series, by))


def top_rate(count: int, series: str, by: str, per: int = 1, always: str = "") -> str:
    """As `rate`, of those `count` that gained most over the time range, and of those that match `always`."""
    gain = added(f"rate({series}[$__range] @ end())", by)
    shown = f"{gain} > 0"
    if always:
        shown += f" or 0 * {added(f'{series[:-1]}, {always}}}', by)}"
    return top(count, rate(series, by, per), by, shown)


def or_none(expr: str) -> str:
    """`expr`, a number without labels, or 0 where there is none though the run was there."""
    return f"{expr} or 0 * max ({seen(f'parsl_workflow_info{{{RUN}}}')})"


def or_nothing(expr: str, label: str, found: str) -> str:
    """`expr`; where `found` has nothing, one series at 0 whose label is blank, so that a timeline has a lane."""
    return f'{expr} or label_replace(vector(0) unless count ({found}), "{label}", " ", "", "")'


def short_run(expr: str, label: str = "run") -> str:
    """`expr` with a label more: the start of its run_id, for legends."""
    return f'label_replace({expr}, "{label}", "$1", "run_id", "(.{{0,8}}).*")'


def said(expr: str, label: str, words: Mapping[str, str], of: str) -> str:
    """`expr` with a label more that says in words what its label `of` is."""
    for value, text in words.items():
        expr = f'label_replace({expr}, "{label}", "{text}", "{of}", "{value}")'
    return expr


def active(selector: str) -> str:
    """The managers that are connected."""
    return f"(parsl_manager_active{{{selector}}} == 1)"


def connected(selector: str) -> str:
    """How many workers each manager has that is connected."""
    return f"parsl_manager_workers{{{selector}}} and {active(selector)}"


def _sum(series: str, by: str) -> str:
    return added(series, f"{RUN_KEYS}, {by}" if by else RUN_KEYS)


def rate(series: str, by: str = "", per: int = 1) -> str:
    """What the counters gained in `per` seconds, summed by the labels in `by`."""
    times = f"{per} * " if per != 1 else ""
    return f"{times}{added(f'rate({series}[$__rate_interval])', by)}"


def gained(series: str, by: str) -> str:
    """What the counters gained since the point before, summed by the labels in `by`.

    The difference of two points, for what `increase` gives is neither whole nor counted once: its range is longer
    than the step from point to point.
    """
    return f"{added(series, by)} - {added(f'{series} offset $__interval', by)}"


def gained_from_none(series: str, by: str) -> str:
    """As `gained`, of counters of the run that are not there before they count: they begin at 0 where it was there."""
    now, before = added(series, by), added(f"{series} offset $__interval", by)
    there = f"parsl_workflow_info{{{RUN}}} offset $__interval"
    return f"{now} - ({before} or 0 * {now} and on () {there})"


def of_runs(expr: str) -> str:
    """Only those series of `expr` whose run has one of the chosen workflow names, at each moment."""
    return f"{expr} and on ({RUN_KEYS}) {_NAMED}"


def of_runs_seen(expr: str) -> str:
    """As `of_runs`, for runs that were seen at any time within the time range."""
    return f"{expr} and on ({RUN_KEYS}) {seen(_NAMED)}"


def run_outcome(selector: str, outcome: str, span: str = SPAN) -> str:
    """How many tasks of each run are done, failed or open; of gone runs, as it was last.

    For lists of many runs, where `total` would add up all series of all of them at hundreds of moments of a long time
    range. It is read from what the rules record; without them, gone runs have none. Both sides are aggregated to the
    same labels, for a long-term store adds external ones, and a run must not come from both.
    """
    recorded = seen(f'parsl:run:tasks_by_outcome{{{selector}, outcome="{outcome}"}}', span)
    now = added(f'parsl_tasks{{{selector}, state=~"{OUTCOMES[outcome]}"}}', RUN_KEYS)
    return f"max by ({RUN_KEYS}) ({recorded}) or {now}"


def run_progress(selector: str) -> str:
    """Which part of its tasks each run has brought to a final state, as the rules record it."""
    return f"max by ({RUN_KEYS}) ({seen(f'parsl:run:progress_ratio{{{selector}}}')})"


def run_info(selector: str, *labels: str, span: str = SPAN) -> str:
    """One series a run, with these labels of parsl_workflow_info, which one of its exporters may hide."""
    one = f"topk by ({RUN_KEYS}) (1, {seen(f'parsl_workflow_info{{{selector}}}', span)})"
    return f"max by ({', '.join((RUN_KEYS, *labels))}) ({one})"


def run_time(event: str, selector: str, span: str = SPAN) -> str:
    """When the `event` (start, end, last_row) of each run was, in Unix seconds."""
    return f"max by ({RUN_KEYS}) ({seen(f'parsl_workflow_{event}_timestamp_seconds{{{selector}}}', span)})"


def run_state(selector: str) -> str:
    """0 running, 1 silent, 2 ended, for each run: silent is what the alerts' rules call so, where they are loaded."""
    silent = f"0 * max by ({RUN_KEYS}) (parsl:run:silent_seconds{{{selector}}}) + 1"
    live = f"0 * max by ({RUN_KEYS}) (parsl:run:live{{{selector}}})"
    quiet = f"time() - {run_time('last_row', selector)} > bool {SILENT_AFTER}"
    return f"0 * {run_time('end', selector)} + 2 or {silent} or {live} or ({quiet})"


def run_duration(selector: str) -> str:
    """Seconds from a run's start to its end; to now while it runs, to its last news when it is silent."""
    end, last = run_time("end", selector), run_time("last_row", selector)
    running = f"0 * (({run_state(selector)}) == 0) + time()"
    return f"({end} or {running} or {last}) - {run_time('start', selector)}"


def run_begun(selector: str, span: str = SPAN) -> str:
    """One series a run with its begin as label `since`, for links: milliseconds, a minute before."""
    return f'count_values by ({RUN_KEYS}) ("since", floor(1000 * ({run_time("start", selector, span)} - 60)))'


def run_window(selector: str, span: str = SPAN) -> str:
    """One series a run with the time range of its life as labels `since` and `until`, for links.

    Milliseconds, a minute wider at both ends; `until` is `now` for a run without an end.
    """
    start, end = run_time("start", selector, span), run_time("end", selector, span)
    until = f'count_values by ({RUN_KEYS}) ("until", ceil(1000 * ({end} + 60)))'
    now = f'label_replace({start} unless {end}, "until", "now", "", "")'
    return f"({until} or {now}) * on ({RUN_KEYS}) group_left (since) {run_begun(selector, span)}"
