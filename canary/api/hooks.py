"""Parts of `spec.analysis` that speak to others: webhooks, alerts, cookies."""

from typing import Literal

from pydantic import Field

from canary.api.wire import Bool, Count, Duration, Labels, Name, Text, WireModel, Word

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


class Webhook(WireModel):
    """One HTTP call at a point of the release. Not supported yet."""

    name: Name = Field(description="Name of the hook.")
    type: WebhookType = Field("", description="When it is called; empty is `rollout`.")
    url: Text = Field(description="Address to call.")
    timeout: Duration | None = Field(None, description="Time-out of one attempt.")
    retries: Count = Field(0, description="Attempts after the first.")
    disable_tls: Bool = Field(False, alias="disableTLS", description="Do not check the server's certificate.")
    mute_alert: Bool = Field(False, description="Send no alert while waiting for approval.")
    metadata: Labels | None = Field(None, description="Values sent along.")


class ProviderRef(WireModel):
    """Name an AlertProvider."""

    name: Name = Field(description="Name of the AlertProvider.")
    namespace: Word | None = Field(None, description="Its namespace; default is the Canary's.")


class Alert(WireModel):
    """One receiver of alerts. Not supported yet."""

    name: Name = Field(description="Name of the alert.")
    severity: Literal["", "info", "warn", "error"] = Field("", description="Lowest severity sent.")
    provider_ref: ProviderRef = Field(description="AlertProvider to send through.")


class SessionAffinity(WireModel):
    """Cookies that keep a caller on one side. Not supported yet."""

    cookie_name: Name = Field(description="Cookie of callers that saw the canary.")
    primary_cookie_name: Word | None = Field(None, description="Cookie of callers of the primary.")
    domain: Word | None = Field(None, description="Domain of the cookie.")
    http_only: Bool = Field(False, description="Hide the cookie from scripts.")
    max_age: Count | None = Field(None, description="Seconds a cookie lives; default 86400.")
    partitioned: Bool = Field(False, description="Partition the cookie by top-level site.")
    path: Word | None = Field(None, description="Path of the cookie.")
    same_site: Literal["", "Strict", "Lax", "None"] = Field("", description="SameSite of the cookie.")
    secure: Bool = Field(False, description="Send the cookie over TLS only.")
