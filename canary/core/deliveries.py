"""Which AlertProviders do not deliver, remembered in the status from one process to the next."""

from __future__ import annotations

from canary.api.status import CanaryStatus, Undelivered
from canary.core.snapshot import Snapshot


def undelivered(snapshot: Snapshot, status: CanaryStatus) -> CanaryStatus:
    """Return the status with the AlertProviders by which the last alert did not arrive.

    What another process knew stands until this one has sent, or the AlertProvider is another.
    """
    found: list[Undelivered] = []
    for ref, provider in sorted(snapshot.providers.items()):
        name, delivery = f"{ref.namespace}/{ref.name}", snapshot.deliveries.get(ref)
        known = next((one for one in status.undelivered if one.provider == name), None)
        if delivery is not None and delivery.generation == provider.generation:
            fault = delivery.fault
        else:
            fault = known.reason if known is not None and known.generation == provider.generation else ""
        if fault:
            found.append(Undelivered(provider=name, generation=provider.generation, reason=fault))
    return status if tuple(found) == status.undelivered else status.model_copy(update={"undelivered": tuple(found)})
