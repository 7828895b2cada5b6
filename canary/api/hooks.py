"""Parts of `spec.analysis` that speak to others: webhooks, alerts, cookies."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from canary.api.credentials import SecretRef
from canary.api.wire import Bool, Count, Duration, Form, Labels, Name, Text, WireModel, Word

WebhookType = Literal[
    "",
    "confirm-rollout",
    "pre-rollout",
    "rollout",
    "confirm-traffic-increase",
    "confirm-promotion",
    "post-rollout",
    "rollback",
    "event",
]

DEFAULT_MAX_AGE = 86400
# Percent signs would be Envoy's, and semicolons end a field of a cookie.
COOKIE_NAME = Form("^[A-Za-z0-9!#$&*+.^_|~-]*$", "the name of a cookie: letters, digits and any of !#$&*+.^_|~-")
COOKIE_DOMAIN = Form("^[A-Za-z0-9.-]*$", "a domain, such as example.com")
COOKIE_PATH = Form("^(/[!-$&-:<-~]*)?$", "a path that begins with / and has no space, percent sign or semicolon")
_CookieName = Annotated[Name, AfterValidator(COOKIE_NAME.checked), WithJsonSchema(COOKIE_NAME.schema(253, 1))]
_PrimaryName = Annotated[Word, AfterValidator(COOKIE_NAME.checked), WithJsonSchema(COOKIE_NAME.schema(253))]
_CookieDomain = Annotated[Word, AfterValidator(COOKIE_DOMAIN.checked), WithJsonSchema(COOKIE_DOMAIN.schema(253))]
_CookiePath = Annotated[Word, AfterValidator(COOKIE_PATH.checked), WithJsonSchema(COOKIE_PATH.schema(253))]


ADDRESS = Form("^https?://[^ ]+$", "an address that begins with http:// or https://")
_Url = Annotated[Text, AfterValidator(ADDRESS.checked), WithJsonSchema(ADDRESS.schema(8192, 1))]


HEADER_NAME = Form("^[A-Za-z0-9_.-]+$", "the name of a header: letters, digits and any of _.-")
_HeaderName = Annotated[Text, AfterValidator(HEADER_NAME.checked), WithJsonSchema(HEADER_NAME.schema(128, 1))]


class Header(WireModel):
    """One header of a request."""

    name: _HeaderName = Field(description="Name of the header.")
    value: Text = Field(description="Its value; what is secret belongs into secretRef.")


class Webhook(WireModel):
    """One HTTP call at a point of the release."""

    name: Name = Field(description="Name of the hook.")
    type: WebhookType = Field("", description="When it is called; empty is `rollout`.")
    url: _Url = Field(description="Address to POST to.")
    timeout: Duration | None = Field(None, description="Time-out of one attempt.")
    gate_timeout: Duration | None = Field(
        None,
        description="How long a `confirm-` hook may keep its gate shut before `onTimeout` is done.",
    )
    on_timeout: Literal["", "Hold", "Reject", "Approve"] = Field(
        "", description="What is done with a gate shut for gateTimeout; empty is `Hold`: an event tells of it."
    )
    retries: Count = Field(0, description="Attempts after the first.")
    disable_tls: Bool = Field(False, alias="disableTLS", description="Do not check the server's certificate.")
    headers: tuple[Header, ...] = Field((), max_length=16, description="Headers sent along.")
    secret_ref: SecretRef | None = Field(
        None,
        description="Secret of the Canary's namespace with any of `token` (bearer), `username` and `password` (basic), "
        "`hmac` (key of the signature), `ca.crt`, and `tls.crt` with `tls.key` (client certificate).",
    )
    mute_alert: Bool = Field(False, description="Send no alert while waiting for approval.")
    metadata: Labels | None = Field(None, description="Values sent along.")


class ProviderRef(WireModel):
    """Name an AlertProvider."""

    name: Name = Field(description="Name of the AlertProvider.")
    namespace: Word | None = Field(None, description="Its namespace; default is the Canary's.")


class Alert(WireModel):
    """One receiver of alerts."""

    name: Name = Field(description="Name of the alert.")
    severity: Literal["", "info", "warn", "error"] = Field("", description="Lowest severity sent; empty is `info`.")
    provider_ref: ProviderRef = Field(description="AlertProvider to send through.")


class SessionAffinity(WireModel):
    """Cookies that keep a caller on one side while the canary has a weight."""

    cookie_name: _CookieName = Field(description="Cookie of callers of the canary.")
    primary_cookie_name: _PrimaryName | None = Field(
        None, description="Cookie of callers of the primary; default is cookieName with -primary behind it."
    )
    domain: _CookieDomain | None = Field(None, description="Domain of the cookies.")
    http_only: Bool = Field(False, description="Hide the cookies from scripts.")
    max_age: Count | None = Field(None, description="Seconds the cookies live; 0 is 86400.")
    partitioned: Bool = Field(False, description="Partition the cookies by top-level site; needs secure.")
    path: _CookiePath | None = Field(None, description="Path of the cookies; default is /.")
    same_site: Literal["", "Strict", "Lax", "None"] = Field(
        "", description="SameSite of the cookies; None needs secure."
    )
    secure: Bool = Field(False, description="Send the cookies over TLS only.")

    @property
    def primary_name(self) -> str:
        """Return the name of the cookie of callers of the primary."""
        return self.primary_cookie_name or f"{self.cookie_name}-primary"

    @property
    def lifetime(self) -> int:
        """Return how many seconds the cookies live."""
        return self.max_age or DEFAULT_MAX_AGE
