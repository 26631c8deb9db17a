"""The page at `/`: where the endpoints are and how each source fares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import quote

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'"

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

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
.state { font-weight: 600; }
.up { color: var(--up); }
.reading { color: var(--reading); }
.down { color: var(--down); }
"""


class Condition(NamedTuple):
    """How one source fares, in texts for a person. `state` is up, reading (not caught up yet) or down."""

    name: str
    state: str
    message: str
    rows: str


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
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Parsl exporter</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Parsl exporter</h1>
<ul>
{endpoints}
</ul>
<h2>Sources</h2>
{_table(conditions)}
<footer><p>Version {_text(version)}</p></footer>
</body>
</html>
"""


def _table(conditions: Sequence[Condition]) -> str:
    if not conditions:
        return "<p>No database has been found yet.</p>"
    rows = "\n".join(
        f'<tr><th scope="row">{_text(one.name)}</th>'
        f'<td class="state {_text(one.state)}">{_text(one.state)}</td>'
        f"<td>{_text(one.rows)}</td><td>{_text(one.message)}</td></tr>"
        for one in conditions
    )
    return f"""<table>
<thead><tr><th scope="col">Source</th><th scope="col">State</th>
<th scope="col">Rows</th><th scope="col">Condition</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>"""


def _text(value: str) -> str:
    return escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", value))
