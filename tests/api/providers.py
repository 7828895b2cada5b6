"""AlertProvider manifests for the tests of the wire models."""

from typing import Any

import yaml

from .manifests import ABSENT

PROVIDER = """
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata:
  name: on-call
  namespace: istioinaction
spec:
  type: slack
  channel: on-call-alerts
  username: flagger
  address: https://hooks.slack.com/services/YOUR/SLACK/WEBHOOK
  proxy: http://my-http-proxy.com
  secretRef:
    name: on-call-url
"""
"""As Flagger's documentation has it."""


def provider(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the AlertProvider with fields of its spec replaced, or removed when ABSENT."""
    manifest: dict[str, Any] = yaml.safe_load(PROVIDER)
    spec = {**manifest["spec"], **(changes or {})}
    return {**manifest, "spec": {name: value for name, value in spec.items() if value is not ABSENT}}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    (
        {"type": "pagerduty"},
        "spec.type",
        'spec.type is "pagerduty", which is not supported; use slack, msteams, discord, rocket, gchat or webhook',
    ),
    (
        {"address": ABSENT, "secretRef": ABSENT},
        "spec.address",
        "spec.address is not given; name it, or a Secret that holds it as secretRef",
    ),
    (
        {"address": "hooks.example/team"},
        "spec.address",
        'spec.address is "hooks.example/team"; it must be an address that begins with http:// or https://',
    ),
    (
        {"proxy": "my-http-proxy.com"},
        "spec.proxy",
        'spec.proxy is "my-http-proxy.com"; it must be an address that begins with http:// or https://',
    ),
]

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"secretRef": ABSENT, "proxy": ABSENT},
    {"address": ABSENT},
    *({"type": kind, "channel": "", "username": ""} for kind in ("msteams", "discord", "rocket", "gchat", "webhook")),
]
