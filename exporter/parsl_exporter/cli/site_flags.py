"""The flags that tell `assets` of a site."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from parsl_exporter.assets.adaptation import JOB, Site
from parsl_exporter.config.address import split_address
from parsl_exporter.config.duration import duration

_JOB = r"[A-Za-z0-9_.:/-]+"
# https://grafana.com/docs/grafana/latest/developers/http_api/data_source/
_UID = r"[A-Za-z0-9_-]{1,40}"
# Of RFC 3986, but for $, which is for Prometheus and Grafana the begin of a variable.
_URL = r"(https?|file)://[A-Za-z0-9._~:/?#\[\]@!&'()*+,;=%-]+"

# Prometheus takes `rule_files` for patterns of Go's filepath.Match, with the folder of its configuration in front.
_OF_PATTERNS = "*?[\\"

_USUAL = Site(Path())


def add_site_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `site_of` reads."""
    parser.add_argument("--job", type=_job, default=JOB, metavar="NAME",
                        help=f"the job in Prometheus that scrapes exporters (default {JOB})")  # fmt: skip
    parser.add_argument("--target", dest="targets", action="append", type=_address, metavar="ADDRESS",
                        help=f"an exporter; may be given again (default {_USUAL.targets[0]})")  # fmt: skip
    parser.add_argument("--scrape.interval", dest="scrape_interval", type=_duration, metavar="DURATION",
                        default=_USUAL.scrape_interval,
                        help=f"how often they are scraped (default {_USUAL.scrape_interval})")  # fmt: skip
    parser.add_argument("--alertmanager", type=_address, default=_USUAL.alertmanager, metavar="ADDRESS",
                        help=f"where alerts go (default {_USUAL.alertmanager})")  # fmt: skip
    parser.add_argument("--prometheus.url", dest="prometheus_url", type=_url, metavar="URL",
                        default=_USUAL.prometheus_url,
                        help=f"Prometheus, as Grafana reaches it (default {_USUAL.prometheus_url})")  # fmt: skip
    parser.add_argument("--grafana.url", dest="grafana_url", type=_url, default=_USUAL.grafana_url, metavar="URL",
                        help=f"Grafana, as people reach it from alerts (default {_USUAL.grafana_url})")  # fmt: skip
    parser.add_argument("--runbook.url", dest="runbook_url", type=_url, metavar="URL",
                        help="runbooks.md, as people reach it from alerts (default: the file itself)")  # fmt: skip
    parser.add_argument("--datasource.uid", dest="datasource_uid", type=_uid, metavar="UID",
                        help="the data source that dashboards open with (default: the first Prometheus)")  # fmt: skip
    parser.add_argument("--datasource.name", dest="datasource_name", type=_name, metavar="NAME",
                        help="its name (default Prometheus)")  # fmt: skip


def site_of(options: argparse.Namespace, folder: Path, program: Path | None) -> Site:
    """Give the site that the flags name, with its files in `folder` and this program as its service."""
    return Site(
        folder=folder,
        job=options.job,
        targets=tuple(options.targets or _USUAL.targets),
        alertmanager=options.alertmanager,
        scrape_interval=options.scrape_interval,
        prometheus_url=options.prometheus_url.rstrip("/"),
        grafana_url=options.grafana_url.rstrip("/"),
        runbook_url=options.runbook_url,
        datasource_uid=options.datasource_uid,
        datasource_name=options.datasource_name,
        program=program,
    )


def folder(text: str) -> Path:
    """A folder, named from the working folder or the home folder on. Raises ArgumentTypeError."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give the name of a folder")
    path = os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111  # a link stays the link that it is
    if set(path) & set(_OF_PATTERNS):
        raise argparse.ArgumentTypeError(
            f"{path} has one of {_OF_PATTERNS} in it, for Prometheus a pattern of other rules or none; give another"
        )
    return Path(path)


def _job(text: str) -> str:
    if not re.fullmatch(_JOB, text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name for a job; give letters, digits and _ . : / -")
    return text


def _address(text: str) -> str:
    try:
        host, port = split_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not host or not port:
        raise argparse.ArgumentTypeError(f"{text!r} has no host or no port; give both, such as login1:9678")
    return text


def _duration(text: str) -> str:
    try:
        seconds = duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not seconds:
        raise argparse.ArgumentTypeError("is 0; give how often, such as 15s")
    return text


def _url(text: str) -> str:
    if not re.fullmatch(_URL, text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no URL; give one that begins with http:// or https:// and has no space, quote or $"
        )
    return text


def _uid(text: str) -> str:
    if not re.fullmatch(_UID, text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no uid; give what ends the address of the data source's page in Grafana"
        )
    return text


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is no name; give the data source's name in Grafana")
    return text
