"""What the project is called and made of, and its sdist and wheel, built here and now."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

from support.exporter_process import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]


def built(folder: Path, *what: str, source: Path = ROOT, epoch: int = 1_700_000_000) -> Path:
    """Build `what` of a source folder (`-t sdist`, `-t wheel` or `-t wheel:editable`) into `folder`; its path.

    With the build backend of this environment, so that nothing is fetched.
    """
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder, *what],
        cwd=source,
        env={"SOURCE_DATE_EPOCH": str(epoch), "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    (found,) = folder.glob("*.whl" if any(one.startswith("wheel") for one in what) else "*.tar.gz")
    return found


def unpacked(sdist: Path, folder: Path) -> Path:
    """Unpack an sdist; the folder that it holds."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (found,) = folder.iterdir()
    return found
