"""The catalogue: every family that the exporter publishes of Parsl and of itself, declared once."""

from __future__ import annotations

from typing import Any

from parsl_exporter.metrics.family import Family
from parsl_exporter.metrics.run_families import RUN_FAMILIES
from parsl_exporter.metrics.source_families import PROCESS_FAMILIES, SOURCE_FAMILIES

FAMILIES: tuple[Family[Any], ...] = (*RUN_FAMILIES, *SOURCE_FAMILIES, *PROCESS_FAMILIES)
