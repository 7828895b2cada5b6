"""The MetricTemplate resource: whom a custom check asks, and what."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema

from canary.api.canary import ObjectMeta
from canary.api.credentials import SecretRef
from canary.api.groups import NATIVE_TEMPLATE
from canary.api.hooks import ADDRESS
from canary.api.query import form_rule
from canary.api.rules import NOTHING, Node, Rule, quoted
from canary.api.wire import Bool, Name, Text, WireModel, Word, without_nulls

PROMETHEUS, JSON = "prometheus", "json"
Language = Literal["promql", "url"]
PROVIDERS: dict[str, Language] = {PROMETHEUS: "promql", JSON: "url"}
"""The types that can be asked, with what their queries are written in."""
_AT = "spec.provider"
_Address = Annotated[Text, AfterValidator(ADDRESS.checked), WithJsonSchema(ADDRESS.schema(8192, 1))]
_Headers = Annotated[dict[str, Annotated[tuple[Text, ...], Field(max_length=16)]], Field(max_length=32)]


class MetricProvider(WireModel):
    """Who is asked."""

    type: Name = Field(description="`prometheus` or `json`.")
    address: _Address | None = Field(None, description="Base URL; may have a path.")
    headers: _Headers | None = Field(None, description="Name of a header to its values, sent along.")
    secret_ref: SecretRef | None = Field(
        None,
        description="Secret with any of `token` (bearer), `username` and `password` (basic), `ca.crt`, and `tls.crt` "
        "with `tls.key` (client certificate).",
    )
    insecure_skip_verify: Bool = Field(False, description="Do not check the server's certificate.")
    path: Word | None = Field(
        None, description="`json` only: where in the answer the number is, such as `data.items.0.value`."
    )
    region: Word | None = Field(None, description="Of cloudwatch, which is not supported.")

    @property
    def language(self) -> Language:
        """Return what the query is written in."""
        return PROVIDERS[self.type]


class MetricTemplateSpec(WireModel):
    """What a custom check asks."""

    provider: MetricProvider = Field(description="Who is asked.")
    query: Annotated[Text, Field(min_length=1)] = Field(
        description="PromQL; for `json` what follows the address. Values are written in double braces."
    )


class MetricTemplate(WireModel):
    """One MetricTemplate as read from the API server or a file."""

    api_version: str = NATIVE_TEMPLATE.api_version
    kind: str = NATIVE_TEMPLATE.kind
    metadata: ObjectMeta
    spec: MetricTemplateSpec

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Return the MetricTemplate in `raw`; pydantic.ValidationError when its spec is unusable."""
        return cls.model_validate(without_nulls(raw))


def provider_unknown(provider: Node) -> object:
    """Find a type of provider that cannot be asked."""
    return NOTHING if provider["type"] in PROVIDERS else provider["type"]


def address_missing(provider: Node) -> object:
    """Find a provider without an address."""
    return NOTHING if provider.get("address") or provider["type"] not in PROVIDERS else ""


def path_missing(provider: Node) -> object:
    """Find JSON in which nobody knows the number."""
    return "" if provider["type"] == JSON and not provider.get("path") else NOTHING


def path_unused(provider: Node) -> object:
    """Find a path for a provider that has its own form of answer."""
    return provider["path"] if provider["type"] == PROMETHEUS and provider.get("path") else NOTHING


TEMPLATE_RULES: tuple[Rule, ...] = (
    Rule(
        _AT,
        "type",
        provider_unknown,
        f"{_AT}.type is {{value}}, which is not supported; use {' or '.join(PROVIDERS)}",
        f"self.type in {list(PROVIDERS)}",
        quoted("self.type"),
        forbidden=True,
    ),
    Rule(
        _AT,
        "address",
        address_missing,
        f"{_AT}.address is not given; name the server, such as http://prometheus.istio-system:9090",
        f"has(self.address) || !(self.type in {list(PROVIDERS)})",
    ),
    Rule(
        _AT,
        "path",
        path_missing,
        f"{_AT}.path is not given; say where in the answer the number is, such as data.value",
        f"self.type != '{JSON}' || (has(self.path) && self.path != '')",
    ),
    Rule(
        _AT,
        "path",
        path_unused,
        f"{_AT}.path is {{value}} beside type {PROMETHEUS}, whose answers have one form; remove it",
        f"self.type != '{PROMETHEUS}' || !has(self.path) || self.path == ''",
        quoted("self.path"),
    ),
    form_rule("spec"),
)
