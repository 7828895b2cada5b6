"""Fixtures of typed commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.cli.cluster import Typing


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Typing:
    """Return who types commands against the cluster of the test's folder."""
    return Typing(capsys, tmp_path / "kubeconfig")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo what a command sets for its whole process."""
    yield
    structlog.reset_defaults()
