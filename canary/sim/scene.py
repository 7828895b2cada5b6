"""Facts about one Canary in the true world, for the rules that judge what a controller writes."""

from __future__ import annotations

import math
from datetime import timedelta

from canary.api.duration import parse_duration
from canary.core.names import ASKED, ROLE_LABEL, Names, Role, is_ours, named_route, workloads_of
from canary.core.objects import AUTOSCALER, CONFIG_MAP, DAEMON_SET, DEPLOYMENT, SECRET, SERVICE, Object, Ref
from canary.sim.dataplane import DataPlane
from canary.sim.faults import Faults
from canary.sim.history import state_of
from canary.sim.pods import Pod, Pods, version_of
from canary.sim.rollout import size_of
from canary.sim.routing import reach_of, weights_of
from canary.sim.world import Change, World

UNSEEN = 0.5
"""Seconds in which an edit may not have reached a controller."""


class Scene:
    """See one Canary's objects, pods and traffic as they truly are."""

    def __init__(self, world: World, pods: Pods, dataplane: DataPlane, faults: Faults, ref: Ref) -> None:
        self.world = world
        self.pods = pods
        self.dataplane = dataplane
        self.faults = faults
        self.ref = ref
        canary = world.find(ref)
        assert canary is not None, f"{ref} does not exist"
        spec = canary["spec"]
        target = spec["targetRef"]["name"]
        self.names = Names(
            ref.namespace,
            target,
            (spec.get("service") or {}).get("name") or target,
            workloads_of(spec["targetRef"].get("kind")),
            named_route(canary),
        )
        self.scaler: Ref | None = None
        self.own_scaler = Ref(AUTOSCALER, ref.namespace, self.names.workload("canary").name)
        self._former_drain, self._edited = math.inf, -math.inf
        self._drain = math.inf
        self._thresholds: dict[Role, int] = {"primary": 100, "canary": 100}
        self._former_thresholds = self._thresholds
        self._asked: dict[Ref, set[tuple[str, str]]] = {}
        self.learn(canary)

    def asked_for(self, change: Change, kind: str) -> set[str]:
        """Return the keys of metadata that a spec asked for by now on an object that the controller made."""
        made = change.before is not None and is_ours(change.before)
        return {key for found, key in self._asked.get(change.ref, ()) if made and found == kind}

    def only_labels(self, change: Change) -> bool:
        """Return whether a write changed nothing but metadata that a spec asked for."""

        def rest(obj: Object, kind: str) -> dict[str, str]:
            found: dict[str, str] = obj["metadata"].get(kind) or {}
            return {key: value for key, value in found.items() if key not in {ASKED, *self.asked_for(change, kind)}}

        before, after = change.before, change.after
        if before is None or after is None or before.get("spec") != after.get("spec"):
            return False
        return all(rest(before, kind) == rest(after, kind) for kind in ("labels", "annotations"))

    def _learn_metadata(self, service: Object) -> None:
        parts = {"primary": [self.names.service("primary")], "canary": [self.names.service("canary")]}
        for part, refs in {**parts, "apex": [self.names.apex_ref, self.names.route_ref]}.items():
            for kind, given in (service.get(part) or {}).items():
                for ref in refs:
                    self._asked.setdefault(ref, set()).update((kind, key) for key in given)

    def learn(self, canary: Object) -> None:
        """Take in the times of a spec, at first and when it is edited."""
        self._learn_metadata(canary["spec"].get("service") or {})
        analysis = canary["spec"].get("analysis") or {}
        drain = float(analysis.get("drainSeconds", 15))
        thresholds: dict[Role, int] = {role: analysis.get(f"{role}ReadyThreshold", 100) for role in self._thresholds}
        if (drain, thresholds) != (self._drain, self._thresholds):
            self._former_drain, self._edited, self._drain = self._drain, self.world.now, drain
            self._former_thresholds, self._thresholds = self._thresholds, thresholds
        self.in_place = (canary["spec"].get("promotion") or {}).get("strategy") == "InPlace"
        named = canary["spec"].get("autoscalerRef")
        self.scaler = Ref(AUTOSCALER, self.ref.namespace, named["name"]) if named else None
        interval = parse_duration(analysis.get("interval", "1m")) / timedelta(seconds=1)
        self.interval = 0.0 if canary["spec"].get("skipAnalysis") else interval

    @property
    def drain(self) -> float:
        """Return the settle time, or the shorter one of a moment ago if a controller may not know better."""
        return min(self._drain, self._former_drain) if self._unseen else self._drain

    def enough(self, role: Role, pods: int) -> int:
        """Return how many of some pods of one side its user takes for enough, or took a moment ago."""
        percent = self._thresholds[role]
        if self._unseen:
            percent = min(percent, self._former_thresholds[role])
        return max(1, math.ceil(pods * percent / 100)) if pods else 0

    @property
    def _unseen(self) -> bool:
        now, edited = self.world.now, self._edited
        late = any(one.start <= edited and now < one.end + one.delay for one in self.faults.watch)
        return late or now - edited <= UNSEEN

    @property
    def canary(self) -> Object | None:
        """Return the Canary itself."""
        return self.world.find(self.ref)

    @property
    def phase(self) -> str:
        """Return the phase in the Canary's status."""
        return state_of(self.canary)[0] if self.canary else ""

    @property
    def weights(self) -> dict[str, int]:
        """Return the weights in the route by host; all of it on the primary's when there is no route."""
        found = self.world.find(self.names.route_ref)
        return {host.partition(".")[0]: weight for host, weight in weights_of(found)} if found else {}

    @property
    def reach(self) -> dict[str, int]:
        """Return the largest share or mirrored share that any route gives, by Service."""
        found = self.world.find(self.names.route_ref)
        return self.reach_in(found) if found else {}

    def reach_in(self, route: Object) -> dict[str, int]:
        """Return the same of a route as it once was."""
        reach = {host.partition(".")[0]: share for host, share in reach_of(route).items()}
        # By whichever Service a cohort comes, it comes to the canary.
        apart = [share for host, share in reach.items() if self.names.cohort_of(host) is not None]
        return reach | ({self.host("canary"): max(*apart, reach.get(self.host("canary"), 0))} if apart else {})

    def host(self, role: Role) -> str:
        """Return the host of one side."""
        return self.names.service(role).name

    def weight(self, role: Role) -> int:
        """Return the weight of one side in the route."""
        return self.weights.get(self.host(role), 0)

    def weight_in(self, route: Object, role: Role) -> int:
        """Return the weight of one side in a route as it once was."""
        return {host.partition(".")[0]: weight for host, weight in weights_of(route)}.get(self.host(role), 0)

    def workload(self, role: Role) -> Object | None:
        """Return the Deployment of one side."""
        return self.world.find(self.names.workload(role))

    @property
    def daemons(self) -> bool:
        """Return whether DaemonSets run the pods."""
        return self.names.workloads == DAEMON_SET

    def size(self, role: Role) -> int:
        """Return the size one side asks for, 0 when it does not exist."""
        found = self.workload(role)
        return size_of(found) if found else 0

    def ready(self, role: Role) -> int:
        """Return how many pods of one side are ready."""
        found = self.workload(role)
        return sum(pod.ready for pod in self.pods.of(found["metadata"]["uid"])) if found else 0

    def version(self, role: Role) -> str:
        """Return what one side's template runs, empty when the side does not exist."""
        found = self.workload(role)
        return self.version_of(found) if found else ""

    def version_of(self, workload: Object) -> str:
        """Return what a Deployment's template says and reads now."""
        return version_of(workload["spec"]["template"], self.world.configuration(self.ref.namespace))

    def endpoints(self, service: Ref) -> tuple[Pod, ...]:
        """Return the ready pods that a Service leads to."""
        return self.dataplane.endpoints.of(service)

    def is_pointed_at(self, deployment: Ref) -> bool:
        """Return whether the apex Service or a weight sends requests to a Deployment's pods."""
        found = self.world.find(deployment)
        if found is None:
            return False
        labels = (found["spec"]["template"]["metadata"].get("labels") or {}).items()
        names = {self.names.apex}
        names |= {host for host, share in self.reach.items() if share}
        for name in sorted(names):
            service = self.world.find(Ref(SERVICE, self.ref.namespace, name))
            selector = ((service or {}).get("spec") or {}).get("selector") or {}
            if selector and selector.items() <= labels:
                return True
        return False

    def deployments(self) -> tuple[Ref, Ref, Ref]:
        """Return the target and its two clones."""
        return (self.names.target_ref, self.names.workload("primary"), self.names.workload("canary"))

    def apex_role(self) -> str:
        """Return the role in the apex Service's selector, empty when it has none."""
        apex = self.world.find(self.names.apex_ref)
        selector = ((apex or {}).get("spec") or {}).get("selector") or {}
        return str(selector.get(ROLE_LABEL, ""))

    def concerns(self, ref: Ref) -> bool:
        """Return whether an object belongs to this Canary by its name."""
        if ref.namespace != self.ref.namespace:
            return ref == self.names.route_ref
        return (
            ref.resource in (CONFIG_MAP, SECRET)
            or ref in (self.ref, self.names.apex_ref, self.names.route_ref, self.scaler, self.own_scaler)
            or ref in (self.names.service("primary"), self.names.service("canary"))
            or (ref.resource == SERVICE and self.names.cohort_of(ref.name) is not None)
            or (ref.resource in (DAEMON_SET, DEPLOYMENT) and ref in self.deployments())
        )
