"""The Canary resource: spec, metadata and how to read one."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema

from canary.api.analysis import Analysis
from canary.api.duration import parse_duration
from canary.api.groups import NATIVE
from canary.api.service import Service
from canary.api.status import CanaryStatus
from canary.api.wire import (
    Bool,
    DurationOrZero,
    Form,
    Integer,
    Labels,
    Name,
    Positive,
    Text,
    Time,
    WireModel,
    Word,
    without_nulls,
)

SERVER = Form("^(https?://[^ ]+)?$", "an address that begins with http:// or https://")
_Server = Annotated[Text, AfterValidator(SERVER.checked), WithJsonSchema(SERVER.schema(8192))]


class TargetRef(WireModel):
    """The workload that is released."""

    api_version: Name = Field(description="`apps/v1`.")
    kind: Name = Field(description="`Deployment` or `DaemonSet`.")
    name: Name = Field(description="Name of the workload, in the Canary's namespace.")


class ObjectRef(WireModel):
    """Another object of the same namespace; no effect with Istio."""

    api_version: Name = Field(description="Group and version.")
    kind: Name = Field(description="Kind.")
    name: Name = Field(description="Name.")


class ScalerReplicas(WireModel):
    """Bounds of the autoscaler while the Canary is there, instead of its own."""

    min_replicas: Positive | None = Field(None, description="Smallest size of production.")
    max_replicas: Positive | None = Field(None, description="Largest size of production.")


class AutoscalerRef(WireModel):
    """The autoscaler of the target: it scales the primary while the Canary is there."""

    api_version: Name = Field(description="Group and version.")
    kind: Name = Field(description="`HorizontalPodAutoscaler` or `ScaledObject`.")
    name: Name = Field(description="Name of the autoscaler.")
    primary_scaler_queries: Labels | None = Field(
        None, description="Name of a KEDA trigger to its query while the Canary is there."
    )
    primary_scaler_replicas: ScalerReplicas | None = Field(
        None, description="Bounds while the Canary is there, instead of the autoscaler's own."
    )


class Promotion(WireModel):
    """How the primary is replaced after the last step."""

    strategy: Literal["CutOver", "InPlace"] = Field(
        "CutOver", description="Roll the primary without traffic; or InPlace, under its share, by its own strategy."
    )
    bake: DurationOrZero = Field(
        "0s", description="Time at 100 % on the canary, with checks, before the primary is touched."
    )

    @property
    def bake_time(self) -> timedelta:
        """Return the time at 100 % on the canary before the primary is touched."""
        return parse_duration(self.bake or "0s")


class CanarySpec(WireModel):
    """What a person asks for."""

    provider: Word | None = Field(None, description="`istio` or empty.")
    metrics_server: _Server | None = Field(
        None,
        description="Prometheus that checks without a MetricTemplate ask; default is the controller's.",
    )
    target_ref: TargetRef = Field(description="The Deployment or DaemonSet that is released. Immutable.")
    autoscaler_ref: AutoscalerRef | None = Field(None, description="The autoscaler of the target.")
    ingress_ref: ObjectRef | None = Field(None, description="NGINX only; no effect with Istio.")
    route_ref: ObjectRef | None = Field(None, description="APISIX only; no effect with Istio.")
    upstream_ref: ObjectRef | None = Field(None, description="Gloo only; no effect with Istio.")
    service: Service = Field(description="The apex Service and its routes.")
    analysis: Analysis = Field(description="How traffic is moved and what stops it.")
    promotion: Promotion = Field(Promotion(), description="How the primary is replaced.")
    progress_deadline_seconds: Positive = Field(
        600, description="Seconds without progress of a set before the run ends."
    )
    skip_analysis: Bool = Field(False, description="Promote without steps and checks.")
    revert_on_deletion: Bool = Field(False, description="Ignored: deletion is always safe.")
    suspend: Bool = Field(False, description="Hold a run where it is and begin no other.")
    paused: Bool = Field(False, description="The same as suspend.")

    @property
    def progress_deadline(self) -> timedelta:
        """Return the time without progress after which a run ends."""
        return timedelta(seconds=self.progress_deadline_seconds)

    @property
    def apex(self) -> str:
        """Return the name of the apex Service."""
        return self.service.apex_name(self.target_ref.name)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the hosts of the VirtualService."""
        return self.service.route_hosts(self.apex)


class ObjectMeta(WireModel):
    """The part of a Canary's metadata that is read."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: Integer = 0
    resource_version: str = ""
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Canary(WireModel):
    """One Canary as read from the API server or a file."""

    api_version: str = NATIVE.api_version
    kind: str = NATIVE.kind
    metadata: ObjectMeta
    spec: CanarySpec
    status: CanaryStatus = CanaryStatus()

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Return the Canary in `raw`; pydantic.ValidationError when its spec is unusable."""
        return cls.model_validate(without_nulls(raw))
