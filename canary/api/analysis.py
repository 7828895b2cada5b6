"""`spec.analysis`: the plan of a release and its checks."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from canary.api.duration import parse_duration
from canary.api.hooks import Alert, SessionAffinity, Webhook
from canary.api.match import Conditions, cohort_of
from canary.api.metric import Metric, Metrics, OnNoData
from canary.api.wire import Bool, Duration, Positive, Weight, WireModel

CanaryScale = Literal["Proportional", "Full"]
Percent = Annotated[int, Strict(), Field(ge=0, le=100)]
Share = Annotated[int, Strict(), Field(ge=1, le=100)]
StepWeights = Annotated[tuple[Share, ...], Field(max_length=100)]
Iterations = Annotated[int, Strict(), Field(ge=0, le=10000)]
DEFAULT_INTERVAL = "60s"


class Pause(WireModel):
    """A wait without a change of traffic."""

    duration: Duration | None = Field(None, description="How long; without it until the command resume.")


class Mirror(WireModel):
    """Copies of live requests sent to the canary."""

    percentage: Share = Field(100, description="Share of requests copied.")


class Soak(WireModel):
    """Time spent judging at an unchanged weight."""

    duration: Duration = Field(description="How long to stay.")


class Step(WireModel):
    """One entry of an explicit plan, with exactly one key."""

    set_weight: Share | None = Field(
        None, description="Share of requests for the canary, not lower than the one before."
    )
    pause: Pause | None = Field(None, description="Wait.")
    match: Conditions = Field(
        (), description="Cohort sent to the canary from here on: requests that meet any of the conditions."
    )
    mirror: Mirror | None = Field(None, description="Copy requests to the canary, before it has a weight.")
    analysis: Soak | None = Field(None, description="Stay and judge at each interval.")

    @property
    def cohort(self) -> tuple[dict[str, Any], ...]:
        """Return the conditions of the cohort as Istio writes them."""
        return cohort_of(self.match)


class Analysis(WireModel):
    """How traffic is moved and what stops it."""

    interval: Duration = Field(DEFAULT_INTERVAL, description="Time between ticks.")
    threshold: Positive = Field(1, description="Failed checks of one run that cause a rollback.")
    max_weight: Weight = Field(100, description="Weight of the last step made from stepWeight; 0 is 100.")
    step_weight: Weight | None = Field(
        None, description="Weight added at each step. Exactly one plan: this, stepWeights, iterations or steps."
    )
    step_weights: StepWeights = Field((), description="Weights of the steps, strictly rising; the last is the maximum.")
    step_weight_promotion: Weight | None = Field(
        None, description="Weight that goes back to the primary at each judged step of the promotion; 0 is all at once."
    )
    iterations: Iterations = Field(
        0, description="Ticks of an A/B release, or of a blue/green one when match is empty."
    )
    steps: Annotated[tuple[Step, ...], Field(max_length=64)] = Field((), description="Explicit plan.")
    mirror: Bool = Field(
        False, description="Copy requests to the canary before the first weight, or during all iterations."
    )
    mirror_weight: Weight | None = Field(None, description="Share of requests copied; 0 is 100.")
    match: Conditions = Field(
        (), description="Cohort of an A/B release: requests that meet any of the conditions; needs iterations."
    )
    primary_ready_threshold: Percent = Field(
        100,
        description="Percent of the primary's pods, rounded up, that are enough to count it as ready; one at least.",
    )
    canary_ready_threshold: Percent = Field(
        100, description="Percent of the canary's pods, rounded up, that are enough to count it as ready; one at least."
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
    webhooks: tuple[Webhook, ...] = Field((), max_length=32, description="HTTP calls that gate and judge it.")
    alerts: tuple[Alert, ...] = Field((), max_length=32, description="Who is told what happens.")
    session_affinity: SessionAffinity | None = Field(
        None, description="Cookies that keep a caller on one side while the canary has a weight."
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
    def cohort(self) -> tuple[dict[str, Any], ...]:
        """Return the conditions of the A/B release's cohort as Istio writes them."""
        return cohort_of(self.match)

    @property
    def top_weight(self) -> int:
        """Return the weight of the last step."""
        return self.step_weights[-1] if self.step_weights else self.max_weight or 100

    def on_no_data_for(self, metric: Metric) -> OnNoData:
        """Return what `metric` does to the step when it has no data."""
        return metric.on_no_data or self.on_no_data
