"""Reads configuration files for the tests of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from parsl_exporter.base.errors import ConfigurationError
from parsl_exporter.config.load import Overrides, Settings, load


def loaded(file: Path, text: str, overrides: Overrides | None = None) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load(file, overrides or Overrides())


def faults(file: Path, text: str | bytes, overrides: Overrides | None = None) -> list[str]:
    """The faults without the folder of the file."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return faults_of(file, overrides or Overrides())


def faults_of(file: Path | None, overrides: Overrides) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(file, overrides)
    prefix = f"{file.parent}/" if file is not None else ""
    return [fault.removeprefix(prefix) for fault in caught.value.faults]
