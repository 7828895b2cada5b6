"""Actions on autoscalers: the user's, which scales the primary while owned, and the canary's own."""

from __future__ import annotations

from collections.abc import Iterator

from canary.api.status import Phase
from canary.core.actions import Action, Create, Delete, Patch
from canary.core.advance.initialise import handed_over
from canary.core.advance.recover import canary_serves
from canary.core.objects import Object, merge_patch, ref_of
from canary.core.scaler import FIELDS, Hold, Scaler
from canary.core.view import RUNNING, View


def scaler_actions(view: View) -> tuple[Action, ...]:
    """Return the writes on autoscalers; they come before traffic that rests on the sizes they hold.

    The canary's own goes first, and so before the canary shrinks.
    """
    if view.status.phase is Phase.INITIALIZING and not handed_over(view):
        return ()
    return (*_canary_scaler(view), *_let_go(view), *_hold(view))


def _let_go(view: View) -> Iterator[Action]:
    """Give back what the Canary named once and names no more."""
    for scaler in view.snapshot.held_scalers:
        if scaler != view.snapshot.scaler:
            yield Patch(scaler.ref, scaler.given_back(view.snapshot.names), scaler.version, f"{scaler} is let go")


def _hold(view: View) -> Iterator[Action]:
    snapshot, scaler = view.snapshot, view.snapshot.scaler
    if snapshot.spec is None or scaler is None or view.puts_off("scaleTargetRef"):
        return
    if not scaler.may_be_held(snapshot.key, snapshot.names):
        return
    low, high = view.bounds(scaler)
    ref = snapshot.spec.autoscaler_ref
    hold = Hold(low, high, _floor(view), (ref.primary_scaler_queries if ref else None) or {})
    if patch := scaler.held(snapshot.names, snapshot.owner, hold):
        yield Patch(scaler.ref, patch, scaler.version, f"{scaler} to the primary")


def _floor(view: View) -> int:
    """Return the size that the primary may not fall below now (I8); 0 when the user's bounds alone hold."""
    moves = view.status.phase in (*RUNNING, Phase.INITIALIZING)
    if not (moves or view.canary_has_pods):
        return 0
    carried = view.candidate.replicas if view.candidate is not None and view.canary_carries else 0
    return max(view.size, carried)


def _canary_scaler(view: View) -> Iterator[Action]:
    """Make, follow or delete the autoscaler of a canary that carries everything."""
    snapshot = view.snapshot
    wanted = _wanted_for_canary(view)
    for scaler in snapshot.own_scalers:
        if wanted is not None and (scaler.kind, scaler.name) == (wanted["kind"], wanted["metadata"]["name"]):
            if patch := merge_patch({"spec": scaler.spec}, {"spec": wanted["spec"]}):
                yield Patch(scaler.ref, patch, scaler.version, f"{scaler} as the primary's")
            wanted = None
        else:
            uid = scaler.raw["metadata"]["uid"]
            yield Delete(scaler.ref, uid, scaler.version, f"{scaler} is not needed any more")
    if wanted is not None:
        ref = ref_of(FIELDS[wanted["kind"]].resource, wanted)
        yield Create(ref, wanted, f"{wanted['kind']} {ref.name}")


def _wanted_for_canary(view: View) -> Object | None:
    """Return the canary's autoscaler; None while the canary does not carry everything."""
    scaler, phase = view.snapshot.scaler, view.status.phase
    serves = phase in (Phase.PROMOTING, Phase.FINALISING) or canary_serves(view)
    if not serves or not view.canary_carries or view.candidate is None or view.candidate.replicas == 0:
        return None
    return _like(view, scaler) if scaler is not None and view.autoscaled else None


def _like(view: View, scaler: Scaler) -> Object:
    snapshot, high = view.snapshot, view.bounds(scaler)[1]
    return scaler.for_canary(snapshot.names, snapshot.owner, view.size, high)


def own_scalers_gone(view: View) -> tuple[Action, ...]:
    """Return the deletes of the canary's own autoscaler in a give-back."""
    own = view.snapshot.own_scalers
    return tuple(Delete(s.ref, s.raw["metadata"]["uid"], s.version, "give back: canary's autoscaler") for s in own)


def scalers_given_back(view: View) -> tuple[Action, ...]:
    """Return the writes that leave the user's autoscalers as they were."""
    held, names = view.snapshot.held_scalers, view.snapshot.names
    return tuple(Patch(s.ref, s.given_back(names), s.version, f"give back: {s}") for s in held)
