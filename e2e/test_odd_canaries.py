"""Canaries that are odd but legal, many at once: each gets its sentence, and the controller goes on for all others."""

from datetime import timedelta
from itertools import islice
from urllib.request import urlopen

from canary.api.admission import refusals
from e2e.controller import Controller
from e2e.release import CANARY, Release
from e2e.testbed.kube import Object
from e2e.testbed.waiting import wait_until
from tests.api.mutations import mutated_canaries

SEVERAL = 40
WITHIN = timedelta(seconds=60)
AT_ONCE = timedelta(seconds=3)


def test_odd_canaries_are_told_their_obstacles_and_hold_nobody_up(controller: Controller, release: Release) -> None:
    """What a definition lets in ends no reconcile and fills no queue: who comes after them is heard at once."""
    taken = (one for one in mutated_canaries(1000, seed=7) if not refusals(one))
    for number, manifest in enumerate(islice(taken, SEVERAL)):
        manifest["metadata"] = {"name": f"odd-{number}", "namespace": release.namespace}
        manifest["apiVersion"] = f"{release.group}/v1beta1"
        release.testbed.kube.create(release.path.rpartition("/")[0], manifest)
    assert len(stored(release)) == SEVERAL
    wait_until(lambda: not untold(release), WITHIN, lambda: str(untold(release)))
    release.apply(release.canary())
    wait_until(lambda: not untold(release), AT_ONCE, lambda: str(untold(release)))
    assert any(one["metadata"]["name"] == CANARY for one in stored(release))
    with urlopen(f"{controller.url}/metrics") as page:
        metrics = page.read().decode()
    assert "canary_queue_depth 0.0" in metrics
    assert "Traceback" not in controller.log.read_text()


def stored(release: Release) -> list[Object]:
    """Return all Canaries as they are."""
    found: list[Object] = release.testbed.kube.get(release.path.rpartition("/")[0])["items"]
    return found


def untold(release: Release) -> list[Object]:
    """Return the Canaries that do not say in a sentence why they are not ready."""
    return [one for one in stored(release) if not is_told(one)]


def is_told(canary: Object) -> bool:
    """Return whether a Canary says in a sentence why it is not ready."""
    conditions = (canary.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "False" and one["message"] for one in conditions)
