"""What may happen in a schedule to the replica that leads, and to the lease."""

from __future__ import annotations

from collections.abc import Callable

from canary.sim.faults import ApiFault
from canary.sim.replicas import TAKEN_OVER, TERMS, Replica
from canary.sim.stage import Stage


def kill_leader(stage: Stage, away: float = 5.0) -> None:
    """Kill the replica that leads and start another one later."""
    if (leader := stage.sim.replicas.leader()) is not None:
        stage.sim.end(stage.sim.of(leader))
        stage.sim.at(away, stage.sim.start_controller)


def stop_leader(stage: Stage, away: float = 5.0) -> None:
    """Tell the replica that leads to end, which gives the lease back, and start another one later."""
    if (leader := stage.sim.replicas.leader()) is not None:
        stage.sim.stop(stage.sim.of(leader))
        stage.sim.at(away, stage.sim.start_controller)


def freeze_leader(stage: Stage, lasts: float) -> None:
    """Let the replica that leads stand still for a time."""
    _without_leader(stage, lambda leader: leader.cluster.link.freeze(lasts), lasts)


def cut_leader(stage: Stage, lasts: float) -> None:
    """Keep the replica that leads from the API server for a time."""
    _without_leader(stage, lambda leader: leader.cluster.link.cut(lasts), lasts)


def set_clock(stage: Stage, ahead: float) -> None:
    """Set the clock of the replica that leads."""
    _without_leader(stage, lambda leader: leader.instants.set(ahead), TERMS.retry_period.total_seconds())


def _without_leader(stage: Stage, act: Callable[[Replica], None], lasts: float) -> None:
    if (leader := stage.sim.replicas.leader()) is None:
        return
    act(leader)
    now = stage.sim.now
    # It hits no call by itself: it tells the rules how long nobody may have led.
    stage.sim.faults.api.append(ApiFault("cut", start=now, end=now + min(lasts, TAKEN_OVER) + 1, times=0))


def delete_lease(stage: Stage) -> None:
    """Delete the lease by hand."""
    stage.sim.replicas.book.delete()


def annotate_lease(stage: Stage) -> None:
    """Write to the lease without a change of its holder."""
    stage.sim.replicas.book.touch()


ON_LEADERS: dict[str, Callable[..., None]] = {
    act.__name__: act
    for act in (kill_leader, stop_leader, freeze_leader, cut_leader, set_clock, delete_lease, annotate_lease)
}
