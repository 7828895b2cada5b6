"""Things that happen in a schedule, by name: user edits, pods dying, faults; all arguments are JSON values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from canary.api.admission import refusals
from canary.core.configuration import OPT_OUT
from canary.core.names import ROLE_LABEL
from canary.core.objects import CONTROLLER_REVISION
from canary.ports import ClusterError
from canary.sim.behaviour import Behaviour
from canary.sim.check_actions import CHECK_ACTIONS
from canary.sim.dataplane import PROPAGATION, Proxies
from canary.sim.faults import ApiFault, MetricsFault, WatchFault
from canary.sim.hooks import address
from canary.sim.leaders import ON_LEADERS
from canary.sim.pods import version_of
from canary.sim.stage import Stage
from canary.sim.user import User, ref_of_manifest


def _roll_out(stage: Stage, write: Callable[[], object]) -> None:
    """Write the target; what its user rolls out while no Canary is in the way is production."""
    own = stage.let_go
    write()
    target = stage.sim.world.find(stage.scenario.target)
    if own and target is not None:
        found = stage.sim.world.configuration(stage.scenario.ref.namespace)
        stage.sim.dataplane.stable.add(version_of(target["spec"]["template"], found))


def template(stage: Stage, image: str) -> None:
    """Apply the Deployment with an image."""
    _roll_out(stage, partial(stage.sim.user.apply, stage.scenario.revised(image)))


def reapply(stage: Stage) -> None:
    """Apply Canary, Deployment and Service as they were at first."""
    for manifest in stage.manifests:
        _roll_out(stage, partial(stage.sim.user.apply, manifest))


def restart(stage: Stage) -> None:
    """Do `kubectl rollout restart` on the target."""
    _roll_out(stage, partial(stage.sim.user.restart, stage.scenario.target))


def scale(stage: Stage, role: str, replicas: int) -> None:
    """Scale target, primary or canary by hand."""
    stage.sim.user.scale(stage.workload(role), replicas)


def weights(stage: Stage, canary: int) -> None:
    """Edit the weights of the route by hand."""
    apex = stage.scenario.apex
    shares = {f"{apex}-primary": 100 - canary, f"{apex}-canary": canary}
    User(stage.sim.world, "kubectl-edit").set_weights(stage.scenario.route, shares)


def selector(stage: Stage, role: str | None) -> None:
    """Edit the role in the apex Service's selector by hand."""
    if stage.sim.world.find(stage.scenario.ref) is None:
        return  # Nobody would put it back.
    body = {"spec": {"selector": {ROLE_LABEL: role}}}
    User(stage.sim.world, "kubectl-edit").edit(stage.named("apex"), body)


def annotate(stage: Stage, what: str, key: str = "example.com/note", value: str = "hello") -> None:
    """Put a foreign annotation on an object."""
    User(stage.sim.world, "kubectl-annotate").annotate(stage.named(what), key, value)


def hook(stage: Stage, kind: str, state: Any, lasts: float = 60.0) -> None:
    """Let the hook of a type answer so for a time."""
    states, url = stage.sim.hooks.states, address(kind)
    states[url] = state
    stage.sim.at(lasts, lambda: states.pop(url, None))


def command(stage: Stage, verb: str, **fields: str) -> None:
    """Ask something of the controller."""
    stage.sim.user.command(stage.scenario.ref, verb, **fields)


def delete(stage: Stage, what: str) -> None:
    """Delete an object by hand."""
    stage.sim.user.delete(stage.named(what))


def remake(stage: Stage, what: str, after: float = 5.0) -> None:
    """Delete an object and apply it again later, as its manifest has it."""
    ref = stage.named(what)
    manifest = next(one for one in stage.manifests if ref_of_manifest(one) == ref)
    stage.sim.user.delete(ref)
    stage.sim.at(after, partial(_roll_out, stage, partial(stage.sim.user.apply, manifest)))


def move_tag(stage: Stage, image: str) -> None:
    """Push another build under an image's tag."""
    stage.sim.pods.move_tag(image)


def delete_revisions(stage: Stage) -> None:
    """Delete every ControllerRevision by hand."""
    for ref, _ in list(stage.sim.world.items(CONTROLLER_REVISION, stage.scenario.ref.namespace)):
        stage.sim.user.delete(ref)


def analysis(stage: Stage, **fields: Any) -> None:
    """Apply the Canary with other fields in its analysis."""
    canary = stage.scenario.canary
    spec = {**canary["spec"], "analysis": {**canary["spec"]["analysis"], **fields}}
    edited = {**canary, "spec": spec}
    if not refusals(edited):  # Else the API server refuses it: another plan beside the one there is.
        stage.sim.user.apply(edited)


def configure(stage: Stage, mode: str) -> None:
    """Write another value into the ConfigMap that the Deployment reads, if it does."""
    for manifest in stage.scenario.configuration:
        stage.write_configuration({**manifest, "data": {"mode": mode}})


def misplace_configuration(stage: Stage, lasts: float, mode: str = "one") -> None:
    """Delete the ConfigMap and apply it again later."""
    for manifest in stage.scenario.configuration:
        stage.sim.user.delete(ref_of_manifest(manifest))
        stage.sim.at(lasts, partial(stage.write_configuration, {**manifest, "data": {"mode": mode}}))


def opt_out(stage: Stage, value: str | None) -> None:
    """Set or remove the annotation by which a ConfigMap stays live."""
    for manifest in stage.scenario.configuration:
        User(stage.sim.world, "kubectl-annotate").annotate(ref_of_manifest(manifest), OPT_OUT[0], value)


