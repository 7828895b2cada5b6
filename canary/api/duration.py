"""Durations as manifests write them: `45s`, `5m`, `1h30m`."""

import re
from datetime import timedelta

PATTERN = r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$"
FORM = "a duration of at least 1s, such as 45s, 5m or 1h30m"
FORM_OR_ZERO = "0s or a duration such as 45s, 5m or 1h30m"

_FORM = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Return the duration that `text` writes; ValueError names the text and the right form."""
    found = _FORM.fullmatch(text)
    if not text or found is None:
        raise ValueError(f'"{text}" is not {FORM}')
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads back, whole seconds only."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s"
