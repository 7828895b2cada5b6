"""The version of this program."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


def version() -> str:
    """Return the installed version, ``0.0.0`` when run from a tree that was never installed."""
    try:
        return installed("canary-delivery")
    except PackageNotFoundError:
        return "0.0.0"
