"""Whether a system at rest is whole: what a Canary leaves behind when nothing happens any more."""

from __future__ import annotations

from canary.core.advance.recover import IMAGE_MOVED, PROMOTION_FAILED
from canary.core.configuration import OPT_OUT
from canary.core.names import CANARY_LABEL, MANAGER, PREFIX, Role
from canary.core.objects import AUTOSCALER, DESTINATION_RULE, SERVICE, Ref, annotations_of, labels_of
from canary.sim.copies import unused_copy
from canary.sim.driver import Simulation
from canary.sim.memory import IDLE
from canary.sim.pods import version_of
from canary.sim.rollout import size_of
from canary.sim.scenario import Scenario
from canary.sim.scene import Scene


def wrong_at_rest(sim: Simulation, scenario: Scenario) -> str | None:
    """Return what is not as it should be once faults are over and all is quiet; None when all is well."""
    found = sim.world.find(scenario.ref)
    if found is None:
        left = None if _apex_missed(sim, scenario) else left_behind(sim, scenario)
        return left or _target_not_serving(sim, scenario) or _scaler_wrong(sim, scenario, None)
    scene = Scene(sim.world, sim.pods, sim.dataplane, sim.faults, scenario.ref)
    if scene.phase not in IDLE:
        return f"the Canary rests in phase {scene.phase}"
    target = sim.world.find(scenario.target)
    if target is not None and sim.pods.of(target["metadata"]["uid"]):
        return "the target still has pods"
    serving: Role = "canary" if _promotion_failed(sim, scenario) else "primary"
    return (
        _not_serving(scene, serving)
        or _cohort_left(sim, scene, serving)
        or unused_copy(scene)
        or _scaler_wrong(sim, scenario, serving)
    )


def _promotion_failed(sim: Simulation, scenario: Scenario) -> bool:
    status = sim.status(scenario.ref)
    reasons = {one["reason"] for one in status.get("conditions") or () if one["type"] == "Progressing"}
    return status["phase"] == "Failed" and bool(reasons & {PROMOTION_FAILED, IMAGE_MOVED})


def _not_serving(scene: Scene, role: Role) -> str | None:
    """Return what is wrong when one side should carry everything."""
    if scene.weight(role) != 100 or scene.apex_role() != role:
        return f"in phase {scene.phase} the weights are {scene.weights}, the apex selects {scene.apex_role()!r}"
    workload = scene.workload(role)
    if workload is None or scene.ready(role) < max(1, size_of(workload)):
        return f"the {role} has only {scene.ready(role)} ready pods"
    canary = scene.workload("canary")
    if role == "primary" and canary is not None and scene.pods.of(canary["metadata"]["uid"]):
        return f"the canary still has pods in phase {scene.phase}"
    return None


def _cohort_left(sim: Simulation, scene: Scene, serving: Role) -> str | None:
    """Return what was made for a cohort and is still there once nothing is on the canary any more."""
    found = [ref for kind in (SERVICE, DESTINATION_RULE) for ref, _ in sim.world.items(kind, scene.ref.namespace)]
    left = [ref for ref in found if scene.names.cohort_of(ref.name) is not None]
    return f"{left[0]} is left" if left and serving == "primary" else None


def _scaler_wrong(sim: Simulation, scenario: Scenario, serving: Role | None) -> str | None:
    """Return what is wrong with the autoscaler, of which the user's wishes outlast every change of ours."""
    found = sim.world.find(scenario.scaler_ref) if scenario.scaler_ref else None
    own = Ref(AUTOSCALER, scenario.ref.namespace, f"{scenario.target.name}-canary")
    if scenario.scaler_ref is None or found is None:
        return None
    name = f"{scenario.target.name}-primary" if serving else scenario.target.name
    if found["spec"]["scaleTargetRef"]["name"] != name:
        return f"the autoscaler scales {found['spec']['scaleTargetRef']['name']} and not {name}"
    if (sim.world.find(own) is not None) != (serving == "canary"):
        return f"the canary's own autoscaler is {'there' if sim.world.find(own) else 'missing'}, {serving} serves"
    asked = _asked(sim, scenario.scaler_ref, "minReplicas")
    if serving != "canary" and found["spec"]["minReplicas"] != asked:
        return f"the autoscaler's minReplicas is {found['spec']['minReplicas']}, the user asked for {asked}"
    return None


def _asked(sim: Simulation, ref: Ref, field: str) -> object:
    """Return what somebody else than the controller last wrote into a field of a spec."""
    written = [one for one in sim.history.changes if one.ref == ref and one.writer != MANAGER and one.after]
    values = [((one.before or {}).get("spec", {}).get(field), (one.after or {})["spec"].get(field)) for one in written]
    return next((after for before, after in reversed(values) if before != after), None)


def _apex_missed(sim: Simulation, scenario: Scenario) -> bool:
    """Return whether the user's own route would lead nowhere, had it been given back to serve a target."""
    apex = Ref(SERVICE, scenario.ref.namespace, scenario.apex)
    route, target = sim.world.find(scenario.route), sim.world.find(scenario.target)
    adopted = route is not None and CANARY_LABEL not in labels_of(route)
    return adopted and target is not None and sim.world.find(apex) is None


def left_behind(sim: Simulation, scenario: Scenario) -> str | None:
    """Return the first object that still carries a mark of ours."""
    for ref, obj in sim.world.everything():
        noted = (key for key in annotations_of(obj) if key != OPT_OUT[0])  # What a user writes is theirs.
        marks = [key for key in (*labels_of(obj), *noted) if key.startswith(PREFIX)]
        selector = (obj.get("spec") or {}).get("selector") or {}
        marks += [key for key in selector if key.startswith(PREFIX)]
        if marks and ref.namespace in (scenario.ref.namespace, scenario.route.namespace):
            return f"{ref} still carries {marks[0]} though the Canary is gone"
    return None


def _target_not_serving(sim: Simulation, scenario: Scenario) -> str | None:
    target = sim.world.find(scenario.target)
    if target is None:
        return None
    ready = sum(pod.ready for pod in sim.pods.of(target["metadata"]["uid"]))
    if ready < max(1, size_of(target)):
        return f"the target has only {ready} ready pods though the Canary is gone"
    if _changed_since_deletion(sim, scenario):
        return None
    promoted = {one for memory in sim.checker.memories() for one in memory.promoted}
    given = version_of(target["spec"]["template"], sim.world.configuration(scenario.ref.namespace))
    if given not in sim.dataplane.stable | promoted:
        return "the target was given back with a template that is not production's"
    return None


def _changed_since_deletion(sim: Simulation, scenario: Scenario) -> bool:
    """Return whether somebody gave the target another template after the Canary was deleted."""
    gone = [one.at for one in sim.history.changes if one.ref == scenario.ref and one.after is None]
    return any(
        one.at >= max(gone, default=0.0)
        and one.ref == scenario.target
        and one.writer != MANAGER
        and (one.before or {}).get("spec", {}).get("template") != (one.after or {}).get("spec", {}).get("template")
        for one in sim.history.changes
    )
