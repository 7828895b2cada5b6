"""An autoscaler as the core reads it: a HorizontalPodAutoscaler or a ScaledObject of KEDA.

The user's is shared: it is let scale the primary, and its bounds are changed for a time.  What the user
asked for is kept in its ``changed`` annotation, beside what was written instead: a bound that is no longer
what was written is the user's newer wish.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from canary.core.names import CHANGED, MANAGER, OWNER, Names, Owner, is_ours, owned_metadata, owner_of
from canary.core.objects import (
    AUTOSCALER,
    SCALED_OBJECT,
    CanaryKey,
    Object,
    Ref,
    Resource,
    annotations_of,
    canonical,
    merge_patch,
    ref_of,
)
from canary.core.workload import field_managers

_TARGET, _TRIGGERS, _QUERIES = "scaleTargetRef", "triggers", "queries"


@dataclass(frozen=True, slots=True)
class Fields:
    """How one kind of autoscaler names its bounds, and what counts when one is left out.

    ``idle`` is a size below the smallest one, taken while nothing is asked of the pods.
    """

    resource: Resource
    lowest: str
    highest: str
    lowest_absent: int
    highest_absent: int
    idle: str = ""


FIELDS = {
    one.resource.kind: one
    for one in (
        Fields(AUTOSCALER, "minReplicas", "maxReplicas", 1, 1),
        Fields(SCALED_OBJECT, "minReplicaCount", "maxReplicaCount", 0, 100, "idleReplicaCount"),
    )
}
"""The kinds of autoscalers that are known."""


@dataclass(frozen=True, slots=True)
class Hold:
    """How an autoscaler is to scale the primary.

    ``low`` and ``high`` are what the user allows.  A ``floor`` above 0 raises the smaller one up to it.
    ``queries`` are those of KEDA's triggers by name, instead of the triggers' own.
    """

    low: int
    high: int
    floor: int
    queries: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Scaler:
    """Read one autoscaler, and say how it is changed."""

    raw: Object
    fields: Fields

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def ref(self) -> Ref:
        """Return where it lives."""
        return ref_of(self.fields.resource, self.raw)

    @property
    def kind(self) -> str:
        """Return its kind."""
        return self.fields.resource.kind

    @property
    def name(self) -> str:
        """Return its name."""
        return str(self.raw["metadata"]["name"])

    @property
    def version(self) -> str:
        """Return its resourceVersion."""
        return str(self.raw["metadata"]["resourceVersion"])

    @property
    def spec(self) -> Mapping[str, Any]:
        """Return its spec as it is."""
        return self.raw.get("spec") or {}

    @property
    def is_ours(self) -> bool:
        """Return whether we made it."""
        return is_ours(self.raw)

    @property
    def made_by(self) -> str:
        """Return the name of the ScaledObject that made it; empty for any other."""
        owners = self.raw["metadata"].get("ownerReferences") or ()
        return next((str(one.get("name")) for one in owners if one.get("kind") == SCALED_OBJECT.kind), "")

    @property
    def target(self) -> str:
        """Return the name of the Deployment it scales; empty when it scales something else."""
        pointed = self.spec.get(_TARGET) or {}
        return str(pointed.get("name") or "") if pointed.get("kind", "Deployment") == "Deployment" else ""

    @property
    def points_at(self) -> str:
        """Return what it scales, in words."""
        pointed = self.spec.get(_TARGET) or {}
        return f"{pointed.get('kind', 'Deployment')} {pointed.get('name', '')}".strip()

    def bears_mark_of(self, key: CanaryKey) -> bool:
        """Return whether its owner annotation names a Canary."""
        owner = owner_of(self.raw)
        return owner is not None and owner.key(key.namespace) == key

    @property
    def owner_name(self) -> str:
        """Return the name of the Canary in its owner annotation; the group may have become another."""
        owner = owner_of(self.raw)
        return owner.name if owner is not None else ""

    def may_be_held(self, key: CanaryKey, names: Names) -> bool:
        """Return whether it is ours to point at the primary: taken over, or scaling one of the two."""
        return self.bears_mark_of(key) or self.target in (names.target, names.workload("primary").name)

    def asked(self, field: str) -> Any:
        """Return what the user asked for in a field of the spec; None when it was left out."""
        written, live = self._changed.get(field), self.spec.get(field)
        if not isinstance(written, Mapping) or live != written.get("set"):
            return live
        if not isinstance(written.get("was"), int | None):
            return live
        # Whoever applies the very value that we wrote owns it from then on.
        others = [m for m in field_managers(self.raw, "f:spec", f"f:{field}") if m != MANAGER]
        return live if others else written.get("was")

    @property
    def asked_bounds(self) -> tuple[int, int]:
        """Return the smallest and the largest size the user asked for."""
        low, high = self.asked(self.fields.lowest), self.asked(self.fields.highest)
        return (
            self.fields.lowest_absent if low is None else int(low),
            self.fields.highest_absent if high is None else int(high),
        )

    @property
    def _changed(self) -> Mapping[str, Any]:
        try:
            found = json.loads(annotations_of(self.raw).get(CHANGED, "{}"))
        except ValueError:
            return {}
        return found if isinstance(found, Mapping) else {}

    @property
    def asked_triggers(self) -> list[dict[str, Any]]:
        """Return KEDA's triggers with the queries the user asked for."""
        written = self._changed.get(_QUERIES)
        known = written if isinstance(written, Mapping) else {}
        return [_asked_trigger(one, known.get(one.get("name"))) for one in self.spec.get(_TRIGGERS) or ()]

    def held(self, names: Names, owner: Owner, hold: Hold) -> dict[str, Any]:
        """Return the patch that lets it scale the primary as it is to be held; empty when it does."""
        fields, low = self.fields, min(max(hold.low, hold.floor), hold.high)
        wanted: dict[str, Any] = {
            fields.lowest: self._written(fields.lowest, fields.lowest_absent, low),
            fields.highest: self._written(fields.highest, fields.highest_absent, hold.high),
        }
        if fields.idle:
            wanted[fields.idle] = None if hold.floor else self.asked(fields.idle)
        changed: dict[str, Any] = {_TARGET: names.target}
        for field, value in wanted.items():
            if value != self.asked(field):
                changed[field] = {"was": self.asked(field), "set": value}
        if _TRIGGERS in self.spec:
            asked = self.asked_triggers
            wanted[_TRIGGERS] = [_with_query(one, hold.queries.get(one.get("name", ""))) for one in asked]
            pairs = [(one, new) for one, new in zip(asked, wanted[_TRIGGERS], strict=True) if one != new]
            queries = {one["name"]: {"was": _query(one), "set": _query(new)} for one, new in pairs}
            changed |= {_QUERIES: queries} if queries else {}
        marks = {OWNER: owner.to_text(), CHANGED: canonical(changed)}
        return self._patch(names.workload("primary").name, wanted, marks)

    def _written(self, field: str, absent: int, value: int) -> int | None:
        """Return how a bound is written: left out as the user left it out when that comes to the same."""
        return None if self.asked(field) is None and value == absent else value

    def given_back(self, names: Names) -> dict[str, Any]:
        """Return the patch that lets it scale the target again, within the bounds the user asked for."""
        fields = (self.fields.lowest, self.fields.highest, self.fields.idle)
        wanted = {field: self.asked(field) for field in fields if field in self._changed}
        if _QUERIES in self._changed:
            wanted[_TRIGGERS] = self.asked_triggers
        return self._patch(names.target, wanted, {OWNER: None, CHANGED: None})

    def _patch(self, target: str, wanted: Mapping[str, Any], marks: Mapping[str, str | None]) -> dict[str, Any]:
        spec: dict[str, Any] = {f: value for f, value in wanted.items() if value != self.spec.get(f)}
        if pointed := self._pointed(target):
            spec[_TARGET] = pointed
        shown = annotations_of(self.raw)
        annotations = {key: value for key, value in marks.items() if shown.get(key) != value}
        patch = {"metadata": {"annotations": annotations}, "spec": spec}
        return {part: body for part, body in patch.items() if body and body != {"annotations": {}}}

    def _pointed(self, target: str) -> dict[str, Any]:
        live = self.spec.get(_TARGET) or {}
        kind = {} if live.get("kind", "Deployment") == "Deployment" else _DEPLOYMENT
        return merge_patch(live, {**live, **kind, "name": target})

    def for_canary(self, names: Names, owner: Owner, low: int, high: int) -> dict[str, Any]:
        """Return an autoscaler like it for the canary, of a size from ``low`` to ``high``."""
        name = names.workload("canary").name
        bounds = {self.fields.lowest: min(low, high), self.fields.highest: high}
        spec = {**self.spec, **bounds, _TARGET: {**(self.spec.get(_TARGET) or {}), "name": name}}
        spec.pop(self.fields.idle, None)
        if _TRIGGERS in spec:
            spec[_TRIGGERS] = self.asked_triggers
        if "advanced" in spec:
            spec["advanced"] = _without_name(spec["advanced"])
        return {
            "apiVersion": self.fields.resource.api_version,
            "kind": self.kind,
            "metadata": owned_metadata(name, names.namespace, owner, role="canary"),
            "spec": spec,
        }


def _query(trigger: Mapping[str, Any]) -> Any:
    return (trigger.get("metadata") or {}).get("query")


def _with_query(trigger: dict[str, Any], query: Any) -> dict[str, Any]:
    return trigger if query is None else {**trigger, "metadata": {**(trigger.get("metadata") or {}), "query": query}}


def _asked_trigger(trigger: dict[str, Any], written: Any) -> dict[str, Any]:
    """Return a trigger with the query its user gave it, unless a newer one stands there."""
    ours = isinstance(written, Mapping) and _query(trigger) == written.get("set")
    return _with_query(trigger, written.get("was")) if ours else trigger


_DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment"}


def _without_name(advanced: Mapping[str, Any]) -> dict[str, Any]:
    """Return KEDA's advanced settings without the name of the HorizontalPodAutoscaler it is to make."""
    inner = advanced.get("horizontalPodAutoscalerConfig")
    if not isinstance(inner, Mapping):
        return dict(advanced)
    return {**advanced, "horizontalPodAutoscalerConfig": {k: v for k, v in inner.items() if k != "name"}}
