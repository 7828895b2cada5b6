"""What a custom check asks that cannot be asked: every run would hold before its first weight."""

from __future__ import annotations

from canary.api.warnings import Caution
from canary.core.checks import custom_questions
from canary.core.measurement import Unavailable
from canary.core.view import View


def check_unanswerable(view: View) -> Caution | None:
    """Find a check that cannot ask: its MetricTemplate is missing or wrong, or a value does not fit its query."""
    for metric, asked in custom_questions(view):
        if isinstance(asked, Unavailable):
            return Caution("CheckUnanswerable", f"check {metric.name} cannot be measured: {asked.reason}")
    return None
