"""What istioctl analyze says about the service under release."""

import json

from e2e.release import Release
from e2e.testbed.kube import Object

PROXY_MISSING = "IST0103"
"""The testbed's node runs Envoy beside each pod without naming it in the pod's specification."""


def findings(release: Release) -> list[Object]:
    """Return the findings about the service and what we made for it, as a person would get them."""
    found = release.testbed.istioctl("analyze", "-n", release.namespace, "-o", "json", check=False)
    return [one for one in json.loads(found) or [] if _about_the_service(one)]


def _about_the_service(finding: Object) -> bool:
    about_us = "catalog" in f"{finding.get('origin')} {finding['message']}"
    return about_us and finding["code"] != PROXY_MISSING
