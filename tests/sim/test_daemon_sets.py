"""Releases of a DaemonSet: a pod on each node, and none of a set that is kept off all nodes."""

from __future__ import annotations

from dataclasses import replace

from canary.core.objects import DAEMON_SET, Ref
from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.manifests import daemon_set, deployment
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import Scenario, initialise, on_each_node, release
from tests.sim.stories import (
    NAMESPACE,
    V1,
    V2,
    V3,
    apex_role,
    condition,
    harmed,
    image,
    ours,
    quick,
    ready,
    route_writes,
    steps,
    weights,
)

TARGET = Ref(DAEMON_SET, NAMESPACE, "catalog")
PRIMARY = Ref(DAEMON_SET, NAMESPACE, "catalog-primary")
CANARY = Ref(DAEMON_SET, NAMESPACE, "catalog-canary")
GOOD = [("Progressing", 0), ("Progressing", 25), ("Progressing", 50), ("Promoting", 0), ("Finalising", 0)]


def daemons(nodes: int = 3, **analysis: object) -> Scenario:
    """Return a quick release of a DaemonSet on some nodes."""
    scenario = quick(nodes, **analysis)
    return replace(scenario, canary=on_each_node(scenario.canary))


def test_good_release_runs_a_pod_on_each_node() -> None:
    """Initialised, released and given back without a failed request; all canary pods come before its first weight."""

    async def story(sim: Simulation) -> None:
        scenario = daemons()
        await initialise(sim, scenario)
        assert (ready(sim, PRIMARY), ready(sim, TARGET), sim.world.find(CANARY)) == (3, 0, None)
        begun = await release(sim, scenario, V2)
        await sim.until_weight(25)
        assert ready(sim, CANARY) == 3
        await sim.until_phase("Succeeded", 600)
        assert steps(sim, begun)[:-1] == GOOD
        assert route_writes(sim, begun) == [(75, 25), (50, 50), (0, 100), (100, 0)]
        await sim.rest(400)
        assert (image(sim, PRIMARY), ready(sim, PRIMARY), ready(sim, CANARY)) == (V2, 3, 0)
        assert wrong_at_rest(sim, scenario) is None
        since = sim.now
        await sim.rest(900)
        assert ours(sim, since) == []
        sim.user.delete(scenario.ref)
        await sim.rest(300)
        assert wrong_at_rest(sim, scenario) is None
        assert (image(sim, TARGET), ready(sim, TARGET), apex_role(sim), harmed(sim)) == (V2, 3, "", 0)

    simulate(story)


def test_canary_that_never_gets_ready_is_rolled_back_at_its_deadline() -> None:
    """A DaemonSet never says that it is stuck: the time without progress is counted here."""

    async def story(sim: Simulation) -> None:
        scenario = daemons()
        await initialise(sim, scenario)
        sim.behaviours.put(Behaviour(sick_pods=1), image=V2)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Failed", 600)
        assert condition(sim, "Progressing")["reason"] == "CanaryNotReady"
        assert 60 <= sim.rows(begun)[-1].at <= 75
        await sim.rest(100)
        assert (weights(sim), image(sim, PRIMARY), ready(sim, CANARY), harmed(sim)) == ((100, 0), V1, 0, 0)
        assert wrong_at_rest(sim, scenario) is None

    simulate(story)


def test_failed_promotion_stays_on_the_canary_and_recovers() -> None:
    """The primary's first pod of v2 never gets ready: the canary serves until v3 brings the primary back."""

    async def story(sim: Simulation) -> None:
        scenario = daemons()
        await initialise(sim, scenario)
        sim.behaviours.put(Behaviour(ready_after=None), image=V2, deployment=PRIMARY.name)
        await release(sim, scenario, V2)
        await sim.until_phase("Failed", 600)
        await sim.rest(300)
        assert (weights(sim), apex_role(sim), ready(sim, CANARY)) == ((0, 100), "canary", 3)
        told = condition(sim, "Ready")
        assert (told["status"], told["reason"]) == ("False", "PromotionFailed")
        assert "Deployment" not in told["message"]
        sim.user.apply(scenario.revised(V3))
        await sim.until(lambda: image(sim, PRIMARY) == V1, 300, "v1 comes back")
        await sim.until_phase("Succeeded", 600)
        await sim.rest(400)
        assert (image(sim, PRIMARY), harmed(sim)) == (V3, 0)
        assert wrong_at_rest(sim, scenario) is None

    simulate(story)


