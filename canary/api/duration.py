"""Durations as manifests write them: `45s`, `5m`, `1h30m`."""

import re
from datetime import timedelta
from decimal import Decimal

PATTERN = r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$"
FORM = "a duration of at least 1s, such as 45s, 5m or 1h30m"
FORM_OR_ZERO = "0s or a duration such as 45s, 5m or 1h30m"

# What Go reads as a duration, which is what the API server and Istio read.
ISTIO_PATTERN = r"^[+]?(([0-9]+([.][0-9]*)?|[.][0-9]+)(ns|us|µs|μs|ms|s|m|h))+$"
ISTIO_FORM = "a duration of at least 1ms as Istio writes it, such as 500ms, 1.5s, 2m or 1h"
SHORTEST_ISTIO_SECONDS, LONGEST_ISTIO_SECONDS = 0.001, 9_223_372_036.0

_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SECONDS = {"ns": "1e-9", "us": "1e-6", "µs": "1e-6", "μs": "1e-6", "ms": "1e-3", "s": "1", "m": "60", "h": "3600"}
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


def istio_seconds(text: object) -> float:
    """Return a duration as Istio writes it in seconds, 0 for none and for what is no duration."""
    written = str(text or "")
    parts = _PART.findall(written) if re.fullmatch(ISTIO_PATTERN, written) else ()
    return float(sum(Decimal(amount) * Decimal(_SECONDS[unit]) for amount, unit in parts))
