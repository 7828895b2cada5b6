"""A moment seen through its plan: the facts that advance and converge decide on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

from canary.api.metric import Metric
from canary.api.status import CanaryStatus, Phase
from canary.core.drains import Drains
from canary.core.names import key_of
from canary.core.plan import Plan, Step, capacity, plan_of
from canary.core.routes.istio import cohorts_of
from canary.core.routes.routing import CANARY_ONLY, TO_CANARY, Routing
from canary.core.routes.sessions import Sessions, sessions_of
from canary.core.scaler import Scaler
from canary.core.workload import enough

IDLE = (Phase.INITIALIZED, Phase.WAITING, Phase.SUCCEEDED, Phase.FAILED)
"""Nothing is under way: production runs on the primary, unless its promotion failed."""
STEPPING = (Phase.PROGRESSING, Phase.WAITING_PROMOTION)
"""The steps of the plan are taken and judged."""
RUNNING = (Phase.PROGRESSING, Phase.WAITING_PROMOTION, Phase.PROMOTING, Phase.FINALISING)
GRID_SLACK = timedelta(seconds=2)
"""A weight read back later than this after its tick moves the grid of ticks (release.md section 4)."""
WITHOUT_STATUS = ("weights", "told_apart", "apex_role", "shown", "plan")
"""The facts that are the same whatever the status is."""


@dataclass(frozen=True)
class View(Drains):
    """One moment of one Canary with what its spec asks for."""

    @cached_property
    def plan(self) -> Plan:
        """Return the plan of the release; empty without a usable spec."""
        return plan_of(self.snapshot.spec) if self.snapshot.spec else Plan(())

    @cached_property
    def place(self) -> int:
        """Return the number of the plan's step the run is at; 0 is the canary without traffic."""
        taken = self.status.step.index if self.status.step else 0
        return self.plan.place(taken, self.status.canary_weight)

    @cached_property
    def routing(self) -> Routing:
        """Return where the present step sends traffic, at the weight the run stands at."""
        if self.status.phase is Phase.FINALISING:
            return Routing(self.status.canary_weight)
        routing = self.plan.step(self.place).routing
        return replace(routing, canary=self.status.canary_weight, sessions=self.sessions)

    @cached_property
    def sessions(self) -> Sessions | None:
        """Return the cookies of the candidate's release; they follow from spec and revision alone (W16)."""
        spec = self.snapshot.spec
        if spec is None or spec.analysis.session_affinity is None:
            return None
        weights = [step.routing.canary for step in self.plan.steps if step.routing.canary]
        return sessions_of(spec.analysis.session_affinity, self.status.revisions.candidate or "", weights)

    @cached_property
    def in_place(self) -> bool:
        """Return whether the primary is to roll under its share of traffic, and no cut-over took it away.

        At 100 % there is nothing left that it could roll under; and it must keep some of its pods.
        """
        cut_over = self.weights == CANARY_ONLY and self.apex_role == "canary"
        kept = self.primary is not None and self.primary.keeps_serving(self.primary.replicas)
        return self.asks_in_place and kept and not cut_over and self.plan.last.routing.canary < 100

    @property
    def asks_in_place(self) -> bool:
        """Return whether the user wants the primary to roll under its share of traffic."""
        return self.snapshot.spec is not None and self.snapshot.spec.promotion.strategy == "InPlace"

    @cached_property
    def promotion(self) -> Routing:
        """Return where traffic goes while the primary gets the revision."""
        if not self.in_place:
            return TO_CANARY
        return replace(self.plan.last.routing, mirror=0, sessions=self.sessions)

    @property
    def iterations(self) -> int:
        """Return how many judged intervals an A/B or blue/green release has; 0 for any other."""
        return self.snapshot.spec.analysis.iterations if self.snapshot.spec else 0

    def with_status(self, status: CanaryStatus) -> View:
        """Return the same moment seen with another status; what rests on no status is not read again."""
        later = View(replace(self.snapshot, status=status), self.measurements, self.now)
        vars(later).update({name: vars(self)[name] for name in WITHOUT_STATUS if name in vars(self)})
        return later

    @property
    def label(self) -> str:
        """Return where the run stands in words, e.g. ``20 %``."""
        routing = self.promotion if self.status.phase is Phase.PROMOTING else self.routing
        return Step(routing).label

    @property
    def following(self) -> Step | None:
        """Return the step after the present one; None when the promotion follows."""
        rest_passed = self.status.run is not None and self.status.run.promoted_by is not None
        return self.plan.step(self.place + 1) if self.place < self.plan.count and not rest_passed else None

    @property
    def interval(self) -> timedelta:
        """Return the time between ticks."""
        return self.snapshot.spec.analysis.period if self.snapshot.spec else timedelta(minutes=1)

    @property
    def step_time(self) -> timedelta:
        """Return how long a step lasts: an interval, or no time when nothing is analysed."""
        return timedelta(0) if self.skips_analysis else self.interval

    @property
    def skips_analysis(self) -> bool:
        """Return whether the user asked for a release without checks."""
        return self.snapshot.spec is not None and self.snapshot.spec.skip_analysis

    @property
    def checks(self) -> tuple[Metric, ...]:
        """Return the checks of every step."""
        spec = self.snapshot.spec
        return spec.analysis.metrics if spec is not None and not self.skips_analysis else ()

    @property
    def built_in_checks(self) -> tuple[Metric, ...]:
        """Return the checks that rest on Istio's metrics."""
        return tuple(metric for metric in self.checks if not metric.custom)

    @property
    def server(self) -> str:
        """Return the Prometheus that this Canary names, empty for the controller's."""
        spec = self.snapshot.spec
        return (spec.metrics_server or "") if spec is not None else ""

    @property
    def suspended(self) -> bool:
        """Return whether the spec asks for no steps and no new run."""
        spec = self.snapshot.spec
        return spec is not None and (spec.suspend or spec.paused)

    @property
    def paused(self) -> bool:
        """Return whether the run holds where it is: the spec or a command asks for it."""
        return self.suspended or (self.status.run is not None and self.status.run.paused_by is not None)

    @property
    def awaits_resume(self) -> bool:
        """Return whether the present step is a pause of the plan that nobody has ended yet."""
        step = self.status.step
        waits = self.status.phase in STEPPING and self.plan.step(self.place).paused
        return waits and step is not None and not step.resumed

    @property
    def taken_as_passed(self) -> bool:
        """Return whether a command ended the judgement of the present step, or of all that are left."""
        step, run = self.status.step, self.status.run
        rest = run is not None and run.promoted_by is not None
        return self.status.phase is Phase.PROGRESSING and (rest or (step is not None and bool(step.skipped)))

    @property
    def undoes(self) -> str | None:
        """Return the promoted revision that the present run takes back; None for a run forwards."""
        return self.status.run.undoes if self.status.run is not None else None

    @property
    def bakes(self) -> timedelta | None:
        """Return how long the canary is still to be judged at 100 %; None when nothing is owed."""
        spec, step = self.snapshot.spec, self.status.step
        unasked = self.skips_analysis or self.undoes is not None
        if spec is None or unasked or not spec.promotion.bake_time or self.primary_touched:
            return None
        baked = self.status.phase is not Phase.PROMOTING or step is None or step.passed_at is not None
        return None if baked else spec.promotion.bake_time

    @property
    def tick_is_due(self) -> bool:
        """Return whether the time of the present step has come."""
        step = self.status.step
        return step is None or step.next_tick_at is None or self.now >= step.next_tick_at

    @property
    def returning(self) -> bool:
        """Return whether traffic goes back to the promoted primary in steps, and some is still on the canary."""
        return self.status.phase is Phase.FINALISING and self.status.canary_weight > 0

    @property
    def next_share_back(self) -> int:
        """Return the canary's weight once the next share of traffic went back to the primary."""
        spec = self.snapshot.spec
        at_once = spec is None or self.skips_analysis or self.undoes is not None
        step = 0 if spec is None or at_once else spec.analysis.step_weight_promotion or 0
        present = self.status.canary_weight if self.returning else self.promotion.canary
        return max(0, present - step) if step else 0

    @cached_property
    def size(self) -> int:
        """Return how many pods carry the whole of production in the present run (I8)."""
        if self.snapshot.daemons:
            counted = self.candidate is not None and self.candidate.observed
            # The candidate may fit on other nodes than what it replaces.
            return (self.candidate.replicas if self.candidate and counted else 0) or max(self.wish, 1)
        under_way = self.status.phase in RUNNING or self.canary_has_pods
        run = self.status.run.size if self.status.run and under_way else 0
        size = max(run, self.wish, self.primary.replicas if self.primary else 0, 1)
        scaler = self.snapshot.scaler
        return min(size, self.bounds(scaler)[1]) if scaler is not None and self.autoscaled else size

    def bounds(self, scaler: Scaler) -> tuple[int, int]:
        """Return the smallest and the largest size that the user allows an autoscaler to give production."""
        ref = self.snapshot.spec.autoscaler_ref if self.snapshot.spec else None
        given = ref.primary_scaler_replicas if ref else None
        low, high = scaler.asked_bounds
        high = (given.max_replicas if given else None) or high
        return min((given.min_replicas if given else None) or low, high), high

    def puts_off(self, field: str) -> bool:
        """Return whether a contested field is left alone until its next try."""
        return any(d.field == field and d.retry_at is not None and self.now < d.retry_at for d in self.status.drift)

    @property
    def canary_carries(self) -> bool:
        """Return whether the canary has all traffic, or what is left of it on the way back to the primary."""
        if self.weights is None or self.weights.canary == 0:
            return False
        back = self.status.phase is Phase.FINALISING and not self.in_place
        return self.weights == CANARY_ONLY or back or self.status.phase is Phase.FAILED

    @property
    def primary_carries(self) -> bool:
        """Return whether the primary is whole, and as large as the canary has become that carries everything (I8)."""
        scaler, candidate = self.snapshot.scaler, self.candidate
        if self.primary is None or not (self.primary_complete and self.primary.is_reached(self.primary_threshold)):
            return False
        if scaler is None or not self.autoscaled or candidate is None or not self.canary_carries:
            return True
        return self.primary.replicas >= min(candidate.replicas, self.bounds(scaler)[1])

    def need(self, routing: Routing) -> int:
        """Return how many canary pods a routing needs; of a DaemonSet's the share, though all are made and awaited."""
        spec = self.snapshot.spec
        whole = spec is not None and spec.analysis.canary_scale == "Full" and not self.snapshot.daemons
        return capacity(self.size, routing, whole)

    @property
    def need_next(self) -> int:
        """Return how many canary pods the next step needs, or the promotion after the last one."""
        if self.snapshot.daemons:
            return self.size
        return self.need(self.following.routing if self.following else self.promotion)

    def enough(self, routing: Routing) -> int:
        """Return how many of the canary pods a routing needs must be ready for it."""
        return enough(self.need(routing), self.canary_threshold)

    @property
    def enough_next(self) -> int:
        """Return how many of the canary pods the next step needs must be ready for it."""
        return enough(self.need_next, self.canary_threshold)

    @property
    def enough_for_all(self) -> int:
        """Return how many canary pods must be ready to carry everything."""
        return enough(self.size, self.canary_threshold)

    @cached_property
    def told_apart(self) -> frozenset[int]:
        """Return the numbers of the cohorts that the route leads to a Service of their own."""
        return cohorts_of(self.snapshot.route or {}, self.snapshot.names)

    @property
    def awaited_cohort(self) -> int:
        """Return the number of the cohort whose requests the present step waits for; 0 when it waits for none."""
        return self.plan.step(self.place).cohort if self.status.phase in STEPPING else 0

    @property
    def cohorts_told_apart(self) -> tuple[int, ...]:
        """Return the numbers of the cohorts that have a Service of their own while the present run shares traffic."""
        shares = self.status.phase in STEPPING or (self.status.phase is Phase.PROMOTING and self.in_place)
        return self.plan.last.routing.apart if shares else ()

    def leads_apart(self, number: int, routing: Routing) -> bool:
        """Return whether the Service of a cohort leads to the canary pods that a routing needs (I2)."""
        found = self.snapshot.cohort_services.get(number)
        ours = found is not None and key_of(found.raw) == self.snapshot.key
        return found is not None and ours and found.ready >= self.enough(routing)

    @property
    def canary_lost(self) -> bool:
        """Return whether the canary has too few ready pods for the weight it carries (I13)."""
        return self.canary_lacks(self.promotion if self.status.phase is Phase.PROMOTING else self.routing)

    def canary_lacks(self, routing: Routing) -> bool:
        """Return whether the canary has fewer than half of the ready pods that a routing needs, or none."""
        ready = self.candidate.ready if self.candidate else 0
        return routing.weights.exposes and (ready == 0 or ready * 2 < self.enough(routing))
