"""What istioctl analyze says about the services under release: at one moment, or all along."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from e2e.release import Release
from e2e.testbed.kube import Object
from e2e.testbed.testbed import Testbed

PROXY_MISSING = "IST0103"
"""The testbed's node runs Envoy beside each pod without naming it in the pod's specification."""


def findings(release: Release) -> list[Object]:
    """Return the findings about the service and what we made for it, as a person would get them."""
    return _told(release.testbed, "-n", release.namespace)


def _told(testbed: Testbed, *scope: str) -> list[Object]:
    found = testbed.istioctl("analyze", *scope, "-o", "json", check=False)
    return [one for one in json.loads(found) or [] if _about_the_service(one)]


def _about_the_service(finding: Object) -> bool:
    about_us = "catalog" in f"{finding.get('origin')} {finding['message']}"
    return about_us and finding["code"] != PROXY_MISSING


@dataclass
class Analysis:
    """Analyze several releases at once, again and again, and note which phases were looked at from start to end."""

    releases: Mapping[str, Release]
    found: list[str] = field(default_factory=list)
    seen: dict[str, set[str]] = field(default_factory=dict)

    def look(self) -> None:
        """Analyze once."""
        before = self._phases()
        testbed = next(iter(self.releases.values())).testbed
        places = [release.namespace for release in self.releases.values()]
        told = [one for one in _told(testbed, "-A") if any(place in one["origin"] for place in places)]
        self.found += [f"{one['origin']}: {one['code']} {one['message']} in {before}" for one in told]
        for name, phase in self._phases().items():
            if phase == before[name]:
                self.seen.setdefault(name, set()).add(phase)

    def _phases(self) -> dict[str, str]:
        return {name: str(release.status.get("phase")) for name, release in self.releases.items()}
