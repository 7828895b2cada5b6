"""Say where one run of the testbed keeps its files."""

import shutil
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
CONFIG = Path(__file__).parent / "config"
# Inside the enclosure /run is a private tmpfs: fast, gone at the end, and short enough for socket paths.
VOLATILE = Path("/run/testbed")


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one run: `root` stays for reading afterwards, VOLATILE goes with the enclosure."""

    root: Path

    @classmethod
    def create(cls, root: Path) -> "Layout":
        """Make the folders."""
        layout = cls(root)
        for folder in (layout.logs, layout.pods, layout.certificates, layout.data, layout.kubectl_cache):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(CONFIG / "prometheus.yaml", layout.prometheus_config)
        return layout

    @property
    def logs(self) -> Path:
        """Return the folder with one log for each part."""
        return self.root / "logs"

    @property
    def pods(self) -> Path:
        """Return the folder with one folder for each pod: logs, Envoy configuration, process ids."""
        return self.root / "pods"

    @property
    def loads(self) -> Path:
        """Return the folder with the records of loads."""
        return self.root / "loads"

    @property
    def audit_log(self) -> Path:
        """Return the API server's audit log, one JSON object a line."""
        return self.root / "audit.jsonl"

    @property
    def kubeconfig(self) -> Path:
        """Return the administrator's kubeconfig."""
        return self.root / "admin.kubeconfig"

    @property
    def controller_kubeconfig(self) -> Path:
        """Return the kubeconfig of the controller under test."""
        return self.root / "controller.kubeconfig"

    @property
    def proxied_kubeconfig(self) -> Path:
        """Return the controller's kubeconfig that goes through the fault-injecting proxy."""
        return self.root / "controller-proxied.kubeconfig"

    @property
    def prometheus_config(self) -> Path:
        """Return Prometheus' configuration; its targets file lies beside it."""
        return self.root / "prometheus.yaml"

    @property
    def targets(self) -> Path:
        """Return the file in which the node lists what Prometheus scrapes."""
        return self.root / "targets.json"

    @property
    def controllers(self) -> Path:
        """Return the file in which a test lists the controllers that Prometheus scrapes."""
        return self.root / "controllers.json"

    @property
    def tags(self) -> Path:
        """Return the file that says which build each image's tag points to."""
        return self.root / "tags.json"

    @property
    def certificates(self) -> Path:
        """Return the API server's certificate folder."""
        return VOLATILE / "certificates"

    @property
    def authority(self) -> Path:
        """Return the certificate file that clients verify the API server with."""
        return self.certificates / "apiserver.crt"

    @property
    def authority_key(self) -> Path:
        """Return the key of that certificate."""
        return self.certificates / "apiserver.key"

    @property
    def data(self) -> Path:
        """Return the folder for data of etcd and Prometheus."""
        return VOLATILE / "data"

    @property
    def kubectl_cache(self) -> Path:
        """Return kubectl's discovery cache, kept apart from the person's own."""
        return VOLATILE / "kubectl-cache"
