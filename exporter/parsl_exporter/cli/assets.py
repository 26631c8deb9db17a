"""`assets`: write the files that belong to the exporter, as one site needs them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from parsl_exporter.assets.adaptation import Site, adapted
from parsl_exporter.assets.folder import closed_to_others, write
from parsl_exporter.assets.origin import originals
from parsl_exporter.assets.steps import next_steps
from parsl_exporter.base.output import on_one_line


def assets(site: Site, say: Callable[[str], object], *, replace: bool) -> None:
    """Write the files into `site.folder`, and `say` what to do with them.

    Raises AssetsFault when they cannot be written, and when files there differ from these, unless `replace`.
    """
    files = adapted(originals(), site)
    changed = write(files, site.folder, replace=replace)
    if changed:
        say(f"{on_one_line(str(site.folder))}: {changed} files written, {len(files)} in all\n\n")
    else:
        say(f"{on_one_line(str(site.folder))}: up to date, {len(files)} files\n\n")
    say(next_steps(site, closed_to_others(site.folder)))


def program() -> Path | None:
    """Give the program that the environment of this interpreter has; None where it has none."""
    here = Path(sys.prefix) / "bin" / "parsl-exporter"
    return here if here.is_file() else None
