"""A good canary, from initialisation to Succeeded, under load."""

from datetime import timedelta

from e2e.release import Release

LONG = timedelta(seconds=60)


def test_good_canary_is_promoted_row_by_row_without_a_failed_request(release: Release) -> None:
    """The rows are those of the book, one interval apart, and no caller notices."""
    release.set_up()
    with release.load() as (mesh, plain):
        release.apply(release.deployment("v2"))
        release.wait_for("Succeeded", within=LONG)
    rows = [(r.phase, r.weight) for r in release.rows()]
    print(rows)
    for load in (mesh, plain):
        assert load.summary().failed == 0, str(load.summary())
    assert rows == [
        ("Initializing", 0),
        ("Initialized", 0),
        *(("Progressing", w) for w in (0, 10, 20, 30, 40, 50)),
        ("Promoting", 0),
        ("Finalising", 0),
        ("Succeeded", 0),
    ]