def obstacle(stage: Stage, kind: str, lasts: float) -> None:
    """Put an object in the way of the Canary for a time."""
    body = stage.obstacle(kind)
    stage.sim.user.apply(body)
    stage.sim.at(lasts, lambda: stage.sim.user.delete(ref_of_manifest(body)))


def load(stage: Stage, pods: float) -> None:
    """Let callers ask for so many pods' worth from now on."""
    stage.sim.autoscalers.load = pods


def bounds(stage: Stage, low: int, high: int) -> None:
    """Edit the bounds of the autoscaler."""
    body = {"spec": {"minReplicas": low, "maxReplicas": high}}
    User(stage.sim.world, "kubectl-edit").edit(stage.named("autoscaler"), body)


def repoint(stage: Stage, role: str) -> None:
    """Let the autoscaler scale another Deployment, by hand."""
    if stage.sim.world.find(stage.scenario.ref) is None:
        return  # Nobody would put it back.
    body = {"spec": {"scaleTargetRef": {"name": stage.workload(role).name}}}
    User(stage.sim.world, "kubectl-edit").edit(stage.named("autoscaler"), body)


def erase_status(stage: Stage) -> None:
    """Remove the status of the Canary."""
    stage.sim.user.erase_status(stage.scenario.ref)


def kill_pods(stage: Stage, role: str, count: int | None = None) -> None:
    """Take pods away, as a lost node does."""
    stage.sim.kill_pods(stage.scenario.ref.namespace, stage.workload(role).name, count)


def behave(stage: Stage, image: str = "", deployment: str = "", **what: Any) -> None:
    """Let pods of an image or Deployment behave in a given way from now on."""
    stage.sim.dataplane.settle()
    stage.sim.behaviours.put(Behaviour(**what), image=image, deployment=deployment)


def nodes(stage: Stage, count: int) -> None:
    """Let the cluster have so many nodes."""
    stage.sim.dataplane.settle()
    stage.sim.daemon_sets.resize(count)


def api_fault(stage: Stage, kind: Any, lasts: float = 60.0, **which: Any) -> None:
    """Break API calls for a time."""
    now = stage.sim.now
    stage.sim.faults.api.append(ApiFault(kind, start=now, end=now + lasts, **which))


def crash(stage: Stage, kind: Any = "crash before", skip: int = 0, back_after: float = 5.0) -> None:
    """Let the controller crash at its next write but `skip`, and come back."""
    stage.sim.back_after = back_after
    stage.sim.faults.api.append(ApiFault(kind, skip=skip, start=stage.sim.now))


def another_controller(stage: Stage, lasts: float = 30.0) -> None:
    """Run a second controller beside the first for a time."""
    other = stage.sim.start_another_controller()
    stage.sim.at(lasts, lambda: stage.sim.end(other))


def restart_controller(stage: Stage, away: float = 5.0) -> None:
    """Kill the controller and start it again."""
    stage.sim.kill_controller()
    stage.sim.at(away, stage.sim.start_controller)


def watches(stage: Stage, kind: Any, lasts: float, delay: float = 5.0, kind_of_object: str = "") -> None:
    """Break watches for a time."""
    now = stage.sim.now
    stage.sim.faults.watch.append(WatchFault(kind, now, now + lasts, kind_of_object, delay))


def metrics(stage: Stage, kind: Any, lasts: float) -> None:
    """Break the metrics server for a time."""
    now = stage.sim.now
    stage.sim.faults.metrics.append(MetricsFault(kind, now, now + lasts))
    stage.sim.checker.disturb()
    stage.sim.at(lasts, stage.sim.checker.disturb)


def proxies(stage: Stage, share: float, lasts: float) -> None:
    """Let a share of the proxies learn of nothing for a time."""
    stage.sim.dataplane.split(Proxies(1 - share), Proxies(share, None))
    stage.sim.at(lasts, lambda: stage.sim.dataplane.delay(PROPAGATION))


def undo(stage: Stage, what: str = "route", times: int = 3) -> None:
    """Let another manager put the object back as it is now, each time it changes, while there is a Canary."""
    ref, gitops = stage.named(what), User(stage.sim.world, "argocd-controller")
    wanted = stage.sim.world.find(ref)
    left = [times]

    def put_back() -> None:
        found = stage.sim.world.find(ref)
        if stage.sim.world.find(stage.scenario.ref) is None:
            return
        if found and wanted and found["spec"] != wanted["spec"]:
            left[0] -= 1
            gitops.edit(ref, {"spec": wanted["spec"]})
        if left[0] > 0:
            stage.sim.at(1.0, put_back)

    put_back()


ACTIONS: dict[str, Callable[..., None]] = (
    {
        act.__name__: act
        for act in (
            template,
            reapply,
            restart,
            scale,
            weights,
            selector,
            annotate,
            command,
            hook,
            delete,
            remake,
            delete_revisions,
            move_tag,
            analysis,
            configure,
            misplace_configuration,
            opt_out,
            obstacle,
            load,
            bounds,
            repoint,
            erase_status,
            kill_pods,
            behave,
            nodes,
            api_fault,
            crash,
            another_controller,
            restart_controller,
            watches,
            metrics,
            proxies,
            undo,
        )
    }
    | {act.__name__: act for act in CHECK_ACTIONS}
    | ON_LEADERS
)


def act(stage: Stage, name: str, arguments: dict[str, Any]) -> None:
    """Do one thing by name; what the API server refuses (an object is gone) does not happen."""
    try:
        ACTIONS[name](stage, **arguments)
    except ClusterError:
        return
