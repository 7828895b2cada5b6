"""An object while it is converted: no field of it is left out without a word."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from canary.api.duration import format_duration, istio_seconds
from canary.cli.lint import REFUSED, WARNING, Finding
from canary.cli.manifests import Document

API_VERSION = "argoproj.io/v1alpha1"


@dataclass(frozen=True, slots=True)
class Reading:
    """One object, and what has been found to tell of it."""

    document: Document
    found: list[Finding] = field(default_factory=list)

    def refuse(self, path: str, message: str) -> None:
        """Tell of a field without which a release is another one."""
        self._tell(path, REFUSED, message)

    def warn(self, path: str, message: str) -> None:
        """Tell of a field that is done otherwise here."""
        self._tell(path, WARNING, message)

    def tell_rest(self, path: str, given: Mapping[str, Any], read: Collection[str], told: Mapping[str, str]) -> None:
        """Warn of the fields in `told`, each with its sentence, and refuse those that are not in `read` either."""
        for name in given:
            if name in told:
                self.warn(f"{path}.{name}", f"is not carried over: {told[name]}")
            elif name not in read:
                self.refuse(f"{path}.{name}", "has no counterpart and is left out")

    def mapping(self, path: str, value: object) -> Mapping[str, Any]:
        """Return what should be an object, empty and told of when it is something else."""
        if isinstance(value, Mapping):
            return value
        if value is not None:
            self.refuse(path, "is not an object and is left out")
        return {}

    def entries(self, path: str, value: object) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the objects of what should be a list, each with its path."""
        if value is not None and not isinstance(value, list):
            self.refuse(path, "is not a list and is left out")
        listed = value if isinstance(value, list) else []
        return [(f"{path}[{i}]", self.mapping(f"{path}[{i}]", one)) for i, one in enumerate(listed)]

    def _tell(self, path: str, level: str, message: str) -> None:
        self.found.append(Finding(self.document.file, self.document.line_of(path), level, f"{path} {message}"))


def read_seconds(value: object) -> int | None:
    """Return a duration that is written as seconds or with units, in whole seconds; None when it is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
        return int(value) if int(value) >= 0 else None
    return math.ceil(istio_seconds(value)) or None if isinstance(value, str) else None


def written_seconds(seconds: int) -> str:
    """Return seconds as our manifests write a duration."""
    return format_duration(timedelta(seconds=seconds))
