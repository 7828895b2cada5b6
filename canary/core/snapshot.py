"""Everything in the cluster that concerns one Canary, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from canary.api.alert_provider import AlertProviderSpec
from canary.api.canary import CanarySpec
from canary.api.metric_template import MetricTemplateSpec
from canary.api.status import CanaryStatus
from canary.api.warnings import Caution
from canary.core.configuration import DIGEST, Configuration, Copy
from canary.core.names import Names, Owner, is_ours
from canary.core.objects import DAEMON_SET, VIRTUAL_SERVICE, CanaryKey, Object, Ref, ref_of
from canary.core.refusal import Refusal
from canary.core.revisions import Revision
from canary.core.runs import Runs
from canary.core.scaler import Scaler
from canary.core.workload import Workload


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The other objects of the namespace that could stand in the way."""

    canaries: Sequence[Object] = ()
    services: Sequence[Object] = ()
    routes: Sequence[Object] = ()
    rules: Sequence[Object] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What others made that can spoil a release without standing in its way.

    What cannot be seen (another namespace than those watched, a type nobody may read) is left out.
    """

    namespace: Object | None = None
    routes: Sequence[Object] = ()
    """VirtualServices of any namespace that name the apex or another host of the route."""
    rules: Sequence[Object] = ()
    """DestinationRules of any namespace for hosts of the three Services, wildcards among them."""
    sidecars: Sequence[Object] = ()
    """Sidecars of any namespace that list a host of the three Services."""
    entries: Sequence[Object] = ()
    """WorkloadEntries of the namespace."""
    authentications: Sequence[Object] = ()
    """PeerAuthentications of the namespace and of Istio's root namespace."""
    bare: Sequence[str] = ()
    """Which of the two sets have pods without a sidecar, as ``Kind name``."""
    absent_gateways: Sequence[str] = ()
    """Gateways the route names that do not exist, as ``namespace/name``."""


@dataclass(frozen=True, slots=True)
class CohortService:
    """What has the name of the Service of one cohort, and how many ready pods it leads to."""

    raw: Object
    ready: int = 0


