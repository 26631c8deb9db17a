"""Where the files lie that belong to the exporter: in the package once it is installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from parsl_exporter.base.errors import AssetsFault

BELONG = (
    "config",
    "docs/parsl-exporter.1",
    "docs/runbooks.md",
    "grafana/dashboards",
    "grafana/provisioning",
)
"""Files, and folders with what is in them, but no programs. A wheel packs the same (pyproject.toml)."""

_PROGRAMS = (".py", ".pyc")
_PACKED = Path(__file__).parent / "files"
_CHECKOUT = Path(__file__).parents[3]


def origin() -> Path:
    """Give the folder in which the files lie, under the names that they have in a checkout.

    Raises AssetsFault when they are not there, as of a package that was not installed whole.
    """
    for folder in (_PACKED, _CHECKOUT):
        if all((folder / name).exists() for name in BELONG):
            return folder
    raise AssetsFault(f"{_PACKED}: is not there; install parsl-exporter anew")


def originals() -> dict[str, bytes]:
    """Give the content of each file by its name, such as `config/rules/alerts.yml`, in the order of names.

    Raises AssetsFault when they are not there.
    """
    folder = origin()
    every = (path for name in BELONG for path in (folder / name, *(folder / name).rglob("*")))
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(every)
        if path.is_file() and path.suffix not in _PROGRAMS
    }
