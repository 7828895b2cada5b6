"""`spec.service`: the apex Service and the routes made for it."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, Strict, StringConstraints, WithJsonSchema

from canary.api.connections import is_tcp
from canary.api.wire import (
    PRESERVE,
    Bool,
    Form,
    IstioDuration,
    Labels,
    Name,
    Opaque,
    Port,
    PortRef,
    Text,
    WireModel,
    Word,
)

# Colons stand in IPv6 addresses alone.
HOST = Form("^([^/:]+|[0-9A-Fa-f:.]+)$", "a host without scheme, port and path, such as shop.example.com or *.shop.io")
Host = Annotated[str, StringConstraints(max_length=255), AfterValidator(HOST.checked), WithJsonSchema(HOST.schema(255))]


class Metadata(WireModel):
    """Labels and annotations put on a generated object."""

    labels: Labels | None = Field(None, description="Labels to add.")
    annotations: Labels | None = Field(None, description="Annotations to add.")


class UnmanagedMetadata(WireModel):
    """Keys on the generated Services that belong to others."""

    labels: tuple[Word, ...] = Field((), max_length=64, description="Label keys left alone.")
    annotations: tuple[Word, ...] = Field((), max_length=64, description="Annotation keys left alone.")


class Rewrite(WireModel):
    """Rewriting of a request before it is forwarded."""

    uri: Text | None = Field(None, description="New path, or new prefix of it.")
    authority: Text | None = Field(None, description="New Host header.")
    type: Word | None = Field(None, description="Gateway API only; no effect with Istio.")


class Retries(WireModel):
    """Retries of the generated route."""

    attempts: Annotated[int, Strict(), Field(ge=0, le=1000)] | None = Field(
        None, description="Number of retries of one request."
    )
    per_try_timeout: IstioDuration | None = Field(None, description="Time-out of one attempt, as Istio writes it.")
    retry_on: Text | None = Field(None, description="Conditions of a retry, separated by commas.")


class Abort(WireModel):
    """An answer in the service's place: Istio's HTTPFaultInjection.Abort."""

    model_config = ConfigDict(extra="allow", json_schema_extra={PRESERVE: True})

    http_status: Annotated[int, Strict(), Field(ge=200, le=599)] | None = Field(None, description="Status of it.")


class Delay(WireModel):
    """A wait before a request goes on: Istio's HTTPFaultInjection.Delay."""

    model_config = ConfigDict(extra="allow", json_schema_extra={PRESERVE: True})

    fixed_delay: IstioDuration | None = Field(None, description="How long, as Istio writes it.")


class Fault(WireModel):
    """Istio's HTTPFaultInjection, carried as it stands."""

    model_config = ConfigDict(extra="allow", json_schema_extra={PRESERVE: True})

    abort: Abort | None = Field(None, description="Answers in the service's place.")
    delay: Delay | None = Field(None, description="Waits before requests go on.")

    @property
    def wire(self) -> dict[str, Any]:
        """Return it as it was written."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class VirtualServiceRef(WireModel):
    """A VirtualService of the user's, whose routes to the apex are shared out where it is."""

    name: Name = Field(description="Name of the VirtualService.")
    namespace: Word | None = Field(None, description="Its namespace; default is the Canary's.")


