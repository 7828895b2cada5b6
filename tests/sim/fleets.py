"""Several Canaries side by side, each in a release of its own, under limits on how many run at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from canary.core.objects import Ref
from canary.core.runs import Limits
from canary.sim.driver import Simulation
from canary.sim.scenario import Scenario, initialise, listing_5_1
from tests.sim.stories import V2

COUNTED = ("Progressing", "WaitingPromotion", "Promoting", "Finalising")
QUICK = {"interval": "10s", "stepWeight": 50, "drainSeconds": 1}


def member(name: str, namespace: str = "istioinaction", **analysis: object) -> Scenario:
    """Return a service with a Canary of its name, quick and with few requests."""
    canary = listing_5_1(**{**QUICK, **analysis})
    canary["metadata"] |= {"name": name, "namespace": namespace}
    canary["spec"]["targetRef"]["name"] = name
    canary["spec"]["service"] |= {"name": name, "hosts": [name]}
    return Scenario(canary, rps=4.0, replicas=1)


@dataclass
class Fleet:
    """Some Canaries, with how many of them had a run at once."""

    sim: Simulation
    members: Sequence[Scenario]
    most: int = 0
    most_of_namespace: int = 0

    def watch(self) -> None:
        """Count runs from now on, as the API server has them."""
        self.sim.world.watch(lambda change: self._count())

    def running(self) -> list[Ref]:
        """Return who has a run that counts."""
        refs = [one.ref for one in self.members]
        return [ref for ref in refs if self.phase(ref) in COUNTED and not self._back(ref)]

    def phase(self, ref: Ref) -> str:
        """Return the phase of a Canary, nothing for one that is gone."""
        found = self.sim.world.find(ref)
        return str(((found or {}).get("status") or {}).get("phase", ""))

    def phases(self) -> list[str]:
        """Return the phases of all."""
        return [self.phase(one.ref) for one in self.members]

    def began(self, since: float) -> list[str]:
        """Return the names of all in the order in which their runs began."""
        rows = {one.ref.name: self.sim.history.rows(one.ref, since) for one in self.members}
        begun = {name: [row.at for row in found if row.phase == "Progressing"] for name, found in rows.items()}
        return sorted((name for name, times in begun.items() if times), key=lambda name: begun[name][0])

    def release(self, *members: Scenario, image: str = V2) -> None:
        """Apply a new image to some, all if none is named."""
        for one in members or self.members:
            self.sim.user.apply(one.revised(image.replace("catalog", one.target.name)))

    def _back(self, ref: Ref) -> bool:
        return bool((self.sim.status(ref).get("run") or {}).get("undoes"))

    def _count(self) -> None:
        running = self.running()
        spaces = [ref.namespace for ref in running]
        self.most = max(self.most, len(running))
        self.most_of_namespace = max([self.most_of_namespace, *map(spaces.count, spaces)])


async def gathered(sim: Simulation, limits: Limits, *members: Scenario) -> Fleet:
    """Initialise all members under limits, and begin to count."""
    sim.limits = limits
    for one in members:
        await initialise(sim, one, settle=0)
    await sim.rest(40)
    fleet = Fleet(sim, members)
    fleet.watch()
    return fleet
