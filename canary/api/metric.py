"""`spec.analysis.metrics[]`: the checks of a step."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from canary.api.duration import parse_duration
from canary.api.wire import Duration, Labels, Name, Number, Positive, Text, WireModel, Word

SUCCESS_RATE = "request-success-rate"
DURATION_P99 = "request-duration"
BUILT_IN = (SUCCESS_RATE, DURATION_P99)
DEFAULT_WINDOW = timedelta(minutes=1)

OnNoData = Literal["Hold", "Fail", "Pass"]
Reporter = Literal["auto", "source", "destination"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Inclusive limits of a healthy value; None is no limit."""

    low: float | None
    high: float | None


class ThresholdRange(WireModel):
    """Inclusive limits of a healthy value."""

    min: Number | None = Field(None, description="Smallest healthy value.")
    max: Number | None = Field(None, description="Largest healthy value.")
    interval: Duration | None = Field(None, description="Window of the query; may stand beside thresholdRange instead.")


class TemplateRef(WireModel):
    """Name a MetricTemplate."""

    name: Name = Field(description="Name of the MetricTemplate.")
    namespace: Word | None = Field(None, description="Its namespace; default is the Canary's.")


class Metric(WireModel):
    """One check, asked at every tick of a step."""

    name: Name = Field(
        description="`request-success-rate` (percent), `request-duration` (P99, ms); any with `templateRef` or `query`."
    )
    interval: Duration | None = Field(None, description="Window of the query; default 1m.")
    threshold: Number | None = Field(
        None, description="Old form: the minimum for request-success-rate, the maximum for others."
    )
    threshold_range: ThresholdRange | None = Field(None, description="Limits of a healthy value.")
    query: Text | None = Field(None, description="PromQL of a custom check; values are written in double braces.")
    template_ref: TemplateRef | None = Field(
        None, description="MetricTemplate that says whom a custom check asks, and what."
    )
    template_variables: Labels | None = Field(None, description="Values that the query names as `variables.KEY`.")
    min_samples: Positive = Field(1, description="Fewer requests in the window is no data; not for custom checks.")
    on_no_data: OnNoData | None = Field(None, description="Overrides `analysis.onNoData`.")
    reporter: Reporter = Field("auto", description="Which Istio reporter to ask; `auto` counts the worse of both.")

    @property
    def custom(self) -> bool:
        """Return whether the user says what is asked."""
        return self.template_ref is not None or bool(self.query)

    @property
    def written_window(self) -> str:
        """Return how far back the query looks as the user wrote it, empty when nobody did."""
        inside = self.threshold_range.interval if self.threshold_range else None
        return self.interval or inside or ""

    @property
    def window(self) -> timedelta:
        """Return how far back the query looks."""
        return parse_duration(self.written_window) if self.written_window else DEFAULT_WINDOW

    @property
    def bounds(self) -> Bounds:
        """Return the limits of a healthy value, the old `threshold` translated."""
        if self.threshold_range is not None:
            return Bounds(self.threshold_range.min, self.threshold_range.max)
        if not self.threshold:
            return Bounds(None, None)
        if self.name == SUCCESS_RATE:
            return Bounds(self.threshold, None)
        return Bounds(None, self.threshold)


Metrics = Annotated[tuple[Metric, ...], Field(max_length=32)]
