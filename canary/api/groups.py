"""API groups under which our resources are served."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiGroup:
    """Name the place of a resource of ours in the Kubernetes API."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """Return what a manifest carries as `apiVersion`."""
        return f"{self.group}/{self.version}"

    @property
    def crd_name(self) -> str:
        """Return the name of the CustomResourceDefinition."""
        return f"{self.plural}.{self.group}"


NATIVE = ApiGroup(group="canary.delivery", version="v1beta1", plural="canaries", kind="Canary")
FLAGGER = ApiGroup(group="flagger.app", version="v1beta1", plural="canaries", kind="Canary")
NATIVE_TEMPLATE = ApiGroup(group="canary.delivery", version="v1beta1", plural="metrictemplates", kind="MetricTemplate")
FLAGGER_TEMPLATE = ApiGroup(group="flagger.app", version="v1beta1", plural="metrictemplates", kind="MetricTemplate")
NATIVE_PROVIDER = ApiGroup(group="canary.delivery", version="v1beta1", plural="alertproviders", kind="AlertProvider")
FLAGGER_PROVIDER = ApiGroup(group="flagger.app", version="v1beta1", plural="alertproviders", kind="AlertProvider")
