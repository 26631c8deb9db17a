"""Which exporter this is: the version, and the revision of its source where that was recorded."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution

_UNKNOWN = "unknown"


def _revision(installed: Distribution) -> str:
    """The commit that pip installed from a repository, as PEP 610 records it."""
    with suppress(ValueError, LookupError, TypeError):
        return str(json.loads(installed.read_text("direct_url.json") or "{}")["vcs_info"]["commit_id"])
    return _UNKNOWN


try:
    _INSTALLED = distribution("parsl-exporter")
except PackageNotFoundError:  # a source tree that was not installed
    VERSION, REVISION = "0+unknown", _UNKNOWN
else:
    VERSION, REVISION = _INSTALLED.version, _revision(_INSTALLED)

# An image is built from files that bear no revision; its Dockerfile hands it on.
REVISION = os.environ.get("PARSL_EXPORTER_REVISION") or REVISION
