"""Every manifest that our own check accepts or refuses, before a real API server with our definitions."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.api.admission import provider_refusals, refusals, template_refusals
from e2e.conftest import install_crd, remove_crd
from e2e.testbed.kube import ApiError, Object
from e2e.testbed.layout import REPOSITORY
from e2e.testbed.testbed import Testbed
from tests.api import providers, templates
from tests.api.manifests import ACCEPTED, UNSUPPORTED, WRONG, listing
from tests.api.mutations import mutated_canaries, mutated_templates

NAMESPACE = "admission"
MADE_UP = 150
PLURALS = {"AlertProvider": "alertproviders", "Canary": "canaries", "MetricTemplate": "metrictemplates"}
# How the API server begins each thing it finds wrong with an object.
FINDING = re.compile(
    r": (Invalid value|Forbidden|Required value|Unsupported value|Too long|Too many|Duplicate value|Not found): "
)


@pytest.fixture(scope="module", params=["flagger.app", "canary.delivery"])
def group(testbed: Testbed, request: pytest.FixtureRequest) -> Iterator[str]:
    """Serve one of our definitions beside a namespace to ask in."""
    install_crd(testbed, request.param)
    testbed.create_namespace(f"{NAMESPACE}-{request.param.partition('.')[0]}")
    yield request.param
    testbed.delete_namespace(f"{NAMESPACE}-{request.param.partition('.')[0]}")
    if request.param == "canary.delivery":
        remove_crd(testbed, request.param)


def answer(testbed: Testbed, group: str, manifest: Object) -> str:
    """Return what the API server says to a manifest without storing it, nothing when it would."""
    namespace = f"{NAMESPACE}-{group.partition('.')[0]}"
    plural = PLURALS[manifest["kind"]]
    path = f"/apis/{group}/v1beta1/namespaces/{namespace}/{plural}"
    body = {
        **manifest,
        "apiVersion": f"{group}/v1beta1",
        "metadata": {**manifest["metadata"], "namespace": namespace},
    }
    try:
        testbed.kube.create(f"{path}?dryRun=All&fieldValidation=Strict", body)
    except ApiError as refused:
        return str(refused)
    return ""


def test_accepted_manifests_are_accepted_by_the_api_server(testbed: Testbed, group: str) -> None:
    """Whatever the simulator runs, a cluster takes."""
    said = {str(changes): answer(testbed, group, listing(changes)) for changes in ACCEPTED}
    assert {changes: words for changes, words in said.items() if words} == {}
    assert len(said) == len(ACCEPTED)


def test_refused_manifests_are_refused_in_the_same_words(testbed: Testbed, group: str) -> None:
    """Each sentence of ours is in the API server's answer, which finds nothing besides."""
    different = {}
    for changes, _, _ in (*WRONG, *UNSUPPORTED):
        manifest = listing(changes)
        ours = [refusal.message for refusal in refusals(manifest)]
        theirs = answer(testbed, group, manifest)
        if not ours or not all(sentence in theirs for sentence in ours) or len(FINDING.findall(theirs)) != len(ours):
            different[str(changes)] = (ours, theirs)
    assert different == {}


def test_providers_are_answered_in_the_same_words(testbed: Testbed, group: str) -> None:
    """What Flagger's users write passes; what is wrong is told by the API server in our words."""
    assert {answer(testbed, group, providers.provider(changes)) for changes in providers.ACCEPTED} == {""}
    different = {}
    for changes, _, sentence in providers.WRONG:
        manifest = providers.provider(changes)
        theirs = answer(testbed, group, manifest)
        if sentence not in theirs or len(FINDING.findall(theirs)) != len(provider_refusals(manifest)):
            different[str(changes)] = (sentence, theirs)
    assert different == {}


def test_accepted_templates_are_accepted_by_the_api_server(testbed: Testbed, group: str) -> None:
    """Queries as Flagger's users write them pass."""
    said = {str(changes): answer(testbed, group, templates.template(changes)) for changes in templates.ACCEPTED}
    assert {changes: words for changes, words in said.items() if words} == {}
    assert len(said) == len(templates.ACCEPTED)


def test_refused_templates_are_refused_in_the_same_words(testbed: Testbed, group: str) -> None:
    """The provider, or what stands for no value in a query and where, is told by the API server in our words."""
    different = {}
    for changes, _, sentence in templates.WRONG:
        manifest = templates.template(changes)
        theirs = answer(testbed, group, manifest)
        if sentence not in theirs or len(FINDING.findall(theirs)) != len(template_refusals(manifest)):
            different[str(changes)] = (sentence, theirs)
    assert different == {}


@pytest.mark.parametrize("changes", [WRONG[0][0], WRONG[10][0], UNSUPPORTED[0][0]], ids=str)
def test_simulator_refuses_in_the_words_of_the_api_server(
    testbed: Testbed, group: str, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """``canary simulate`` ends with exit 2 and one line: the sentence that the API server answers with."""
    manifest = {**listing(changes), "apiVersion": f"{group}/v1beta1"}
    path = tmp_path / "canary.yaml"
    path.write_text(yaml.safe_dump(manifest))
    command = [sys.executable, "-m", "canary", "simulate", str(path)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended
    theirs = answer(testbed, group, manifest)
    (refusal,) = refusals(manifest)
    assert refusal.message in theirs
    assert refusal.message in ended.stderr


def test_made_up_manifests_are_taken_and_refused_as_we_say(testbed: Testbed, group: str) -> None:
    """Whatever is wrong where, the API server has a sentence for it, and takes nothing that `canary lint` refuses."""
    judges = ((mutated_canaries, refusals), (mutated_templates, template_refusals))
    judged = [(one, bool(judge(one))) for made, judge in judges for one in made(MADE_UP, seed=len(group))]
    different = [(one, said) for one, refused in judged if bool(said := answer(testbed, group, one)) != refused]
    assert different == []
    assert 0 < sum(refused for _, refused in judged) < len(judged)
