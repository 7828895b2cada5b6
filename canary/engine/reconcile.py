"""One reconcile: observe, measure what is due, decide, protect, persist, apply."""

from __future__ import annotations

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from canary.api.status import to_wire
from canary.core.actions import Decision
from canary.core.advance.drift import DRIFTED
from canary.core.alerts import AlertCall, alert_calls
from canary.core.decide import (
    SHORTEST_WAIT,
    decide,
    goes_back,
    is_foreign,
    needs_protection,
    next_tick,
    overtaking,
    questions,
)
from canary.core.hooks import event_calls
from canary.core.hosts import ANY_HOST, Hosts
from canary.core.measurement import Measurement, Query
from canary.core.objects import CanaryKey, Ref, Resource, merge_patch
from canary.core.refusal import shows_refusal
from canary.core.snapshot import Delivery, Snapshot
from canary.core.turns import holds_run
from canary.engine.configured import PINNED
from canary.engine.inquiry import Asked, Inquiry
from canary.engine.measure import measure
from canary.engine.observe import observe
from canary.engine.runs import RunBook
from canary.engine.writes import Writes
from canary.ports import (
    Alerter,
    Clock,
    Cluster,
    ClusterError,
    Hooks,
    Measurer,
    Notifier,
    Observer,
    Refused,
)

log = structlog.get_logger()

PROTECT_EVERY = 0.1
"""Seconds between two looks at a Canary that changes while its measurements are awaited."""


