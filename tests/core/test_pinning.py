"""Pinned configuration in decisions: what counts as a change, what is copied when, and what waits for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.status import CanaryStatus, Phase, Revisions
from canary.core.actions import Create, Decision, Delete
from canary.core.configuration import DIGEST, Configuration, Source, copies_of, copy_object, digest_of
from canary.core.decide import decide, questions
from canary.core.measurement import ContentAnswer, ContentQuery, Measurement, Unavailable
from canary.core.moment import Change
from canary.core.names import REVISION_LABEL
from canary.core.objects import CONFIG_MAP, Object, Ref
from canary.core.revisions import Revision, from_object, pin, to_object
from canary.core.snapshot import Snapshot
from canary.core.view import View
from tests.builders import (
    NAMES,
    NOW,
    NS,
    OWNER_MARK,
    V1,
    clone,
    deleted,
    deployment,
    idle,
    names_of,
    new_status,
    new_target,
    template,
    with_status,
)

SETTINGS = Source(CONFIG_MAP, "settings")
SOURCE_REF = Ref(CONFIG_MAP, NS, "settings")


def reading(image: str = "catalog:v1") -> dict[str, Any]:
    """Return a pod template that takes its environment from the ConfigMap."""
    pod = template(image)
    pod["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    return pod


def content(mode: str) -> Object:
    """Return the ConfigMap as the API server has it."""
    return {"metadata": {"name": "settings", "namespace": NS}, "data": {"mode": mode}}


def shows(mode: str) -> Configuration:
    """Return what the target's reference comes to."""
    return Configuration({"ConfigMap": {"settings": digest_of(content(mode))}})


def pinned(pod: Any, mode: str, number: int = 1) -> Revision:
    """Return a revision as kept in the cluster."""
    obj = to_object(pin(deployment(pod=pod), number, shows(mode).pins), NAMES, OWNER_MARK)
    obj["metadata"] |= {"uid": f"uid-revision-{number}", "resourceVersion": str(60 + number)}
    found = from_object(obj)
    assert found is not None
    return found


def copies(*revisions: Revision) -> tuple[Object, ...]:
    """Return the copies of revisions as caches keep them."""
    found = []
    for revision in revisions:
        for one in copies_of(revision.pins, revision.id):
            obj = copy_object(one, {}, NS, OWNER_MARK, revision.id)
            obj["metadata"] |= {"uid": f"uid-{one.name}", "resourceVersion": "70"}
            found.append({**obj, DIGEST: one.digest})
    return tuple(found)


ONE, TWO = pinned(reading(), "one"), pinned(reading(), "two", 2)


def configured(mode: str = "one", *, seen: int = 2, **parts: Any) -> Snapshot:
    """Return an idle world that runs on the ConfigMap as it was at first, and what the ConfigMap holds now."""
    world = idle(
        target=deployment(pod=reading(), replicas=0, generation=2, owners=("canary-controller",)),
        primary=of(ONE, "primary"),
        revisions=(ONE,),
        configuration=shows(mode),
        copies=copies(ONE),
    )
    target = world.status.target.model_copy(update={"generation": seen}) if world.status.target else None
    tracked = {"configmap/settings": digest_of(content("one"))}
    known = Revisions(primary=ONE.id, candidate=ONE.id)
    world = with_status(world, revision=known, target=target, tracked_configs=tracked)
    return replace(world, **parts)


def of(revision: Revision, role: Any, **more: Any) -> Any:
    """Return the Deployment of one side on a revision."""
    found = clone(role, reading(), **more).raw
    labels = {**found["metadata"]["labels"], REVISION_LABEL: revision.id}
    metadata, spec = {**found["metadata"], "labels": labels}, {**found["spec"], "template": revision.derived(role)}
    return replace(clone(role), raw={**found, "metadata": metadata, "spec": spec})


def running(mode: str = "two", **parts: Any) -> Snapshot:
    """Return a run of the edited ConfigMap that has just begun."""
    started = configured("two")
    begun = with_status(started, new_status(started, decide(started, (), NOW)))
    return replace(begun, configuration=shows(mode), **parts)


def told(world: Snapshot, answer: Any) -> Decision:
    """Decide with one answer to what is asked."""
    return decide(world, tuple(Measurement(q, answer) for q in questions(world, NOW)), NOW)


