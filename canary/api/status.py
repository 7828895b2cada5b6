"""`status`: everything the controller remembers about one Canary."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from canary.api.wire import Integer, Number, Time, WholeSecond, WireModel


class Phase(StrEnum):
    """Where a release stands, in Flagger's words."""

    NONE = ""
    INITIALIZING = "Initializing"
    INITIALIZED = "Initialized"
    WAITING = "Waiting"
    PROGRESSING = "Progressing"
    WAITING_PROMOTION = "WaitingPromotion"
    PROMOTING = "Promoting"
    FINALISING = "Finalising"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TERMINATING = "Terminating"
    TERMINATED = "Terminated"


ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(WireModel):
    """One standard Kubernetes condition."""

    type: str = Field(description="Name of the condition.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(description="One CamelCase word.")
    message: str = Field("", description="One sentence.")
    last_transition_time: WholeSecond | None = Field(None, description="When status last changed.")
    last_update_time: WholeSecond | None = Field(None, description="When anything last changed.")
    observed_generation: Integer | None = Field(None, description="Generation it speaks of.")


class TargetSeen(WireModel):
    """The target as last judged."""

    uid: str = Field("", description="UID of the target.")
    generation: Integer = Field(0, description="Generation of the target.")


class Revisions(WireModel):
    """Revision ids of the two sides."""

    primary: str | None = Field(None, description="What production runs.")
    candidate: str | None = Field(None, description="What is being judged.")
    pending: str | None = Field(None, description="A newer template that waits.")
    previous: str | None = Field(None, description="What production ran before.")


class StepStatus(WireModel):
    """The step of the present run."""

    index: Integer = Field(description="Number of the step, from 0.")
    count: Integer = Field(description="Number of steps in the plan.")
    description: str = Field("", description="The step in words.")
    started_at: Time | None = Field(None, description="When the step was begun.")
    next_tick_at: Time | None = Field(None, description="When it is judged next.")
    passed_at: Time | None = Field(
        None, description="When its checks passed while capacity for the next step was not ready."
    )
    in_force_at: Time | None = Field(None, description="When the step's weight was read back from the routes.")
    skipped: bool | None = Field(None, description="Whether a command takes the step as passed.")
    resumed: bool | None = Field(None, description="Whether a command ended the step's pause.")


class Drain(WireModel):
    """The wait for requests under way at a set that lost its traffic."""

    role: Literal["primary", "canary", "target"] = Field(description="Which set.")
    since: Time = Field(description="When the routes were read back without it.")
    skipped: bool | None = Field(None, description="Whether a command says that requests seen do not matter.")


class Progress(WireModel):
    """The last progress of a set towards readiness, for the progress deadline."""

    role: str = Field(description="Which set.")
    since: Time = Field(description="When it last got on.")
    available: Integer = Field(description="Updated and available pods at that time, added up.")


class Drift(WireModel):
    """A field that another manager keeps changing."""

    field: str = Field(description="Object and field.")
    manager: str = Field("", description="Who changes it.")
    count: Integer = Field(0, description="How often it was put back.")
    since: Time | None = Field(None, description="When it was first put back.")
    retry_at: Time | None = Field(None, description="When it is put back next.")


class Run(WireModel):
    """The present run."""

    started_at: Time = Field(description="When its revision was seen.")
    size: Integer = Field(description="Replicas of production at the start of the run.")
    hooks_asked_at: Time | None = Field(None, description="When its rollback hooks were last asked.")
    paused_by: str | None = Field(None, description="Who had it paused; absent while it is not.")
    promoted_by: str | None = Field(None, description="Who had the rest of its plan taken as passed.")
    undoes: str | None = Field(None, description="The promoted revision that it takes back.")


class PostRollout(WireModel):
    """A call of the post-rollout hooks that is still owed."""

    since: Time = Field(description="When the run ended.")
    asked_at: Time | None = Field(None, description="When they were last called, without an answer.")


class Undelivered(WireModel):
    """An AlertProvider by which the last alert was not delivered."""

    provider: str = Field(description="Namespace and name of the AlertProvider.")
    generation: Integer = Field(0, description="Generation of the AlertProvider then.")
    reason: str = Field("", description="Why not, in one sentence.")


class Replicas(WireModel):
    """Wished and ready pods."""

    desired: Integer = Field(0, description="Wished size of production.")
    primary: Integer = Field(0, description="Ready pods of the primary.")
    canary: Integer = Field(0, description="Ready pods of the canary.")


class Traffic(WireModel):
    """Shares of requests as read back from the routes."""

    primary: Integer = Field(0, description="Percent to the primary.")
    canary: Integer = Field(0, description="Percent to the canary.")
    mirror: Integer = Field(0, description="Percent mirrored to the canary.")


class Check(WireModel):
    """The last result of one check."""

    name: str = Field(description="Name of the metric.")
    verdict: Literal["Pass", "Fail", "NoData", "Error"] = Field(description="The judgement.")
    value: Number | None = Field(None, description="Measured value.")
    threshold: str = Field("", description="Limits in words.")
    samples: Integer | None = Field(None, description="Requests in the window.")
    baseline: Number | None = Field(None, description="The primary's value.")
    at: Time | None = Field(None, description="Moment the query looked at.")
    message: str = Field("", description="One sentence.")


class Gate(WireModel):
    """One gate of the present step."""

    name: str = Field(description="Name of the gate.")
    type: str = Field("", description="Kind of gate.")
    state: str = Field("", description="Closed, Unknown (not answered), TimedOut or Approved.")
    since: Time | None = Field(None, description="Since when.")
    by: str | None = Field(None, description="Who decided.")
    message: str = Field("", description="One sentence.")


class LastCommand(WireModel):
    """The answer to the last command."""

    id: str = Field(description="Id of the command.")
    verb: str = Field(description="What was asked.")
    by: str = Field("", description="Who asked.")
    at: Time | None = Field(None, description="When it was answered.")
    result: str = Field("", description="What came of it.")


Conditions = Annotated[
    tuple[Condition, ...],
    Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
]


class CanaryStatus(WireModel):
    """Flagger's status and what we add to it."""

    phase: Phase = Field(Phase.NONE, description="Where the release stands.")
    canary_weight: Integer = Field(0, description="Weight of the plan; 0 outside Progressing.")
    failed_checks: Integer = Field(0, description="Failed checks of this run.")
    iterations: Integer = Field(0, description="Ticks of an A/B or blue/green release.")
    last_applied_spec: str | None = Field(None, description="Revision of the last run.")
    last_promoted_spec: str | None = Field(None, description="Revision last promoted.")
    last_transition_time: WholeSecond | None = Field(None, description="When the phase or weight changed.")
    tracked_configs: dict[str, str] | None = Field(
        None, description="ConfigMaps and Secrets the target refers to, to checksum; empty for one that is not pinned."
    )
    session_affinity_cookie: str | None = Field(
        None, description="Cookie of callers of the canary, while it has a weight."
    )
    primary_session_affinity_cookie: str | None = Field(
        None, description="What the cookies of all other callers begin with, while the canary has a weight."
    )
    previous_session_affinity_cookie: str | None = Field(
        None, description="Cookie of the callers that were last on a canary; it has no effect any more."
    )
    conditions: Conditions = Field((), description="Standard conditions.")
    observed_generation: Integer | None = Field(None, description="Spec generation this speaks of.")
    target: TargetSeen | None = Field(None, description="The target as last judged.")
    message: str | None = Field(None, description="One sentence a person can act on.")
    revision: Revisions | None = Field(None, description="Revision ids.")
    step: StepStatus | None = Field(None, description="The step of the present run.")
    traffic: Traffic | None = Field(None, description="Shares read back from the routes.")
    replicas: Replicas | None = Field(None, description="Wished and ready pods.")
    checks: tuple[Check, ...] = Field((), description="Last result per check.")
    gates: tuple[Gate, ...] = Field((), description="Gates of the present step.")
    last_command: LastCommand | None = Field(None, description="Answer to the last command.")
    traffic_since: Time | None = Field(
        None, description="Start of the present run's unbroken time with canary traffic."
    )
    queued_at: Time | None = Field(
        None, description="Since when a revision that may be released waits for other runs to end: its place."
    )
    drain: Drain | None = Field(None, description="A set that lost its traffic and is kept for now.")
    progress: Progress | None = Field(None, description="Last progress of a set towards readiness.")
    drift: tuple[Drift, ...] = Field((), description="Fields another manager keeps changing.")
    run: Run | None = Field(None, description="The present run.")
    post_rollout: PostRollout | None = Field(None, description="A call of the post-rollout hooks that is still owed.")
    undelivered: tuple[Undelivered, ...] = Field((), description="AlertProviders by which alerts do not arrive.")

    @property
    def revisions(self) -> Revisions:
        """Return the revision ids, empty ones when none is known."""
        return self.revision or Revisions()

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of type `kind`, or None."""
        return next((one for one in self.conditions if one.type == kind), None)


def to_wire(status: CanaryStatus) -> dict[str, Any]:
    """Return `status` as JSON values in camelCase, absent fields left out."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def parse(raw: Mapping[str, Any] | None) -> CanaryStatus:
    """Return the status in `raw`; an absent one is empty."""
    return CanaryStatus.model_validate(raw or {})
