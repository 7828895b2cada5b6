"""Values of options."""

from __future__ import annotations

import argparse
from datetime import timedelta

from canary.api.duration import parse_duration


def duration(text: str) -> timedelta:
    """Read `90s` or `1h30m`."""
    try:
        return parse_duration(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None
