"""Give tests one testbed for the session and a fresh namespace each; keep artefacts of failures."""

import itertools
import re
import shutil
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from e2e.controller import Controller
from e2e.recorder import Recorder
from e2e.release import Release
from e2e.testbed.testbed import Testbed

ARTEFACT_KINDS = (
    "events",
    "deployments",
    "daemonsets",
    "pods",
    "services",
    "endpointslices",
    "horizontalpodautoscalers",
    "virtualservices",
    "destinationrules",
)
CRDS = Path(__file__).parent.parent / "crds"
RELEASING = {"release", "controller"}
WORK_OF_A_RELEASE = 10
WORK_OF_A_LONG_TEST = 1000
REPORT: pytest.StashKey[bool] = pytest.StashKey()

_numbers = itertools.count(1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold the most work, so that no testbed is left with a long one at the end."""
    work: Counter[Path] = Counter()
    for item in items:
        work[item.path] += _work(item)
    items.sort(key=lambda item: (-work[item.path], item.path))


def _work(item: pytest.Item) -> int:
    if item.get_closest_marker("long"):
        return WORK_OF_A_LONG_TEST
    return WORK_OF_A_RELEASE if RELEASING & set(getattr(item, "fixturenames", ())) else 1


@pytest.fixture(scope="session")
def testbed() -> Iterator[Testbed]:
    """Start the testbed once."""
    with Testbed.create() as running:
        yield running


@pytest.fixture
def namespace(testbed: Testbed, request: pytest.FixtureRequest) -> Iterator[str]:
    """Create a namespace whose pods get a sidecar; on failure write down what was in it."""
    subject = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_")).strip("-")
    name = f"t{next(_numbers)}-{subject}"[:40].rstrip("-")
    testbed.create_namespace(name)
    yield name
    if request.node.stash.get(REPORT, False):
        keep_artefacts(testbed, name)
    testbed.delete_namespace(name)


@pytest.fixture(scope="session")
def compat_crd(testbed: Testbed) -> None:
    """Serve Flagger's group."""
    install_crd(testbed, "flagger.app")


def install_crd(testbed: Testbed, group: str) -> None:
    """Apply our CustomResourceDefinitions of a group and wait until they are served."""
    testbed.kubectl("apply", "--server-side", *(f"--filename={path}" for path in definitions(group)))
    testbed.wait_for_definitions()


def remove_crd(testbed: Testbed, group: str) -> None:
    """Delete our CustomResourceDefinitions of a group, and with them all of their objects."""
    testbed.kubectl("delete", "--ignore-not-found", *(f"--filename={path}" for path in definitions(group)))


def definitions(group: str) -> list[Path]:
    """Return the files of our CustomResourceDefinitions of a group."""
    return sorted(CRDS.glob(f"{group}_*.yaml"))


@pytest.fixture
def controller(testbed: Testbed, namespace: str, compat_crd: None) -> Iterator[Controller]:
    """Run a controller for the test's namespace, in compat mode."""
    with Controller(testbed, [namespace]) as running:
        yield running


@pytest.fixture
def release(testbed: Testbed, namespace: str, controller: Controller) -> Iterator[Release]:
    """Offer a service under release, with its history recorded from the start."""
    with Recorder(testbed, namespace) as recorder:
        yield Release(testbed, namespace, recorder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether the test failed, for fixtures that end after it."""
    report = yield
    if report.when == "call":
        item.stash[REPORT] = report.failed
    return report


def keep_artefacts(testbed: Testbed, namespace: str) -> Path:
    """Write the namespace's objects and its pods' logs into the run's folder and return it."""
    folder = testbed.layout.root / "failures" / namespace
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ARTEFACT_KINDS:
        content = testbed.kubectl("get", kind, "-n", namespace, "-o", "yaml", check=False)
        (folder / f"{kind}.yaml").write_text(content)
    for log in testbed.layout.pods.glob(f"{namespace}_*/*.log"):
        shutil.copy(log, folder / f"{log.parent.name}.{log.name}")
    return folder
