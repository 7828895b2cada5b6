"""Which containers are compared, and what counts as another image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from canary.core.decide import ASK_AGAIN, SHORTEST_WAIT, decide
from canary.core.images import images_unknown, moved_image, pods_query
from canary.core.measurement import Measurement, PodsAnswer, PodsQuery, Unavailable
from canary.core.view import View
from tests.builders import NOW, at, promoting, rolled

QUERY = PodsQuery("istioinaction", (), ())


def pod(*images: tuple[str, str]) -> dict[str, Any]:
    """Return a pod with containers by name and image id."""
    return {"status": {"containerStatuses": [{"name": name, "imageID": image} for name, image in images]}}


def seen(primary: tuple[Any, ...], canary: tuple[Any, ...]) -> View:
    """Return a promotion in which these pods were found."""
    view = View(promoting(primary=rolled()), (), NOW)
    return replace(view, measurements=(Measurement(QUERY, PodsAnswer(primary, canary)),))


def test_same_images_have_not_moved() -> None:
    """Each pod of the primary runs what some judged pod runs."""
    assert moved_image(seen((pod(("catalog", "a")),), (pod(("catalog", "a")), pod(("catalog", "b"))))) is None


def test_other_image_is_named_with_the_judged_one() -> None:
    """Say which container runs what, and what was judged."""
    why = moved_image(seen((pod(("catalog", "a")), pod(("catalog", "c"))), (pod(("catalog", "a")),)))
    assert why == "runs image c in container catalog, which was not judged: the canary runs a"


def test_containers_that_others_inject_may_differ() -> None:
    """A proxy that was upgraded in mid-run is not the user's image."""
    sides = ((pod(("catalog", "a"), ("istio-proxy", "2")),), (pod(("catalog", "a"), ("istio-proxy", "1")),))
    assert moved_image(seen(*sides)) is None


def test_pods_without_known_images_are_not_compared() -> None:
    """A pod that has not pulled yet says nothing, and without judged pods there is nothing to compare with."""
    assert moved_image(seen((pod(("catalog", "")),), (pod(("catalog", "a")),))) is None
    assert moved_image(seen((pod(("catalog", "a")),), ())) is None


def test_missing_answer_is_told() -> None:
    """Neither an answer that failed nor one that is still to come is knowledge."""
    view = View(promoting(primary=rolled()), (), NOW)
    assert images_unknown(view) == "the API server was not asked yet"
    failed = replace(view, measurements=(Measurement(QUERY, Unavailable("403: pods")),))
    assert images_unknown(failed) == "403: pods"
    assert moved_image(failed) is None


def test_images_that_nobody_asked_for_are_asked_for_at_once() -> None:
    """A tick that comes due while something else is answered costs no extra seconds; an answer that failed does."""
    world, tick = promoting(primary=rolled()), at(45)
    unasked = decide(world, (), tick)
    query = pods_query(View(world, (), tick), rolled())
    failed = decide(world, (Measurement(query, Unavailable("403: pods")),), tick)
    assert (unasked.requeue_after, failed.requeue_after) == (SHORTEST_WAIT, ASK_AGAIN)
