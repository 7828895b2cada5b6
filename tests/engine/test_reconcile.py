"""One reconcile: protect, persist, tell, apply, in this order, whatever fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from canary.core.alerts import AlertCall
from canary.core.decide import SHORTEST_WAIT
from canary.core.hosts import Hosts
from canary.core.objects import FLAGGER_PROVIDER, CanaryKey, Ref
from canary.core.snapshot import Snapshot, Surroundings
from canary.engine.reconcile import Reconciler
from canary.engine.telemetry import Telemetry
from canary.ports import ClusterError, Conflict, Refused, Retryable
from canary.sim.hooks import SimHooks
from tests.builders import (
    KEY,
    NAMES,
    NS,
    V1,
    V2,
    V3,
    at,
    clone,
    finalising,
    idle,
    kept,
    new_target,
    rolled,
    route,
    running,
    settled,
)
from tests.core.test_decide import written_by
from tests.engine.cluster import FakeCluster, FakeMeasurer, FakeNotifier

STATUS = "status Canary catalog-release"
ROUTE = "patch VirtualService catalog"
TO_ZERO = "patch Deployment catalog-canary"


class Now:
    """A clock that stands."""

    def __init__(self, seconds: float) -> None:
        self.moment = at(seconds)

    def now(self) -> datetime:
        """Return the moment."""
        return self.moment


class FakeAlerter:
    """Keeps alerts, and says how they ended when told to."""

    def __init__(self) -> None:
        self.calls: list[AlertCall] = []
        self.ended: Callable[[AlertCall, str], None] = lambda call, fault: None

    def alert(self, calls: Sequence[AlertCall], ended: Callable[[AlertCall, str], None]) -> None:
        """Keep what is to be sent."""
        self.calls.extend(calls)
        self.ended = ended


class Bench:
    """A reconciler over a world in memory."""

    def __init__(self, world: Snapshot, seconds: float, errors: float = 0) -> None:
        self.cluster = FakeCluster.of(world)
        self.measurer = FakeMeasurer(errors)
        self.hooks = SimHooks()
        self.alerter = FakeAlerter()
        self.waked: list[CanaryKey] = []
        self.notifier = FakeNotifier(self.cluster.calls)
        self.woken = asyncio.Event()
        self.clock = Now(seconds)
        self.groups: tuple[str, ...] = (KEY.group,)
        self.hosts = Hosts()

    async def interrupted(self, key: CanaryKey) -> None:
        """Wait until the Canary changes."""
        await self.woken.wait()

    def start(self, observer: Telemetry | None = None) -> Reconciler:
        """Return the reconciler of a new process."""
        ports = (self.cluster, self.measurer, self.hooks, self.notifier, self.clock)
        told = {"alerter": self.alerter, "wake": self.waked.append}
        return Reconciler(*ports, self.groups, self.interrupted, observer, hosts=self.hosts, **told)

    async def run(self, key: CanaryKey = KEY) -> timedelta | None:
        """Reconcile once."""
        return await self.start().reconcile(key)

    def wrote(self) -> list[str]:
        """Return the calls that write, and those that tell."""
        return [call for call in self.cluster.calls if not call.startswith("read")]


def superseded() -> Snapshot:
    """Return a run at 30 % whose target changed: an urgent write, a status, then more."""
    return running(30, target=new_target(V3, generation=4))


async def test_protection_comes_first_then_status_then_the_rest() -> None:
    """Traffic leaves the canary before the status is written; people are told after that, the rest follows."""
    bench = Bench(superseded(), 10)
    await bench.run()
    assert bench.wrote() == [ROUTE, STATUS, "notify", "create ControllerRevision catalog-canary-" + kept(V3)[0].id]
    assert bench.notifier.told == ["RevisionDetected"]


async def test_refusal_is_told_at_once_and_then_only_tried_again() -> None:
    """However its words vary: one look more to tell it, then the pause of a refusal; what is taken is told at once."""
    bench = Bench(superseded(), 10)
    made = bench.start()
    for number, expected in enumerate((["RevisionDetected"], ["RevisionDetected", "WriteRefused"])):
        bench.cluster.failing[ROUTE] = Refused(f"422: no, try {number}")
        if number:
            with pytest.raises(Refused):
                await made.reconcile(KEY)
        else:
            assert await made.reconcile(KEY) == SHORTEST_WAIT
        assert bench.notifier.told == expected
    del bench.cluster.failing[ROUTE]
    assert await made.reconcile(KEY) == SHORTEST_WAIT
    assert await made.reconcile(KEY) != SHORTEST_WAIT
    assert bench.notifier.told[:2] == ["RevisionDetected", "WriteRefused"]


@pytest.mark.parametrize("error", [Conflict("moved"), Retryable("503")])
async def test_failed_status_stops_the_rest_but_not_protection(error: ClusterError) -> None:
    """A decision on a stale status does nothing, except what protects (I22); nobody is told."""
    bench = Bench(superseded(), 10)
    bench.cluster.failing[STATUS] = error
    with pytest.raises(type(error)):
        await bench.run()
    assert bench.wrote() == [ROUTE, STATUS]
    assert bench.notifier.told == []


async def test_failed_protection_keeps_the_status_but_stops_the_rest() -> None:
    """The status is written although the route was not; then the failure ends the reconcile."""
    bench = Bench(superseded(), 10)
    bench.cluster.failing[ROUTE] = Retryable("503")
    with pytest.raises(Retryable):
        await bench.run()
    assert bench.wrote() == [ROUTE, STATUS, "notify"]


async def test_rollback_without_status_does_not_put_the_weight_back() -> None:
    """The status never becomes writable: the next reconcile still knows that the run is over (I22)."""
    bench = Bench(running(30, status={"failed_checks": 4}), 45, errors=0.5)
    bench.cluster.failing[STATUS] = Retryable("500")
    for _ in range(3):
        with pytest.raises(Retryable):
            await bench.run()
        bench.clock.moment += timedelta(seconds=5)
        bench.measurer.errors = 0
    assert bench.wrote().count(ROUTE) == 1
    shares = [d["weight"] for d in bench.cluster.objects[NAMES.route_ref]["spec"]["http"][0]["route"]]
    assert shares == [100, 0]
    bench.cluster.failing.clear()
    await bench.run()
    assert bench.cluster.objects[KEY.ref]["status"]["phase"] == "Failed"
    assert bench.notifier.told == ["RolledBack"]


@pytest.mark.parametrize("moved", [NAMES.route_ref, NAMES.apex_ref])
async def test_moved_routes_stop_a_shrinking_write(moved: object) -> None:
    """Read live and found at another version: the set is not shrunk (I21)."""
    bench = Bench(finalising(status=settled("canary", 15)), 60)
    shown = bench.cluster.objects[moved]  # type: ignore[index]
    bench.cluster.live[moved] = {**shown, "metadata": {**shown["metadata"], "resourceVersion": "999"}}  # type: ignore[index]
    with pytest.raises(Conflict):
        await bench.run()
    assert TO_ZERO not in bench.wrote()


async def test_route_that_vanished_stops_a_shrinking_write() -> None:
    """A route that no longer exists is another version, too."""
    bench = Bench(finalising(status=settled("canary", 15)), 60)
    bench.cluster.live[NAMES.route_ref] = None
    with pytest.raises(Conflict):
        await bench.run()
    assert TO_ZERO not in bench.wrote()


async def test_routes_at_their_version_let_a_set_shrink() -> None:
    """Route and apex Service are read live just before the write."""
    bench = Bench(finalising(status=settled("canary", 15)), 60)
    await bench.run()
    reads = ["read VirtualService catalog", "read Service catalog"]
    assert bench.cluster.calls[-3:] == [*reads, TO_ZERO]


async def test_failed_action_stops_those_after_it() -> None:
    """Actions that rest on each other end at the first that fails."""
    bench = Bench(idle(target=new_target(V2)), 10)
    bench.cluster.failing["create ControllerRevision catalog-canary-" + kept(V2)[0].id] = Retryable("429")
    with pytest.raises(Retryable):
        await bench.run()
    assert "create Deployment catalog-canary" not in bench.wrote()


async def test_settled_canary_costs_nothing() -> None:
    """No read, no write, no question, no timer (I19)."""
    bench = Bench(idle(), 3600)
    assert await bench.run() is None
    assert (bench.cluster.calls, bench.measurer.asked) == ([], [])


async def test_tick_asks_and_takes_its_step() -> None:
    """Due checks are asked for, the decision rests on their answers, the timer is the next tick."""
    bench = Bench(running(10), 45)
    assert await bench.run() == timedelta(seconds=45)
    assert len(bench.measurer.asked) == 2
    assert bench.wrote()[:2] == [STATUS, "notify"]
    assert ROUTE in bench.wrote()


async def test_protection_goes_on_while_a_measurement_hangs() -> None:
    """A canary that dies while Prometheus hangs loses its traffic at once (I13), which counts without metrics."""
    bench = Bench(running(30), 45)
    bench.measurer.released.clear()
    task = asyncio.ensure_future(bench.run())
    await asyncio.sleep(0.02)
    assert (bench.wrote(), task.done()) == ([], False)
    dead = clone("canary", V2, 1, ready=0)
    bench.cluster.objects[NAMES.workload("canary")] = dead.raw
    bench.woken.set()
    await asyncio.sleep(0.02)
    assert bench.wrote()[:2] == [ROUTE, STATUS]
    assert bench.cluster.objects[KEY.ref]["status"]["failedChecks"] == 1
    await task


async def test_failing_protection_does_not_end_a_hanging_measurement() -> None:
    """What could not be protected is tried again; the tick goes on."""
    bench = Bench(running(30, ready=0), 60)
    world = running(30, status=settled("target", 20), ready=0)
    bench.cluster = FakeCluster.of(world)
    bench.notifier = FakeNotifier(bench.cluster.calls)
    bench.cluster.failing[ROUTE] = Retryable("503")
    with pytest.raises(Retryable):
        await bench.run()
    assert bench.wrote().count(ROUTE) >= 2
    assert STATUS in bench.wrote()


async def test_host_that_is_not_allowed_ends_the_run_unasked() -> None:
    """The condition names the address and the list, and traffic is back."""
    hook = {"name": "gate", "type": "rollout", "url": "https://evil.example/gate"}
    bench = Bench(running(30, changes={"spec.analysis.webhooks": [hook]}), 45)
    bench.hosts = Hosts(("ci.example",))
    await bench.run()
    status = bench.cluster.objects[KEY.ref]["status"]
    (why,) = (one["message"] for one in status["conditions"] if one["type"] == "Ready")
    assert "spec.analysis.webhooks[0].url is 'https://evil.example/gate': host evil.example is not in the" in why
    assert (status["phase"], bench.hooks.asked, ROUTE in bench.wrote()) == ("Failed", [], True)


async def test_cancelled_reconcile_leaves_no_question_behind() -> None:
    """A stop reaches the measurements that hang."""
    bench = Bench(running(30), 45)
    bench.measurer.released.clear()
    task = asyncio.ensure_future(bench.run())
    await asyncio.sleep(0.02)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.01)
    left = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
    assert left == []


@pytest.mark.parametrize(
    "key", [CanaryKey("canary.delivery", NS, "catalog-release"), CanaryKey(KEY.group, NS, "other")]
)
async def test_what_is_not_served_or_not_there_is_left_alone(key: CanaryKey) -> None:
    """A group this controller does not serve, and a Canary nobody knows, cost nothing."""
    bench = Bench(running(30, ready=0), 45)
    assert await bench.run(key) is None
    assert bench.cluster.calls == []


async def test_canary_of_another_controller_is_counted_until_it_is_deleted() -> None:
    """What is told of Canaries ends with them."""
    telemetry, bench = Telemetry(), Bench(written_by(idle(), "flagger"), 10)
    reconciler = bench.start(telemetry)
    for alone in (1, 0):
        await reconciler.reconcile(KEY)
        assert f"canary_left_alone {alone}.0" in telemetry.render().decode()
        bench.cluster.objects.clear()


@pytest.mark.parametrize(
    ("found", "served", "given_back"), [(False, True, True), (False, False, False), (True, True, False)]
)
async def test_give_back_needs_a_live_404_of_a_served_type(found: bool, served: bool, given_back: bool) -> None:
    """The cache lost the Canary: only a live 404 while the CRD is Established counts as deleted (section 9)."""
    bench = Bench(idle(), 10)
    canary = bench.cluster.objects.pop(KEY.ref)
    bench.cluster.live[KEY.ref] = canary if found else None
    bench.cluster.served = served
    await bench.run()
    assert ("patch Deployment catalog" in bench.wrote()) is given_back


async def test_rolled_primary_of_a_green_world_is_observed_whole() -> None:
    """A world in the cluster reads back as the snapshot it was made from."""
    from canary.engine.observe import observe

    world = finalising(primary=replace(rolled(), reached=2), route=route(0))
    world = replace(world, candidate=replace(world.candidate, reached=2))
    seen = observe(FakeCluster.of(world), KEY)
    assert seen is not None
    assert seen.configuration.pins == {"ConfigMap": {}}
    alone = replace(seen, neighbours=world.neighbours, surroundings=Surroundings(), revisions=())
    assert alone == replace(world, revisions=(), configuration=seen.configuration)
    assert [(r.id, r.template) for r in seen.revisions] == [(r.id, r.template) for r in kept(V1, V2)]


ALERTED = {"spec.analysis.alerts": [{"name": "x", "providerRef": {"name": "on-call"}}]}


class TestAlerts:
    """Who is on call."""

    async def test_is_told_after_the_status_is_written(self) -> None:
        """A status that is not written tells nobody: another decision will."""
        bench = alerting()
        bench.cluster.failing[STATUS] = Conflict("409")
        with pytest.raises(Conflict):
            await bench.run()
        assert bench.alerter.calls == []
        del bench.cluster.failing[STATUS]
        await bench.run()
        assert [(one.provider.name, one.payload["reason"]) for one in bench.alerter.calls] == [
            ("on-call", "RevisionDetected")
        ]

    async def test_alert_that_does_not_arrive_is_recorded_by_the_next_look(self) -> None:
        """The Canary is looked at again, and says why nobody was told."""
        bench = alerting()
        made = bench.start()
        await made.reconcile(KEY)
        (call,) = bench.alerter.calls
        bench.alerter.ended(call, "nobody is there")
        assert bench.waked == [KEY]
        await made.reconcile(KEY)
        status = (bench.cluster.get(KEY.ref) or {})["status"]
        assert status["undelivered"] == [
            {"provider": f"{NS}/on-call", "generation": call.generation, "reason": "nobody is there"}
        ]
        assert bench.notifier.told[-1] == "AlertsUndelivered"
        # What is told of alerts is no alert.
        assert len(bench.alerter.calls) == 1


def alerting() -> Bench:
    """Return a run whose target changed, of a Canary that alerts."""
    bench = Bench(running(30, target=new_target(V3, generation=4), changes=ALERTED), 10)
    spec = {"type": "webhook", "address": "https://hooks.test/"}
    ref = Ref(FLAGGER_PROVIDER, NS, "on-call")
    bench.cluster.objects[ref] = {"metadata": {"name": ref.name, "namespace": NS, "generation": 3}, "spec": spec}
    return bench
