"""What the site has beside docs/: pages, files and folders of the checkout that its pages link to. A hook of MkDocs.

A link is written as a forge shows it, relative to the file that it stands in; MkDocs takes links within docs/ alone.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""Pages beside docs/, and what they are called in the site."""

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|[#/])[^)#\s]+")
_ORIGINS = {page: origin for origin, page in PAGES.items()}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages beside docs/, and each file and folder there that a page links to."""
    checkout = _checkout(config)
    for origin, name in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(checkout / origin)))
    for page in files.documentation_pages():
        for link in _LINK.finditer(page.content_string):
            target = _target(_origin(page.src_uri), link[0])
            if (checkout / target).is_dir():
                _add_folder(files, config, target)
            elif target not in PAGES and not target.startswith("docs/"):
                _add_file(files, config, target)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have the links of a page lead to where the site has what they lead to."""
    uri = page.file.src_uri
    if uri not in _ORIGINS and not (_checkout(config) / "docs" / uri).is_file():
        return markdown  # made by _add_folder

    def in_site(link: re.Match[str]) -> str:
        target = _target(_origin(uri), link[0])
        folder = (_checkout(config) / target).is_dir()
        return f"{target}/index.md" if folder else PAGES.get(target, target.removeprefix("docs/"))

    return _LINK.sub(in_site, markdown)


def _add_file(files: Files, config: MkDocsConfig, place: str) -> None:
    path = _checkout(config) / place
    if path.is_file() and files.get_file_from_path(place) is None:
        files.append(File.generated(config, place, abs_src_path=str(path)))


def _add_folder(files: Files, config: MkDocsConfig, place: str) -> None:
    """Add a folder's files, and a page that lists them."""
    names = sorted(path.name for path in (_checkout(config) / place).iterdir() if path.is_file())
    listing = "".join(f"- [{name}]({name})\n" for name in names)
    if files.get_file_from_path(f"{place}/index.md") is None:
        files.append(File.generated(config, f"{place}/index.md", content=f"# {place}\n\n{listing}"))
    for name in names:
        _add_file(files, config, f"{place}/{name}")


def _checkout(config: MkDocsConfig) -> Path:
    return Path(config.docs_dir).parent


def _origin(page: str) -> str:
    """The file of the checkout that a page of the site is."""
    return _ORIGINS.get(page, f"docs/{page}")


def _target(origin: str, link: str) -> str:
    """What `link`, written in the file `origin` of the checkout, leads to there."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
