"""What can be told of a spec alone, with nothing of the cluster known."""

from __future__ import annotations

from typing import Any

from canary.api.canary import CanarySpec
from canary.api.duration import istio_seconds
from canary.api.warnings import Caution
from canary.core.plan import plan_of
from canary.core.routes.fields import route_fields
from canary.core.warnings.wording import listed


def spec_warnings(spec: CanarySpec) -> tuple[Caution, ...]:
    """Return what may spoil the releases of a Canary, of which nothing is refused."""
    found = (idle_step(spec), retries_cut_off("spec.service", route_fields(spec)))
    return tuple(one for one in found if one is not None)


def idle_step(spec: CanarySpec) -> Caution | None:
    """Find a step that is judged although no request reaches the canary."""
    checks = () if spec.skip_analysis else [one for one in spec.analysis.metrics if not one.custom]
    idle = [number for number, step in enumerate(plan_of(spec).steps, 1) if not step.routing.weights.exposes]
    waiting = [one.name for one in checks if spec.analysis.on_no_data_for(one) == "Hold"]
    failing = [one.name for one in checks if spec.analysis.on_no_data_for(one) == "Fail"]
    if not idle or not (waiting or failing):
        return None
    end, names = ("fails there", failing) if failing else ("holds there for ever", waiting)
    return Caution(
        "NothingToJudge",
        f"step {idle[0]} of the plan sends the canary no request, so every run {end} for want of data for "
        f"{listed(names)}; send it some before (mirror, match or a weight), or set onNoData to Pass",
    )


def retries_cut_off(label: str, fields: dict[str, Any]) -> Caution | None:
    """Find retries for which the time-out of a route leaves no time (R-RES-7)."""
    retries = fields.get("retries") or {}
    attempts, each = retries.get("attempts") or 0, istio_seconds(retries.get("perTryTimeout"))
    limit = istio_seconds(fields.get("timeout"))
    if not (attempts and each and limit and attempts * each >= limit):
        return None
    return Caution(
        "RetriesOutlastTimeout",
        f"{label}: {attempts} retries of {retries['perTryTimeout']} do not fit into timeout "
        f"{fields['timeout']}, the last are cut off; raise the timeout above {attempts * each:g}s, or lower "
        "retries.attempts or retries.perTryTimeout",
    )
