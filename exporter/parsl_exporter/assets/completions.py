"""What shells complete the command line with."""

from __future__ import annotations

from parsl_exporter.assets.origin import origin

FILES = {"bash": "parsl-exporter.bash", "zsh": "_parsl-exporter", "fish": "parsl-exporter.fish"}
"""Of each shell its file in `config/completions`."""


def completion(shell: str) -> bytes:
    """Give the script for a shell of FILES. Raises AssetsFault where it is not there."""
    return (origin() / "config" / "completions" / FILES[shell]).read_bytes()
