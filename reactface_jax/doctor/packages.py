"""Installed packages against what this project asks for: read from their metadata, without importing any."""

import importlib.metadata
from collections.abc import Mapping
from typing import NamedTuple

PROJECT = "reactface-jax"
BASE = ""
"""The extra of what every command needs."""
OURS = ("render", "data", "live", "convert", "beam")
"""Extras that a command may need."""


class Package(NamedTuple):
    """A package that this project asks for."""

    name: str
    wanted: str
    """Its bounds, such as "<0.13,>=0.10"; "" for any version."""
    version: str | None
    """Of the installed one; None where there is none, or it can't be read."""
    fits: bool
    """Whether the installed version lies within the bounds; True where there is none."""


def packages_of(requirements: list[str] | None = None) -> Mapping[str, list[Package]]:
    """The packages of each extra, and of `BASE`; without those that other machines need. Empty without metadata.

    Args:
      requirements: as a wheel's metadata has them; this project's own by default.
    """
    found: dict[str, list[Package]] = {BASE: [], **{extra: [] for extra in OURS}}
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:  # comes with matplotlib; without it nothing can be said of versions
        return found
    for line in _own() if requirements is None else requirements:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.name.lower() == PROJECT:
            continue
        for extra in found:
            if _belongs(requirement, extra):
                version = version_of(requirement.name)
                fits = version is None or requirement.specifier.contains(version, prereleases=True)
                found[extra].append(Package(requirement.name, str(requirement.specifier), version, fits))
    return found


def _own() -> list[str]:
    try:
        return importlib.metadata.requires(PROJECT) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _belongs(requirement: object, extra: str) -> bool:
    """Whether a requirement is of this extra, on this machine."""
    marker = requirement.marker  # type: ignore[attr-defined]
    if marker is None:
        return extra == BASE
    if extra == BASE:
        return bool(marker.evaluate({"extra": ""}))
    return bool(marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}))


def version_of(name: str) -> str | None:
    """An installed package's version."""
    try:
        return importlib.metadata.version(name)
    except Exception:  # metadata that are damaged are as good as none
        return None
