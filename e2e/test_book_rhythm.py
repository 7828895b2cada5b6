"""Listing 5.1 byte for byte, at the book's own rhythm of 45 s, as its reader would run it."""

from datetime import timedelta

import pytest

from e2e.release import Release, manifests
from e2e.timeline import assert_none_failed, assert_rhythm, settled

INTERVAL = timedelta(seconds=45)
WHOLE_RELEASE = timedelta(minutes=8)
RUN = (
    *(("Progressing", weight) for weight in (0, 10, 20, 30, 40, 50)),
    *((phase, 0) for phase in ("Promoting", "Finalising", "Succeeded")),
)


@pytest.mark.long
def test_listing_of_the_book_goes_at_its_rhythm(release: Release) -> None:
    """Nine rows, 45 s apart, with the book's columns, and no caller notices."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(*manifests("listing-5.1.yaml"))
    release.wait_for("Initialized", within=timedelta(minutes=2))
    with release.load(rps=10, seconds=WHOLE_RELEASE.total_seconds()) as (mesh, plain):
        since = settled(release)
        release.apply(release.deployment("v2"))
        release.wait_for("Succeeded", within=WHOLE_RELEASE)
    rows = release.rows(since)
    assert tuple((row.phase, row.weight) for row in rows) == RUN
    assert_rhythm(rows, INTERVAL)
    assert_none_failed(mesh, plain)
