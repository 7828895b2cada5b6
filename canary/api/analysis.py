"""`spec.analysis`: the plan of a release and its checks."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, Strict

from canary.api.duration import parse_duration
from canary.api.hooks import Alert, SessionAffinity, Webhook
from canary.api.metric import Metric, Metrics, OnNoData
from canary.api.wire import Bool, Count, Duration, Opaque, Positive, Weight, WireModel

CanaryScale = Literal["Proportional", "Full"]
Percent = Annotated[int, Strict(), Field(ge=0, le=100)]
StepWeights = Annotated[tuple[Annotated[int, Strict(), Field(ge=1, le=100)], ...], Field(max_length=100)]
DEFAULT_INTERVAL = "60s"


class Pause(WireModel):
    """A wait: for a person, or for a time."""

    duration: Duration | None = Field(None, description="How long; without it until resumed.")


class Mirror(WireModel):
    """Copies of live requests sent to the canary."""

    percentage: Weight = Field(100, description="Share of requests copied.")


class Soak(WireModel):
    """Time spent judging at an unchanged weight."""

    duration: Duration = Field(description="How long to stay.")


class Step(WireModel):
    """One entry of an explicit plan, with exactly one key. Not supported yet."""

    set_weight: Weight | None = Field(None, description="Share of requests for the canary.")
    pause: Pause | None = Field(None, description="Wait.")
    match: tuple[Opaque, ...] = Field((), max_length=16, description="Cohort sent to the canary.")
    mirror: Mirror | None = Field(None, description="Copy requests to the canary.")
    analysis: Soak | None = Field(None, description="Stay and judge at each interval.")


class Analysis(WireModel):
    """How traffic is moved and what stops it."""

    interval: Duration = Field(DEFAULT_INTERVAL, description="Time between ticks.")
    threshold: Positive = Field(1, description="Failed checks of one run that cause a rollback.")
    max_weight: Weight = Field(100, description="Weight of the last step made from stepWeight; 0 is 100.")
    step_weight: Weight | None = Field(
        None, description="Weight added at each step. Exactly one plan: this, stepWeights or iterations."
    )
    step_weights: StepWeights = Field((), description="Weights of the steps, strictly rising; the last is the maximum.")
    step_weight_promotion: Weight | None = Field(
        None, description="Weight shifted back at each step of the promotion. Not supported yet."
    )
    iterations: Count = Field(0, description="Ticks of an A/B or blue/green release. Not supported yet.")
    steps: Annotated[tuple[Step, ...], Field(max_length=64)] = Field(
        (), description="Explicit plan. Not supported yet."
    )
    mirror: Bool = Field(False, description="Mirror before the first step. Not supported yet.")
    mirror_weight: Weight | None = Field(None, description="Share of requests mirrored. Not supported yet.")
    match: tuple[Opaque, ...] = Field((), max_length=16, description="Cohort of an A/B release. Not supported yet.")
    primary_ready_threshold: Percent = Field(
        100, description="Percent of the primary's pods that must be ready; only 100 for now."
    )
    canary_ready_threshold: Percent = Field(
        100, description="Percent of the canary's pods that must be ready; only 100 for now."
    )
    canary_scale: CanaryScale = Field(
        "Proportional",
        description="Size of the canary: the share of the primary its weight asks for, or all of it.",
    )
    drain_seconds: Annotated[int, Strict(), Field(ge=0, le=3600)] = Field(
        15, description="Seconds a set without traffic is kept before it shrinks or rolls."
    )
    on_no_data: OnNoData = Field("Hold", description="What a check without data does to the step.")
    metrics: Metrics = Field((), description="Checks of every step.")
    webhooks: tuple[Webhook, ...] = Field((), max_length=32, description="HTTP calls. Not supported yet.")
    alerts: tuple[Alert, ...] = Field((), max_length=32, description="Receivers of alerts. Not supported yet.")
    session_affinity: SessionAffinity | None = Field(
        None, description="Cookies that keep a caller on one side. Not supported yet."
    )

    @property
    def period(self) -> timedelta:
        """Return the time between ticks."""
        return parse_duration(self.interval or DEFAULT_INTERVAL)

    @property
    def drain(self) -> timedelta:
        """Return how long a set without traffic is kept."""
        return timedelta(seconds=self.drain_seconds)

    @property
    def top_weight(self) -> int:
        """Return the weight of the last step."""
        return self.step_weights[-1] if self.step_weights else self.max_weight or 100

    def on_no_data_for(self, metric: Metric) -> OnNoData:
        """Return what `metric` does to the step when it has no data."""
        return metric.on_no_data or self.on_no_data
