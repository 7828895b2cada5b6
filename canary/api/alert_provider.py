"""The AlertProvider resource: where alerts are sent, and in whose form."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, WithJsonSchema

from canary.api.canary import ObjectMeta
from canary.api.groups import NATIVE_PROVIDER
from canary.api.hooks import ADDRESS
from canary.api.rules import NOTHING, Node, Rule, quoted
from canary.api.wire import Name, Text, WireModel, Word, without_nulls

SLACK, TEAMS, DISCORD, ROCKET, GOOGLE_CHAT, WEBHOOK = "slack", "msteams", "discord", "rocket", "gchat", "webhook"
FORMS = (SLACK, TEAMS, DISCORD, ROCKET, GOOGLE_CHAT, WEBHOOK)
"""The receivers whose form of a message is known."""
TOKEN, SECRET_ADDRESS = "token", "address"
"""What a Secret of an AlertProvider may hold."""
_Address = Annotated[Text, AfterValidator(ADDRESS.checked), WithJsonSchema(ADDRESS.schema(8192, 1))]


class AddressSecret(WireModel):
    """Name a Secret in the provider's namespace."""

    name: Name = Field(description="Name of the Secret.")


class AlertProviderSpec(WireModel):
    """Where alerts are sent."""

    type: Name = Field(description="`slack`, `msteams`, `discord`, `rocket`, `gchat` or `webhook`.")
    channel: Word | None = Field(None, description="Channel of slack, discord and rocket; default is general.")
    username: Word | None = Field(None, description="Name that slack, discord and rocket show; default is canary.")
    address: _Address | None = Field(None, description="Address to POST to, unless the Secret has one.")
    proxy: _Address | None = Field(None, description="HTTP proxy by which it is reached.")
    secret_ref: AddressSecret | None = Field(
        None, description="Secret with `address`, and for a bot of slack `token`; read when an alert is sent."
    )


class AlertProvider(WireModel):
    """One AlertProvider as read from the API server or a file."""

    api_version: str = NATIVE_PROVIDER.api_version
    kind: str = NATIVE_PROVIDER.kind
    metadata: ObjectMeta
    spec: AlertProviderSpec

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Return the AlertProvider in `raw`; pydantic.ValidationError when its spec is unusable."""
        return cls.model_validate(without_nulls(raw))


def type_unknown(spec: Node) -> object:
    """Find a receiver whose form of a message nobody knows here."""
    return NOTHING if spec["type"] in FORMS else spec["type"]


def address_missing(spec: Node) -> object:
    """Find a provider without an address and without a Secret that may hold one."""
    return NOTHING if spec.get("address") or spec.get("secretRef") else ""


PROVIDER_RULES: tuple[Rule, ...] = (
    Rule(
        "spec",
        "type",
        type_unknown,
        f"spec.type is {{value}}, which is not supported; use {', '.join(FORMS[:-1])} or {FORMS[-1]}",
        f"self.type in {list(FORMS)}",
        quoted("self.type"),
        forbidden=True,
    ),
    Rule(
        "spec",
        "address",
        address_missing,
        "spec.address is not given; name it, or a Secret that holds it as secretRef",
        "has(self.address) || has(self.secretRef)",
    ),
)
