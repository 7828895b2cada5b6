"""Alerts that nobody gets: releases go on, and nobody is told of their end."""

from __future__ import annotations

from canary.api.warnings import Caution
from canary.core.deliveries import undelivered
from canary.core.objects import Ref
from canary.core.snapshot import Provider
from canary.core.view import View

REASON = "AlertsUndelivered"


def alerts_undelivered(view: View) -> Caution | None:
    """Find an AlertProvider that is missing or wrong, or by which the last alert did not arrive."""
    for ref, provider in sorted(view.snapshot.providers.items()):
        if why := _unusable(ref, provider):
            return Caution(REASON, f"alerts cannot be sent: {why}")
    failing = undelivered(view.snapshot, view.status).undelivered
    if failing:
        return Caution(REASON, f"the last alert did not arrive: {failing[0].reason}")
    return None


def _unusable(ref: Ref, provider: Provider) -> str:
    if provider.spec is not None:
        return ""
    if provider.refusals:
        return f"{ref}: {'; '.join(provider.refusals)}"
    if not provider.seen:
        cure = "let the controller watch that namespace, and allow it to get, list and watch alertproviders"
        crd = f"apply the CustomResourceDefinition alertproviders.{ref.resource.group}"
        return f"{ref} cannot be seen; {crd}, {cure} of that group"
    return f"{ref} not found; create it, or correct providerRef"
