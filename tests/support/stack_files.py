"""docker-compose.yml as Compose would read it, with .env filled in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
IMAGE = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+(-[\w.-]+)?")
"""An image with an exact version."""


def documents(text: str) -> list[Any]:
    """What YAML holds; read in C where PyYAML can, for manifests and rules are long."""
    return list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def environment() -> dict[str, str]:
    lines = (line.strip() for line in (ROOT / ".env").read_text().splitlines())
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return dict(pairs)


def filled(text: str) -> str:
    """The text with its variables as .env has them."""
    known = environment()
    return VARIABLE.sub(lambda found: known[found[1]], text)


STACK: dict[str, Any] = yaml.safe_load(filled(COMPOSE))
SERVICES: dict[str, dict[str, Any]] = STACK["services"]


def mounts(service: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """What is at each path in a container: the host's path or a volume's name, and whether it can be written."""
    found = {}
    for mount in service.get("volumes", []):
        if isinstance(mount, str):
            source, target, *mode = mount.split(":")
            found[target] = (source, mode != ["ro"])
        else:
            found[mount["target"]] = (mount["source"], not mount.get("read_only", False))
    return found


def published(service: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Address and port outside, and the port inside."""
    return [
        (address, port, int(inside)) for address, port, inside in (p.split(":") for p in service["ports"])
    ]
