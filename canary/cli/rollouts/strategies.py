"""The strategy of a Rollout as the spec of a Canary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canary.cli.rollouts.judging import Judging
from canary.cli.rollouts.reading import Reading, read_seconds, written_seconds
from canary.cli.rollouts.steps import Steps

CANARY, BLUE_GREEN = "spec.strategy.canary", "spec.strategy.blueGreen"
_DRAIN, _LONGEST_DRAIN = "scaleDownDelaySeconds", 3600
_BOTH = {
    "scaleDownDelayRevisionLimit": "one revision at a time is beside production",
    "abortScaleDownDelaySeconds": "analysis.drainSeconds is for a canary that was rolled back too",
    "antiAffinity": "write podAntiAffinity in the template, for which primary and canary are told apart by app",
    "maxUnavailable": "primary and canary are two Deployments, which have their own strategy",
}
_CANARY_TOLD = _BOTH | {
    "maxSurge": "primary and canary are two Deployments, which have their own strategy",
    "minPodsPerReplicaSet": "say analysis.canaryScale: Full for a canary of production's size",
    "dynamicStableScale": "production keeps its size until a release has ended",
    "replicaProgressThreshold": "say analysis.canaryReadyThreshold, in percent",
    "canaryMetadata": "pods keep the labels and annotations of the template",
    "stableMetadata": "pods keep the labels and annotations of the template",
    "pingPong": "two Services are made, and keep their roles: one for the primary and one for the canary",
}
_BLUE_GREEN_TOLD = _BOTH | {
    "previewReplicaCount": "the canary is of production's size from the start",
    "previewMetadata": "pods keep the labels and annotations of the template",
    "activeMetadata": "pods keep the labels and annotations of the template",
}


def canary_spec(reading: Reading, given: Mapping[str, Any], judging: Judging) -> dict[str, Any]:
    """Return what `strategy.canary` comes to: fields of the Canary's spec."""
    read = ("canaryService", "stableService", "steps", "analysis", "trafficRouting", _DRAIN)
    reading.tell_rest(CANARY, given, read, _CANARY_TOLD)
    steps = Steps(reading, judging)
    if "analysis" in given:
        judging.add(f"{CANARY}.analysis", given["analysis"])
    for path, step in reading.entries(f"{CANARY}.steps", given.get("steps")):
        steps.add(path, step)
    written = steps.finished()
    plan = {"steps": written} if written else {}
    if not written:
        reading.warn(CANARY, "has no steps: releases have no checks and all traffic moves at once (skipAnalysis)")
    return ({} if written else {"skipAnalysis": True}) | {"analysis": _analysis(reading, CANARY, given, judging, plan)}


def blue_green_spec(reading: Reading, given: Mapping[str, Any], judging: Judging) -> dict[str, Any]:
    """Return what `strategy.blueGreen` comes to: fields of the Canary's spec."""
    checked = ("prePromotionAnalysis", "postPromotionAnalysis")
    read = ("activeService", "previewService", "autoPromotionEnabled", "autoPromotionSeconds", *checked, _DRAIN)
    reading.tell_rest(BLUE_GREEN, given, read, _BLUE_GREEN_TOLD)
    before, after = (judging.add(f"{BLUE_GREEN}.{name}", given[name]) if name in given else 0 for name in checked)
    steps: list[dict[str, Any]] = []
    if "prePromotionAnalysis" in given and before is not None:
        steps.append({"analysis": {"duration": written_seconds(max(before, judging.interval))}})
    seconds = read_seconds(given.get("autoPromotionSeconds", 0))
    if given.get("autoPromotionEnabled", True) is not True or before is None or seconds is None:
        steps.append({"pause": {}})
    elif seconds:
        steps.append({"pause": {"duration": written_seconds(seconds)}})
    if before is None:
        told = "is not all carried over; the release pauses before all traffic moves until somebody resumes it"
        reading.refuse(f"{BLUE_GREEN}.prePromotionAnalysis", told)
    plan = {"steps": steps} if steps else {"iterations": 1}
    spec = {"analysis": _analysis(reading, BLUE_GREEN, given, judging, plan | {"canaryScale": "Full"})}
    if "postPromotionAnalysis" in given:
        spec["promotion"] = {"bake": written_seconds(max(after or 0, judging.interval))}
    return spec


def _analysis(
    reading: Reading, path: str, given: Mapping[str, Any], judging: Judging, plan: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `spec.analysis` with its plan and checks."""
    drain = read_seconds(given.get(_DRAIN, 0))
    if drain is None or drain > _LONGEST_DRAIN:
        reading.warn(f"{path}.{_DRAIN}", f"is {given[_DRAIN]}; here it is at most {_LONGEST_DRAIN}")
        drain = _LONGEST_DRAIN
    if len(judging.limits) > 1:
        told = f"has checks with different limits of failures; here {judging.threshold} of any of them end a release"
        reading.warn(path, told)
    return {
        "interval": written_seconds(judging.interval),
        "threshold": judging.threshold,
        **plan,
        **({"drainSeconds": drain} if _DRAIN in given else {}),
        **({"metrics": judging.metrics} if judging.metrics else {}),
    }