class Service(WireModel):
    """The apex Service, its port, and what every generated route carries."""

    name: Word | None = Field(None, description="Name of the apex Service; default is the target's name. Immutable.")
    port: Port = Field(description="Port of the apex Service.")
    port_name: Word = Field("http", description="Name of that port.")
    target_port: PortRef | None = Field(
        None, description="Container port, number or name; default is the port of the Service."
    )
    app_protocol: Word | None = Field(
        None,
        description="Application protocol of the port; with `tcp` connections are shared out, and nothing that takes "
        "requests can be asked for.",
    )
    traffic_distribution: Literal["", "PreferClose", "PreferSameZone", "PreferSameNode"] | None = Field(
        None, description="Traffic distribution of the Services that are made; an apex Service of yours keeps its own."
    )
    port_discovery: Bool = Field(
        False,
        description="Add the target's other container ports to the Services that are made; an apex Service of yours "
        "keeps its own, and the other two have those.",
    )
    headless: Bool = Field(False, description="Make headless Services. Not supported yet.")
    timeout: IstioDuration | None = Field(None, description="Time-out of every generated route, as Istio writes it.")
    backend_timeout: Word | None = Field(None, description="Gateway API only; no effect with Istio.")
    gateways: tuple[Text, ...] = Field(
        ("mesh",),
        max_length=64,
        description="Gateways of the VirtualService; `mesh` when empty, not added otherwise.",
    )
    gateway_refs: tuple[Opaque, ...] = Field((), max_length=32, description="Gateway API only; no effect with Istio.")
    hosts: tuple[Host, ...] = Field(
        (),
        max_length=64,
        description="Hosts of the VirtualService; the apex name is added unless it or `*` is listed.",
    )
    delegation: Bool = Field(
        False,
        description="Make a VirtualService without hosts and gateways, to which one of yours delegates.",
    )
    virtual_service: VirtualServiceRef | None = Field(
        None,
        description="The VirtualService to share out, of any namespace; default is one of the Canary's namespace for "
        "the apex, or one that is made. Immutable.",
    )
    traffic_policy: Opaque | None = Field(
        None, description="Istio TrafficPolicy of both DestinationRules, before the policy of a rule for the apex."
    )
    match: tuple[Opaque, ...] = Field(
        (),
        max_length=64,
        description="Istio HTTPMatchRequests put on every generated route; with `appProtocol: tcp` L4MatchAttributes.",
    )
    rewrite: Rewrite | None = Field(None, description="Rewriting put on every generated route.")
    retries: Retries | None = Field(None, description="Retries put on every generated route.")
    headers: Opaque | None = Field(None, description="Istio header operations put on every generated route.")
    cors_policy: Opaque | None = Field(None, description="Istio CorsPolicy put on every generated route.")
    fault: Fault | None = Field(None, description="Istio HTTPFaultInjection put on every generated route.")
    mirror: tuple[Opaque, ...] = Field((), max_length=16, description="Gateway API only; no effect with Istio.")
    mesh_name: Word | None = Field(None, description="App Mesh only; no effect with Istio.")
    backends: tuple[Text, ...] = Field((), max_length=64, description="App Mesh only; no effect with Istio.")
    apex: Metadata | None = Field(
        None, description="Metadata of the apex Service and of the VirtualService, where they are made."
    )
    primary: Metadata | None = Field(None, description="Metadata of the primary Service.")
    canary: Metadata | None = Field(None, description="Metadata of the canary Service.")
    unmanaged_metadata: UnmanagedMetadata | None = Field(
        None, description="Keys of labels and annotations that keep the values they have on the Services."
    )

    def apex_name(self, target: str) -> str:
        """Return the name of the apex Service in front of the Deployment `target`."""
        return self.name or target

    @property
    def carries_connections(self) -> bool:
        """Return whether connections are shared out instead of requests."""
        return is_tcp(self.app_protocol)

    @property
    def pod_port(self) -> int | str:
        """Return the container port traffic goes to, number or name."""
        return self.target_port or self.port

    @property
    def route_gateways(self) -> tuple[str, ...]:
        """Return the gateways of the VirtualService, none of one for delegation."""
        return () if self.delegation else self.gateways or ("mesh",)

    def route_hosts(self, apex: str) -> tuple[str, ...]:
        """Return the hosts of the VirtualService, the apex among them unless `*` is; none of one for delegation."""
        if self.delegation:
            return ()
        if apex in self.hosts or "*" in self.hosts:
            return self.hosts
        return (*self.hosts, apex)