class Reconciler:
    """Bring one Canary's world closer to what its status asks for."""

    def __init__(
        self,
        cluster: Cluster,
        measurer: Measurer,
        hooks: Hooks,
        notifier: Notifier,
        clock: Clock,
        groups: tuple[str, ...],
        interrupted: Callable[[CanaryKey], Awaitable[None]],
        observer: Observer | None = None,
        pinned: tuple[Resource, ...] = PINNED,
        hosts: Hosts = ANY_HOST,
        runs: RunBook | None = None,
        *,
        alerter: Alerter | None = None,
        wake: Callable[[CanaryKey], None] = lambda key: None,
    ) -> None:
        self._cluster = cluster
        self._writes = Writes(cluster)
        self._measurer = measurer
        self._hooks = hooks
        self._notifier = notifier
        self._clock = clock
        self._groups = groups
        self._interrupted = interrupted
        self._observer = observer
        self._pinned = pinned
        self._hosts = hosts
        self._runs = runs or RunBook()
        self._alerter = alerter
        self._wake = wake
        self._left: dict[CanaryKey, list[Asked]] = {}
        self._noted: dict[CanaryKey, tuple[str, ...]] = {}
        self._deliveries: dict[CanaryKey, dict[Ref, Delivery]] = {}

    async def reconcile(self, key: CanaryKey) -> timedelta | None:
        """Run one tick of a Canary and return when to look again; None waits for a change.

        Raises a ``ClusterError`` when a write did not happen; the world is as safe as before then.
        """
        if key.group not in self._groups:
            return None
        try:
            again = await self._reconcile(key)
        except Exception as fault:
            self._runs.failed(key, fault)
            raise
        self._runs.ended_well(key)
        return again

    async def _reconcile(self, key: CanaryKey) -> timedelta | None:
        snapshot = self._observe(key)
        if snapshot is None:
            self._forget(key)
            return None
        now = self._clock.now()
        measurements: tuple[Measurement, ...] = ()
        queries, left = questions(snapshot, now), self._left.pop(key, [])
        if queries or left:
            measurements = await self._measure(snapshot, queries, now, left)
            snapshot = self._observe(key)
            if snapshot is None:
                return None
        # Not the time of the questions: what is read back now is in force from now on.
        decision = decide(snapshot, measurements, self._clock.now())
        news = self._note(key, decision.notes)
        if news and decision.status is None and snapshot.canary is not None and decision.events:
            # Nothing may be written to that Canary, and so nothing else would tell.
            await self._notifier.notify(key, snapshot.owner.uid, decision.events)
        if self._observer is not None:
            self._observer.left_alone(key, is_foreign(snapshot))
        if snapshot.canary is not None and _begins(snapshot, decision):
            # Before anything is awaited: whoever decides next must know.
            self._runs.claim(key, snapshot.canary, self._clock.now())
        taken = await self._taken(snapshot, decision)
        return decision.requeue_after if taken else SHORTEST_WAIT

    def _forget(self, key: CanaryKey) -> None:
        """Keep and tell nothing of a Canary that is gone."""
        self._writes.refused.pop(key, None)
        self._noted.pop(key, None)
        self._deliveries.pop(key, None)
        Inquiry(self._ask, self._left.pop(key, [])).cancel()
        if self._observer is not None:
            self._observer.left_alone(key, False)

    def _observe(self, key: CanaryKey) -> Snapshot | None:
        """Return what concerns a Canary, with what was refused for it last."""
        found = observe(self._cluster, key, self._pinned)
        if found is None:
            return None
        if unfit := self._hosts.refusals(found.canary or {}) if not found.refusals else ():
            found = replace(found, spec=None, refusals=unfit)
        runs = self._runs.seen(self._clock.now())
        deliveries = dict(self._deliveries.get(key, {}))
        tried = key in self._writes.refused
        return replace(found, refused=self._writes.refused.get(key), tried=tried, deliveries=deliveries, runs=runs)

    def _alerted(self, call: AlertCall, fault: str) -> None:
        """Remember how an alert ended; the next look records it."""
        self._deliveries.setdefault(call.key, {})[call.provider] = Delivery(call.generation, fault)
        self._wake(call.key)

    async def _taken(self, snapshot: Snapshot, decision: Decision) -> bool:
        """Carry a decision out; return False when there is news about refusals, which the next one tells."""
        key, before = snapshot.key, snapshot.refused
        try:
            await self._carry_out(snapshot, decision)
        except Refused:
            now = self._writes.refused.get(key)
            if now is not None and (before is None or before.ref != now.ref):
                return False
            raise
        self._writes.refused[key] = None
        return before is None and (snapshot.tried or not shows_refusal(snapshot.status))

    def _note(self, key: CanaryKey, notes: tuple[str, ...]) -> bool:
        """Log what a decision notes, once for as long as it notes the same; return whether that is news."""
        news = notes != self._noted.pop(key, ())
        if news:
            for note in notes:
                log.info("noted", canary=str(key), note=note)
        if notes:
            self._noted[key] = notes
        return news

    async def _ask(self, queries: tuple[Query, ...]) -> tuple[Measurement, ...]:
        return await measure(self._cluster, self._measurer, self._hooks, queries)

    async def _measure(
        self, snapshot: Snapshot, queries: tuple[Query, ...], now: datetime, left: list[Asked]
    ) -> tuple[Measurement, ...]:
        """Ask, and meanwhile go on protecting: a slow answer delays no diversion (I13) and no way back (I22)."""
        inquiry = Inquiry(self._ask, left)
        try:
            inquiry.put(queries)
            await self._protect(snapshot, now)
            while inquiry.pending:
                woken = await self._news(snapshot, inquiry)
                fresh = self._observe(snapshot.key) if inquiry.pending else None
                if fresh is None:
                    continue
                now = self._clock.now()
                if woken:
                    await self._protect(fresh, now)
                inquiry.put(overtaking(fresh, inquiry.queries, now))
                if goes_back(fresh, inquiry.answers, now):
                    break
                if woken and inquiry.pending:
                    # The key stays dirty until this reconcile ends: look again at this pace.
                    await asyncio.wait(inquiry.pending, timeout=PROTECT_EVERY, return_when=FIRST_COMPLETED)
                snapshot = fresh
        except BaseException:
            inquiry.cancel()
            raise
        answers = inquiry.answers
        if calls := inquiry.leave():
            self._left[snapshot.key] = calls
        return answers

    async def _news(self, snapshot: Snapshot, inquiry: Inquiry) -> bool:
        """Wait for an answer, a change of the Canary or its next tick; return whether it changed."""
        woken = asyncio.ensure_future(self._interrupted(snapshot.key))
        tick = next_tick(snapshot, self._clock.now())
        seconds = tick.total_seconds() if tick is not None else None
        try:
            done, _ = await asyncio.wait({*inquiry.pending, woken}, timeout=seconds, return_when=FIRST_COMPLETED)
        finally:
            woken.cancel()
        return woken in done

    async def _protect(self, snapshot: Snapshot, now: datetime) -> None:
        """Apply only what takes traffic off a set, decided without measurements (I22).

        What is put back here is as it should be at the next look: drift is recorded now or never.
        """
        if not needs_protection(snapshot, now):
            return
        decision = decide(snapshot, (), now)
        for action in decision.urgent:
            try:
                await self._writes.apply(snapshot.key, action)
            except ClusterError as error:
                log.warning("protect_failed", canary=str(snapshot.key), action=action.why, error=str(error))
        drift = decision.status.drift if decision.status is not None else snapshot.status.drift
        if decision.urgent and drift != snapshot.status.drift:
            status = snapshot.status.model_copy(update={"drift": drift})
            told = tuple(event for event in decision.events if event.reason == DRIFTED)
            try:
                await self._persist(snapshot, replace(decision, status=status, events=told))
            except ClusterError as error:
                log.warning("drift_not_recorded", canary=str(snapshot.key), error=str(error))

    async def _carry_out(self, snapshot: Snapshot, decision: Decision) -> None:
        failed: ClusterError | None = None
        for action in decision.urgent:
            try:
                await self._writes.apply(snapshot.key, action)
            except ClusterError as error:
                failed = error
        if decision.status is not None:
            await self._persist(snapshot, decision)
        if failed is not None:
            raise failed
        for action in decision.actions:
            await self._writes.apply(snapshot.key, action)
        if snapshot.canary is None and decision.events:
            await self._notifier.notify(snapshot.key, snapshot.owner.uid, decision.events)

    async def _persist(self, snapshot: Snapshot, decision: Decision) -> None:
        """Write the status on the version it was decided on; then tell people."""
        if snapshot.canary is None or decision.status is None:
            return
        patch = merge_patch(snapshot.canary.get("status") or {}, to_wire(decision.status))
        if patch:
            version = snapshot.canary["metadata"]["resourceVersion"]
            body = {"status": patch}
            await self._cluster.patch(snapshot.key.ref, body, resource_version=version, subresource="status")
        status = decision.status
        if self._observer is not None:
            self._observer.recorded(snapshot.key, snapshot.status, status, self._clock.now())
        said = {"phase": str(status.phase), "weight": status.canary_weight, "message": status.message}
        acts = [a.why for a in (*decision.urgent, *decision.actions)]
        log.info("decided", canary=str(snapshot.key), **said, actions=acts)
        if decision.events:
            now = self._clock.now()
            self._hooks.tell(snapshot.key, event_calls(snapshot, status, decision.events, now))
            if self._alerter is not None:
                self._alerter.alert(alert_calls(snapshot, status, decision.events, now), self._alerted)
            await self._notifier.notify(snapshot.key, snapshot.canary["metadata"]["uid"], decision.events)


def _begins(snapshot: Snapshot, decision: Decision) -> bool:
    """Return whether a decision begins a run that counts."""
    return decision.status is not None and holds_run(decision.status) and not holds_run(snapshot.status)
