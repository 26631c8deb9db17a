"""Reads the configuration file and what the command line sets over it: checked in full, then frozen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from parsl_exporter.base.errors import ConfigurationError, UsageError
from parsl_exporter.base.redaction import shown
from parsl_exporter.config.address import split_address
from parsl_exporter.config.duration import duration
from parsl_exporter.config.settings import (
    DEFAULT_TARGET,
    BucketSettings,
    LimitSettings,
    Settings,
    SourceSettings,
    WebSettings,
    reference,
    table,
)
from parsl_exporter.config.types import (
    DATABASE_URL,
    PATH,
    collected,
    path_text,
    read_mapping,
)
from parsl_exporter.config.yaml import Node, given_list, given_text, read_file

__all__ = [
    "BucketSettings",
    "LimitSettings",
    "Overrides",
    "Settings",
    "SourceSettings",
    "WebSettings",
    "duration",
    "load",
    "reference",
    "split_address",
]


@dataclass(frozen=True)
class Overrides:
    """What the command line gives, as it was typed; empty or None where nothing was."""

    databases: tuple[str, ...] = ()
    listen_address: tuple[str, ...] = ()
    telemetry_path: str | None = None
    web_config_file: str | None = None
    poll_interval: str | None = None
    shard: str | None = None
    state_directory: str | None = None


def load(path: Path | None, overrides: Overrides) -> Settings:
    """The settings of the file at `path` (None: the defaults), with `overrides` over them.

    Relative paths in the file are relative to its folder, those of the command line to the working folder.
    Raises ConfigurationError with all faults of the file, in its order, and of the command line; UsageError where
    the file has none.
    """
    faults: list[str] = []
    of_arguments: list[str] = []
    settings = Settings()
    try:
        if path is not None:
            settings = _settings_of_file(read_file(path), path.absolute().parent)
    except ConfigurationError as error:
        faults += error.faults
    settings = _overridden(settings, overrides, of_arguments)
    if faults:
        raise ConfigurationError([*faults, *of_arguments])
    if of_arguments:
        raise UsageError(of_arguments)
    return settings


def _readers(cls: type[Any]) -> dict[str, Callable[[Node], Any]]:
    return {item.name: _reader(item) for item in fields(cls) if item.metadata or is_dataclass(item.default)}


def _reader(item: Field[Any]) -> Callable[[Node], Any]:
    if item.metadata:
        read: Callable[[Node], Any] = item.metadata["kind"].read
        return read
    return partial(_section, type(item.default))


def _section(cls: type[Any], node: Node) -> Any:
    # A section whose keys are all commented out.
    return cls() if node.shape == "nothing" else cls(**read_mapping(node, _readers(cls), _belongs()))


def _settings_of_file(document: Node, folder: Path) -> Settings:
    if document.shape == "nothing":
        return Settings()
    readers = _readers(Settings) | {"sources": partial(_sources, folder)}
    settings = Settings(**read_mapping(document, readers, _belongs()))
    if settings.state_directory is not None:
        settings = replace(settings, state_directory=str(folder / settings.state_directory))
    if settings.web.config_file is None:
        return settings
    return replace(settings, web=replace(settings.web, config_file=str(folder / settings.web.config_file)))


def _belongs() -> dict[str, str]:
    """Where each key belongs, in words; of one that there is twice, where it stands first in the documentation."""
    places: dict[str, str] = {}
    for setting in table():
        section, _, key = setting.key.rpartition(".")
        under = {"": "at the top of the file", "sources[]": "in an entry of sources"}
        places.setdefault(key, under.get(section, f"under {section}"))
    return places


def _sources(folder: Path, node: Node) -> tuple[SourceSettings, ...]:
    if node.shape == "text":
        node = replace(node, shape="list", items=(node,))
    if node.shape != "list" or not node.items:
        found = "an empty one" if node.shape == "list" else node.what
        raise node.fault(
            f"expected a list of sources, found {found}; leave the key out to read {DEFAULT_TARGET}"
        )
    faults: list[str] = []
    sources: list[tuple[Node, SourceSettings]] = []
    for item in node.items:
        source = collected(faults, partial(_source, folder), item)
        if source is not None:
            sources.append((item, source))
    faults += _repeated(sources)
    if faults:
        raise ConfigurationError(faults)
    return tuple(source for _, source in sources)


def _source(folder: Path, node: Node) -> SourceSettings:
    if node.shape == "text":
        is_url = "://" in node.text
        return SourceSettings(
            _in_folder(DATABASE_URL.read(node), folder) if is_url else str(folder / PATH.read(node))
        )
    if node.shape != "mapping":
        raise node.fault(f"expected a path, a URL or a mapping such as {{path: runinfo}}, found {node.what}")
    readers = _readers(SourceSettings) | {"path": PATH.read, "url": DATABASE_URL.read}
    values = read_mapping(node, readers, _belongs())
    path, url = values.pop("path", None), values.pop("url", None)
    if (path is None) == (url is None):
        raise node.fault(f"expected either path or url, found {'neither' if path is None else 'both'}")
    target = str(folder / path) if url is None else _in_folder(url, folder)
    return SourceSettings(target, **values)


def _in_folder(url: str, folder: Path) -> str:
    """A SQLite URL with its relative path, if it has one, made absolute; any other URL as it is."""
    scheme, _, path = url.partition(":///")
    if not scheme.startswith("sqlite"):
        return url
    return f"{scheme}:///{folder / os.path.expanduser(path)}"  # noqa: PTH111  # Path's fails for an unknown user


def _repeated(sources: list[tuple[Node, SourceSettings]]) -> Iterator[str]:
    """The faults of sources that would bear the same name."""
    first: dict[str, Node] = {}
    for node, source in sources:
        before = first.setdefault(source.name or source.target, node)
        if before is not node:
            what = f"the name {shown(source.name)}" if source.name else "the same database"
            earlier = before.key or before.place
            yield from node.fault(f"{what} is given already by {earlier}; names must differ").faults


def _overridden(settings: Settings, overrides: Overrides, faults: list[str]) -> Settings:
    def given(cls: type[Any], name: str, text: str | tuple[str, ...] | None) -> dict[str, Any]:
        if text is None or text == ():
            return {}
        about = next(item.metadata for item in fields(cls) if item.name == name)
        node = given_text(about["flag"], text) if isinstance(text, str) else given_list(about["flag"], text)
        return {name: collected(faults, about["kind"].read, node)}

    web = {
        **given(WebSettings, "listen_address", overrides.listen_address),
        **given(WebSettings, "telemetry_path", overrides.telemetry_path),
        **given(WebSettings, "config_file", overrides.web_config_file),
    }
    changes = {
        **given(Settings, "poll_interval", overrides.poll_interval),
        **given(Settings, "shard", overrides.shard),
        **given(Settings, "state_directory", overrides.state_directory),
    }
    if overrides.databases:
        arguments = [given_text(f"DATABASE {i}", text) for i, text in enumerate(overrides.databases, 1)]
        sources = [(node, collected(faults, _argument, node)) for node in arguments]
        good = [(node, source) for node, source in sources if source is not None]
        faults += _repeated(good)
        changes["sources"] = tuple(source for _, source in good)
    return replace(settings, web=replace(settings.web, **web), **changes)


def _argument(node: Node) -> SourceSettings:
    if "://" in node.text:
        DATABASE_URL.read(node)
        return SourceSettings(node.text)
    try:
        # Not PATH: a file's name on the command line may hold bytes that are no UTF-8.
        return SourceSettings(path_text(node.text))
    except ValueError as error:
        raise node.fault(str(error)) from None
