"""Where credentials come from: Secrets that manifests name."""

from pydantic import Field

from canary.api.wire import Name, WireModel


class SecretRef(WireModel):
    """Name a Secret in the namespace of whoever names it."""

    name: Name = Field(description="Name of the Secret.")
