"""What may spoil a release without standing in its way: each warning is one small function, all found are told."""

from __future__ import annotations

from collections.abc import Callable

from canary.api.warnings import Caution
from canary.core.view import View
from canary.core.warnings.alerts import alerts_undelivered
from canary.core.warnings.checks import check_unanswerable
from canary.core.warnings.injection import (
    namespace_not_injected,
    pods_still_without_sidecar,
    pods_without_sidecar,
)
from canary.core.warnings.plan import (
    nothing_to_judge,
    retries_outlast_timeout,
    route_fields_unused,
    service_fields_unused,
)
from canary.core.warnings.policies import port_unprefixed, rule_elsewhere, tls_disabled
from canary.core.warnings.routes import (
    delegate_has_hosts,
    gateway_missing,
    gateway_not_routed,
    host_routed_twice,
    not_delegated_to,
    route_bypassed,
    route_hidden,
    sidecar_hides_host,
)

Finder = Callable[[View], Caution | None]

WARNINGS: tuple[Finder, ...] = (
    namespace_not_injected,
    pods_without_sidecar,
    pods_still_without_sidecar,
    gateway_missing,
    gateway_not_routed,
    delegate_has_hosts,
    not_delegated_to,
    host_routed_twice,
    route_bypassed,
    route_hidden,
    sidecar_hides_host,
    tls_disabled,
    port_unprefixed,
    nothing_to_judge,
    check_unanswerable,
    alerts_undelivered,
    rule_elsewhere,
    retries_outlast_timeout,
    route_fields_unused,
    service_fields_unused,
)
"""In the order of how much they spoil: the first one found names the condition."""


def find_warnings(view: View) -> tuple[Caution, ...]:
    """Return everything that may spoil a release; nothing without a spec that can be used."""
    if view.snapshot.canary is None or view.snapshot.spec is None:
        return ()
    found = (finder(view) for finder in WARNINGS)
    return (*(one for one in found if one is not None), *view.snapshot.cautions)