def test_nodes_that_come_and_go_are_followed() -> None:
    """The sides have a pod on each node there is now, in a run as well as idle."""

    async def story(sim: Simulation) -> None:
        scenario = daemons(4)
        await initialise(sim, scenario)
        sim.daemon_sets.resize(6)
        await sim.rest(30)
        assert (ready(sim, PRIMARY), sim.status()["replicas"]["desired"]) == (6, 6)
        await release(sim, scenario, V2)
        await sim.until_weight(25)
        sim.daemon_sets.resize(3)
        await sim.until_weight(50)
        sim.daemon_sets.resize(5)
        await sim.until_phase("Succeeded", 600)
        await sim.rest(400)
        assert (image(sim, PRIMARY), ready(sim, PRIMARY), sim.status()["replicas"]["desired"]) == (V2, 5, 5)
        assert wrong_at_rest(sim, scenario) is None

    simulate(story)


def test_daemon_set_with_another_node_selector_goes_its_way() -> None:
    """A node selector is part of the revision; what keeps a set off all nodes is none, and goes with no other."""

    async def story(sim: Simulation) -> None:
        scenario = daemons()
        await initialise(sim, scenario)
        revised = scenario.revised(V2)
        revised["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
        sim.user.apply(revised)
        await sim.until_phase("Succeeded", 600)
        await sim.rest(200)
        sim.user.apply(scenario.revised(V3))
        await sim.until_phase("Progressing", 60)
        await sim.until_phase("Succeeded", 600)
        await sim.rest(200)
        primary = sim.world.find(PRIMARY)
        assert primary is not None
        assert "nodeSelector" not in primary["spec"]["template"]["spec"]
        assert (ready(sim, PRIMARY), ready(sim, CANARY), harmed(sim)) == (3, 0, 0)
        assert wrong_at_rest(sim, scenario) is None

    simulate(story)


def test_target_brought_back_by_hand_goes_again() -> None:
    """Whoever takes our selector away brings pods that nobody calls; no run starts and they go again."""

    async def story(sim: Simulation) -> None:
        scenario = daemons()
        await initialise(sim, scenario)
        since = sim.now
        sim.user.scale(TARGET, 3)
        await sim.until(lambda: ready(sim, TARGET) == 3, 60, "pods of the target")
        await sim.until(lambda: ready(sim, TARGET) == 0, 120, "none again")
        assert (steps(sim, since), harmed(sim)) == ([], 0)
        sim.user.apply(scenario.revised(V1))
        await sim.rest(60)
        assert (steps(sim, since), ready(sim, TARGET)) == ([], 0)

    simulate(story)


def test_rolling_update_goes_from_node_to_node() -> None:
    """The simulator's DaemonSets, as in apps/v1: one node at a time is without a pod, and a node has one at most."""
    seen: list[tuple[int, int]] = []

    async def story(sim: Simulation) -> None:
        sim.daemon_sets.nodes = 3
        sim.user.apply(daemon_set(deployment()))
        await sim.rest(10)
        uid = (sim.world.find(TARGET) or {})["metadata"]["uid"]

        def count(pod: object) -> None:
            pods = sim.pods.of(uid)
            seen.append((len(pods) + len(sim.pods.ending(uid)), sum(one.ready for one in pods)))

        sim.pods.after.append(count)
        sim.user.apply(daemon_set(deployment(image=V2)))
        await sim.rest(60)
        assert {pod.image for pod in sim.pods.all()} == {V2}
        found = (sim.world.find(TARGET) or {})["status"]
        assert (found["updatedNumberScheduled"], found["numberAvailable"], found["desiredNumberScheduled"]) == (3, 3, 3)

    simulate(story)
    assert max(total for total, _ in seen) == 3
    assert min(ready for _, ready in seen) == 2
