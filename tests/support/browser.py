"""A page in a real browser."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.processes import required


def document(url: str, profile: Path, *arguments: str) -> str:
    """The document as the browser has it once it is loaded."""
    browser = required("chromium", "chromium-browser", "google-chrome")
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *(f"--user-data-dir={profile}", "--dump-dom", *arguments, url),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