@dataclass(frozen=True, slots=True)
class Template:
    """A MetricTemplate that a check names: what it asks, or why it cannot be asked."""

    spec: MetricTemplateSpec | None = None
    refusals: tuple[str, ...] = ()
    seen: bool = True
    """Whether one that is not there does not exist: its namespace is watched, and somebody may read its type."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An AlertProvider that a Canary names: where alerts go, or why none can be sent."""

    spec: AlertProviderSpec | None = field(default=None, repr=False)
    generation: int = 0
    refusals: tuple[str, ...] = ()
    seen: bool = True
    """Whether one that is not there does not exist: its namespace is watched, and somebody may read its type."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the last alert by an AlertProvider ended, as this process knows."""

    generation: int
    fault: str = ""
    """Why it did not arrive; empty when it did."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One Canary and its world, read from caches at one moment.

    ``canary`` None: the cache does not hold it, but objects of ours name it.  ``spec`` None beside a
    canary: the spec is unusable, ``refusals`` says why.
    """

    key: CanaryKey
    names: Names
    owner: Owner
    canary: Object | None
    spec: CanarySpec | None
    refusals: tuple[str, ...]
    status: CanaryStatus
    target: Workload | None
    primary: Workload | None
    candidate: Workload | None
    apex: Object | None
    primary_service: Object | None
    canary_service: Object | None
    route: Object | None
    rules: Mapping[str, Object]
    """DestinationRules that have the names of the two sides' or of a cohort's, by name."""
    revisions: tuple[Revision, ...]
    scalers: tuple[Scaler, ...]
    """Every autoscaler of the namespace, whatever it scales."""
    neighbours: Neighbours
    configuration: Configuration = field(default_factory=Configuration)
    """What the target's references come to; digests alone."""
    served_configuration: Configuration = field(default_factory=Configuration)
    """The same of a primary that Flagger left; told while that is taken over."""
    copies: tuple[Object, ...] = ()
    """The copies of configuration, and what else holds their names, as caches keep them."""
    surroundings: Surroundings = Surroundings()
    keeper: Object | None = None
    """What has the name of the Service that keeps the target's pods served while production leaves them."""
    roots: Sequence[Object] = ()
    """VirtualServices of any namespace that delegate to the route."""
    all_roots_seen: bool = True
    """Whether there are no others: all namespaces are watched."""
    cautions: tuple[Caution, ...] = ()
    """What the spec asks for in vain."""
    route_seen: bool = True
    """Whether a named VirtualService that is not there does not exist: its namespace is watched."""
    refused: Refusal | None = None
    """What this process was last refused to write, while it is."""
    tried: bool = True
    """Whether this process has written what it decided, or tried to."""
    target_seen: bool = True
    """Whether a target that is not there does not exist: somebody may read its type."""

    templates: Mapping[Ref, Template] = field(default_factory=dict)
    """The MetricTemplates that the checks name."""
    cohort_services: Mapping[int, CohortService] = field(default_factory=dict)
    """What has the names of the Services of cohorts, whoever made it, by number."""
    runs: Runs = field(default_factory=Runs)
    """What is under way and what waits for it, of all Canaries."""
    providers: Mapping[Ref, Provider] = field(default_factory=dict)
    """The AlertProviders that alerts are sent by."""
    deliveries: Mapping[Ref, Delivery] = field(default_factory=dict)
    """How the last alerts of this Canary ended that this process sent."""

    @property
    def daemons(self) -> bool:
        """Return whether DaemonSets run the pods, which have one on each node they fit on."""
        return self.names.workloads == DAEMON_SET

    @property
    def nodes(self) -> int:
        """Return on how many nodes production runs, as its DaemonSet says; 0 when there is none."""
        found = (w.replicas for w in (self.primary, self.target) if w is not None and w.replicas > 0)
        return next(found, self.status.replicas.desired if self.status.replicas else 0)

    @property
    def route_ref(self) -> Ref:
        """Return where the VirtualService is, or will be made."""
        return self.names.route_ref if self.route is None else ref_of(VIRTUAL_SERVICE, self.route)

    @property
    def route_label(self) -> str:
        """Return the name of the VirtualService for messages, with its namespace where that is another one."""
        ref = self.route_ref
        return ref.name if ref.namespace == self.names.namespace else f"{ref.namespace}/{ref.name}"

    @property
    def own_services(self) -> tuple[Object, ...]:
        """Return what has the names of the Services that are made beside the apex."""
        of_cohorts = (self.cohort_services[number].raw for number in sorted(self.cohort_services))
        return tuple(one for one in (self.canary_service, *of_cohorts, self.primary_service, self.keeper) if one)

    def holds(self, copy: Copy) -> bool:
        """Return whether a copy is there, with the content it should have."""
        wanted = (copy.source.resource.kind, copy.name, copy.digest)
        return any((one["kind"], one["metadata"]["name"], one[DIGEST]) == wanted for one in self.copies if is_ours(one))

    @property
    def held_scalers(self) -> tuple[Scaler, ...]:
        """Return the user's autoscalers that bear this Canary's mark."""
        return tuple(s for s in self.scalers if not s.is_ours and s.bears_mark_of(self.key))

    @property
    def own_scalers(self) -> tuple[Scaler, ...]:
        """Return the autoscalers that were made for this Canary's clone."""
        return tuple(s for s in self.scalers if s.is_ours and s.owner_name == self.key.name)

    @property
    def scaler(self) -> Scaler | None:
        """Return the autoscaler the Canary names; while its spec is unusable the one that was taken over."""
        if self.spec is None:
            return next(iter(self.held_scalers), None)
        ref = self.spec.autoscaler_ref
        named = (s for s in self.scalers if ref and not s.is_ours and (s.kind, s.name) == (ref.kind, ref.name))
        return next(named, None)

    def find_revision(self, identity: str | None) -> Revision | None:
        """Return a kept revision by id, or None."""
        return next((r for r in self.revisions if identity and r.id == identity), None)
