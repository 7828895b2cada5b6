"""Actions on the DestinationRules of the two sides: the traffic policy of the apex host, kept equal."""

from __future__ import annotations

from collections.abc import Iterator

from canary.core.actions import Action, Create, Delete, Patch
from canary.core.names import Role, is_ours, owned_metadata
from canary.core.objects import DESTINATION_RULE, Object, Ref, merge_patch
from canary.core.routes.policy import find_rule, rule_spec
from canary.core.view import View


def policy_actions(view: View) -> tuple[Action, ...]:
    """Return the writes that carry the policy over; they come before any route names the hosts."""
    if view.snapshot.spec is None:
        return ()
    roles: tuple[Role, Role] = ("primary", "canary")
    return tuple(action for role in roles for action in follow_policy(view, view.snapshot.names.rule(role), role))


def follow_policy(view: View, ref: Ref, role: Role) -> Iterator[Action]:
    """Yield the write that carries the policy over to a Service of one side, which its rule is named like."""
    snapshot, names = view.snapshot, view.snapshot.names
    present = snapshot.rules.get(ref.name)
    given = snapshot.spec.service.traffic_policy if snapshot.spec else None
    wanted = rule_spec(given, find_rule(snapshot.neighbours.rules, names), snapshot.route, names, ref.name)
    if present is None:
        if wanted is not None:
            metadata = owned_metadata(ref.name, ref.namespace, snapshot.owner, role=role)
            body = {"apiVersion": DESTINATION_RULE.api_version, "kind": DESTINATION_RULE.kind}
            yield Create(ref, {**body, "metadata": metadata, "spec": wanted}, f"traffic policy of the {role}")
    elif is_ours(present):
        yield from _follow(ref, present, wanted, role)


def _follow(ref: Ref, present: Object, wanted: Object | None, role: Role) -> Iterator[Action]:
    version = present["metadata"]["resourceVersion"]
    if wanted is None:
        yield Delete(ref, present["metadata"]["uid"], version, f"no traffic policy for the {role} any more")
    elif patch := merge_patch({"spec": present.get("spec") or {}}, {"spec": wanted}):
        yield Patch(ref, patch, version, f"traffic policy of the {role}")