def change(world: Snapshot) -> Change:
    """Return what the target's change counts as."""
    return View(world, (), NOW).change


def failed(world: Snapshot) -> Snapshot:
    """Return the world after the edited ConfigMap was rolled back."""
    known = Revisions(primary=ONE.id, candidate=TWO.id)
    return replace(
        with_status(world, phase=Phase.FAILED, revision=known), revisions=(ONE, TWO), copies=copies(ONE, TWO)
    )


LIVE = replace(ONE, pins={})


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        pytest.param(configured("one"), Change.SAME, id="unchanged"),
        pytest.param(configured("two"), Change.NEW, id="edited"),
        pytest.param(configured("one", seen=1), Change.SAME, id="template looked at again"),
        pytest.param(failed(configured("two")), Change.SAME, id="failed and still there"),
        pytest.param(failed(configured("one")), Change.REVERTED, id="failed and taken back"),
        pytest.param(failed(configured("three")), Change.NEW, id="failed and edited again"),
        pytest.param(configured("two", revisions=(LIVE,)), Change.SAME, id="pinned without copies"),
        pytest.param(configured("two", configuration=Configuration()), Change.SAME, id="not followed"),
        pytest.param(
            configured("two", configuration=Configuration({"ConfigMap": {}}, missing=(SETTINGS,))),
            Change.SAME,
            id="missing",
        ),
        pytest.param(
            configured("two", configuration=Configuration({"ConfigMap": {}}, live=(SETTINGS,))),
            Change.NEW,
            id="opted out",
        ),
    ],
)
def test_change_of_configuration(world: Snapshot, expected: Change) -> None:
    """Content counts as the template does; what cannot be told is no change."""
    assert change(world) is expected


def test_run_is_recorded_before_anything_is_copied() -> None:
    """The first decision names the revision, the second asks for the content, the third makes the copy first."""
    world = running()
    assert (world.status.phase, world.status.revisions.candidate) == (Phase.PROGRESSING, TWO.id)
    assert world.status.tracked_configs == {"configmap/settings": digest_of(content("two"))}
    assert questions(world, NOW) == (ContentQuery(SOURCE_REF),)
    assert names_of(decide(world, (), NOW).actions) == [f"create ControllerRevision catalog-canary-{TWO.id}"]
    actions = told(world, ContentAnswer(content("two"))).actions
    assert names_of(actions)[:3] == [
        f"create ControllerRevision catalog-canary-{TWO.id}",
        f"create ConfigMap settings-{TWO.id}",
        "create Deployment catalog-canary",
    ]
    made = actions[1]
    assert isinstance(made, Create)
    assert made.body["data"] == {"mode": "two"}


@pytest.mark.parametrize("answer", [Unavailable("503"), ContentAnswer(content("three"))])
def test_canary_is_not_made_without_its_copy(answer: Any) -> None:
    """A failed read, or one that came too late, holds the canary back and is asked again."""
    decision = told(running(), answer)
    assert [a for a in decision.actions if a.ref.resource.kind in ("ConfigMap", "Deployment")] == []
    assert decision.requeue_after is not None
    assert decision.requeue_after.total_seconds() <= 5


def test_refused_read_is_told() -> None:
    """The condition says which copy cannot be made and why."""
    ready = new_status(running(), told(running(), Unavailable("403: forbidden"))).condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "ConfigNotPinned")
    assert f"ConfigMap settings-{TWO.id}" in ready.message
    assert "403: forbidden" in ready.message


def test_content_that_changed_before_it_was_copied_starts_again() -> None:
    """What was never copied is never asked for: the newer content has its own run."""
    world = running("three")
    assert questions(world, NOW) == ()
    assert change(world) is Change.NEW
    assert new_status(world, decide(world, (), NOW)).revisions.candidate not in (ONE.id, TWO.id)


def test_edit_while_promoting_waits() -> None:
    """The revision that is pending is named by its configuration."""
    promoting = with_status(configured("two"), phase=Phase.FINALISING)
    status = new_status(promoting, decide(promoting, (), NOW))
    assert status.revisions.pending == TWO.id


