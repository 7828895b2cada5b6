"""Durations as manifests write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.api.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("5m", 300), ("1h30m", 5400), ("1h", 3600), ("1m30s", 90), ("90s", 90), ("0s", 0)],
)
def test_duration_reads_the_forms_of_the_book(text: str, seconds: int) -> None:
    """Read hours, minutes and seconds, in this order."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "45", "s", "500ms", "1.5s", "-5s", "5 m", "30s1m", "1d", "45s\n", "٤s"])
def test_duration_refuses_other_forms_by_name(text: str) -> None:
    """Name the wrong text and the right form."""
    with pytest.raises(ValueError, match="such as 45s, 5m or 1h30m") as caught:
        parse_duration(text)
    assert f'"{text}"' in str(caught.value)


@given(st.integers(min_value=0, max_value=10**7))
def test_duration_written_reads_back(seconds: int) -> None:
    """Write any number of whole seconds so that it reads back."""
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration
