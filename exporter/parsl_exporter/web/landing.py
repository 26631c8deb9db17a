"""The page at `/`: how runs and their sources fare, and where the endpoints are; and the page of a run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import quote, urlencode

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'"

# Beside what HTML does not allow, what would turn the text after it round.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_REFRESH = 10
"""Seconds after which a browser asks again by itself."""
_MOST_SOURCES, _MOST_APPS, _MOST_TEXTS = 1_000, 1_000, 100

_STYLE = """
:root { color-scheme: light dark; --line: #d0d7de; --quiet: #59636e;
  --up: #1a7f37; --reading: #7d4e00; --down: #c21f2c; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3d444d; --quiet: #9198a1; --up: #3fb950; --reading: #d29922; --down: #ff7b72; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; overflow-wrap: anywhere;
  border-bottom: 1px solid var(--line); }
thead th, footer { color: var(--quiet); font-weight: normal; }
h1, h2, a { overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
small, dt { color: var(--quiet); }
p { margin: .4rem 0; }
.state, .ok, .warning, .critical { font-weight: 600; }
.up { color: var(--up); }
.reading, .warning { color: var(--reading); }
.down, .critical { color: var(--down); }
.warning::before { content: "! "; }
.critical::before { content: "!! "; }
.ok small, .warning small, .critical small { white-space: nowrap; }
.runs, .sources { list-style: none; padding: 0; }
.sources li { margin: .6rem 0; overflow-wrap: anywhere; }
.runs li { border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .8rem; margin: .6rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .8rem; margin: .4rem 0; }
dt { grid-column: 1; }
dd { grid-column: 2; margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
.tasks td, .tasks thead th + th { text-align: right; overflow-wrap: normal; }
"""


class Run(NamedTuple):
    """A run, in texts for a person. `severity` is ok, warning or critical; `facts` are subjects with their texts."""

    run_id: str
    name: str
    age: str
    severity: str
    verdict: str
    facts: Sequence[tuple[str, Sequence[str]]]


class RunDetails(NamedTuple):
    """What the page of a run shows: also its tasks, a row an app and a column a state, as of the time that is named."""

    source: str
    run: Run
    as_of: str
    states: Sequence[str]
    apps: Sequence[tuple[str, Sequence[str]]]


class Condition(NamedTuple):
    """How one source fares, in texts for a person. `state` is up, reading (not caught up yet) or down.

    `others` says how many more runs there are than `runs`; empty when there are none.
    """

    name: str
    state: str
    message: str
    rows: str
    as_of: str = ""
    runs: Sequence[Run] = ()
    others: str = ""


def landing_page(conditions: Sequence[Condition], *, telemetry_path: str, version: str) -> str:
    """The page as HTML that needs no other resource. Everything given to it is taken for hostile text."""
    links = (
        (telemetry_path, "metrics, as text or OpenMetrics"),
        ("/-/healthy", "200 while the exporter works"),
        ("/-/ready", "200 once every source was read, else 503"),
    )
    endpoints = "\n".join(
        # Relative, so that they hold behind a proxy that serves the exporter below a prefix.
        f'<li><a href="{escape("." + quote(path))}">{_text(path)}</a>: {what}</li>'
        for path, what in links
    )
    shown = sorted(conditions, key=lambda one: one.state == "up")[:_MOST_SOURCES]
    return _page(
        "Parsl exporter",
        f"""<h1>Parsl exporter</h1>
{_summary(conditions)}
{_runs(conditions)}<h2>Sources</h2>
{_sources(shown)}
{_more(len(conditions) - len(shown), "sources")}<h2>Endpoints</h2>
<ul>
{endpoints}
</ul>
<footer><p>Version {_text(version)}</p></footer>""",
    )


def run_page(details: RunDetails) -> str:
    """The page of a run, like the landing page."""
    run = details.run
    apps = details.apps[:_MOST_APPS]
    return _page(
        f"{run.name} - Parsl exporter",
        f"""<p><a href="./">All runs</a></p>
<h1>{_text(run.name)}</h1>
{_verdict(run)}
{_facts([("source", [details.source]), *run.facts])}
{_tasks(details.states, apps) if apps else "<p>No task yet.</p>"}
{_more(len(details.apps) - len(apps), "apps")}<footer><p>As of {_text(details.as_of)}</p></footer>""",
    )


def _page(title: str, body: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{_REFRESH}">
<title>{_text(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _runs(conditions: Sequence[Condition]) -> str:
    """The runs of each source that has any."""
    parts = []
    for one in conditions:
        if one.runs or one.others:
            rows = "\n".join(_run(one.name, run) for run in one.runs)
            others = f"<p>{_text(one.others)}</p>\n" if one.others else ""
            parts.append(
                f"<h2>Runs of {_text(one.name)}</h2>\n<p>As of {_text(one.as_of)}</p>\n"
                f'<ul class="runs">\n{rows}\n</ul>\n{others}'
            )
    return "".join(parts)


def _run(source: str, run: Run) -> str:
    query = urlencode({"source": source, "run": run.run_id}, quote_via=quote, errors="surrogatepass")
    return f"""<li>
<a href="{escape("./?" + query)}">{_text(run.name)}</a> <small>{_text(run.run_id)}</small>
{_verdict(run)}
{_facts(run.facts)}
</li>"""


def _verdict(run: Run) -> str:
    age = f" <small>({_text(run.age)})</small>" if run.age else ""
    return f'<p class="{_text(run.severity)}">{_text(run.verdict)}{age}</p>'


def _facts(facts: Sequence[tuple[str, Sequence[str]]]) -> str:
    rows = [
        f"<dt>{_text(subject)}</dt>" + "".join(f"<dd>{_text(text)}</dd>" for text in texts[:_MOST_TEXTS])
        for subject, texts in facts
        if texts
    ]
    return f"<dl>{''.join(rows)}</dl>"


def _tasks(states: Sequence[str], apps: Sequence[tuple[str, Sequence[str]]]) -> str:
    heads = "".join(f'<th scope="col">{_text(state)}</th>' for state in states)
    rows = "\n".join(
        f'<tr><th scope="row">{_text(app)}</th>'
        + "".join(f"<td>{_text(one)}</td>" for one in counts)
        + "</tr>"
        for app, counts in apps
    )
    return f"""<div class="wide"><table class="tasks">
<thead><tr><th scope="col">Tasks</th>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>"""


def _more(count: int, what: str) -> str:
    return f"<p>and {count:,} more {what}</p>\n" if count > 0 else ""


def _summary(conditions: Sequence[Condition]) -> str:
    """How many sources are in which state, in the colour of the worst: they come after the runs."""
    states = Counter(one.state for one in conditions)
    worst = next((state for state in ("down", "reading") if states[state]), "up")
    counts = ", ".join(f"{count:,} {state}" for state, count in states.items())
    return f'<p class="state {worst}">Sources: {_text(counts or "none yet")}</p>'


def _sources(conditions: Sequence[Condition]) -> str:
    if not conditions:
        return "<p>No database has been found yet.</p>"
    items = "\n".join(
        f"<li><strong>{_text(one.name)}</strong><br>"
        f'<span class="state {_text(one.state)}">{_text(one.state)}</span> {_text(one.message)} '
        f"<small>({_text(one.rows)} rows)</small></li>"
        for one in conditions
    )
    return f'<ul class="sources">\n{items}\n</ul>'


def _text(value: str) -> str:
    return escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", value))