def test_lost_copy_is_made_again() -> None:
    """A copy that production reads and somebody deleted is asked for and made, and nothing else happens."""
    world = configured("one", copies=())
    decision = told(world, ContentAnswer(content("one")))
    assert names_of(decision.actions) == [f"create ConfigMap settings-{ONE.id}"]
    gone = failed(configured("two", copies=()))
    ready = new_status(gone, decide(replace(gone, copies=()), (), NOW)).condition("Ready")
    assert ready is not None
    assert ready.reason == "ConfigNotPinned"
    assert questions(replace(gone, copies=()), NOW) == ()


def test_copy_of_others_under_our_name_is_left_alone() -> None:
    """A name that is needed and held by somebody else is told, never written."""
    foreign = {**copies(ONE)[0], "metadata": {"name": f"settings-{ONE.id}", "namespace": NS, "uid": "x"}}
    world = configured("one", copies=(foreign,))
    decision = told(world, ContentAnswer(content("one")))
    ready = new_status(world, decision).condition("Ready")
    assert (decision.actions, ready.reason if ready else "") == ((), "NameTaken")


def test_unused_copies_go_with_their_revisions() -> None:
    """Kept are those of what production runs, ran before, and of the last run; in a run nothing goes."""
    world = configured("one", copies=copies(ONE, TWO))
    assert names_of(decide(world, (), NOW).actions) == [f"delete ConfigMap settings-{TWO.id}"]
    in_use = with_status(world, revision=Revisions(primary=ONE.id, candidate=ONE.id, previous=TWO.id))
    assert decide(in_use, (), NOW).actions == ()
    assert not [a for a in decide(running(copies=copies(ONE, TWO)), (), NOW).actions if isinstance(a, Delete)]


def test_idle_world_is_silent() -> None:
    """Nothing is asked, written or waited for while nothing changes (I19)."""
    world = configured("one")
    decision = decide(world, (), NOW)
    assert (questions(world, NOW), decision.actions, decision.requeue_after) == ((), (), None)
    assert new_status(world, decision) == world.status


def test_upgraded_world_is_silent() -> None:
    """A revision without pins, whose status tracks nothing, is not written (I5)."""
    world = with_status(configured("two", revisions=(LIVE,), copies=()), tracked_configs=None)
    decision = decide(world, (), NOW)
    assert (questions(world, NOW), decision.actions) == ((), ())
    assert new_status(world, decision) == world.status


def test_missing_configuration_is_named_before_anything_is_begun() -> None:
    """A new template that needs what is not there waits, and the message names both."""
    nothing = Configuration({"ConfigMap": {}}, missing=(Source(CONFIG_MAP, "other"),))
    world = configured(target=new_target(reading("catalog:v2")), configuration=nothing)
    status = new_status(world, decide(world, (), NOW))
    pending = status.condition("RevisionPending")
    assert (status.phase, pending is not None) == (Phase.INITIALIZED, True)
    assert "ConfigMap other, which Deployment catalog refers to, does not exist" in (pending.message if pending else "")


def test_target_is_given_back_with_live_references() -> None:
    """The user's template comes back, copies go last but the records, and what was not promoted is told."""
    world = deleted(configured("two"))
    first = told_gone(world)
    assert [(e.reason, e.type) for e in first.events] == [("ConfigNotPromoted", "Warning")]
    assert "ConfigMap settings changed" in first.events[0].message
    assert told_gone(deleted(configured("one"))).events == ()
    alone = replace(world, target=None, primary=None, apex=None, route=None, rules={})
    assert names_of(told_gone(alone).actions)[-2:] == [
        f"delete ConfigMap settings-{ONE.id}",
        f"delete ControllerRevision catalog-canary-{ONE.id}",
    ]


def told_gone(world: Snapshot) -> Decision:
    """Decide about a Canary that is truly deleted."""
    from tests.answers import good

    return decide(world, good(questions(world, NOW)), NOW)


def test_status_without_configuration_stays_empty() -> None:
    """Most Deployments refer to nothing."""
    world = idle()
    assert (world.status.tracked_configs, CanaryStatus().tracked_configs) == (None, None)
    assert change(idle(target=deployment(pod=V1, replicas=0, generation=2))) is Change.SAME
