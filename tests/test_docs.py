"""What the documents promise holds: targets, links, manifests, commands, tables and the diagram."""

from __future__ import annotations

import ast
import copy
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.api.admission import provider_refusals, refusals, template_refusals
from canary.api.alert_provider import FORMS
from canary.api.canary import Canary
from canary.api.query import VALUES
from canary.api.status import Phase
from canary.api.unsupported import UNSUPPORTED
from canary.api.warnings import WARNINGS
from canary.core.advance import TRANSITIONS
from canary.core.alarm import LOUDNESS, QUIET
from canary.core.names import OWNER, Names
from canary.core.objects import VIRTUAL_SERVICE, Object, Ref
from canary.core.obstacle import find_obstacle
from canary.core.obstacles import BEFORE_INITIALISATION
from canary.core.routes.istio import make_route, plain_route, rewrite_route
from canary.core.routes.policy import rule_spec
from canary.core.routes.routing import TO_PRIMARY, Routing
from canary.core.snapshot import Neighbours, Snapshot
from canary.core.view import View
from canary.sim.driver import Simulation, simulate
from canary.sim.routing import Caller
from canary.sim.scenario import Scenario, initialise, release
from e2e.test_adoption import users_route, users_rule
from e2e.test_strategy_pages import COHORTS, STRATEGIES, Row, manifest_of, rows_of, rows_shown, section, table
from tests.api.manifests import ABSENT
from tests.builders import NAMES, NOW, NS, OWNER_MARK, canary_object, untouched
from tests.core.test_warnings import FOUND

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PYTHON = ".venv/bin/python"
ROUTES = ROOT / "docs/your-routes.md"
TEMPLATES = ROOT / "docs/metric-templates.md"
ALERTS = ROOT / "docs/alerts.md"
AUTOSCALING = ROOT / "docs/autoscaling.md"


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return the lines of the shell blocks on all pages."""
    return [line.strip() for page in PAGES for text in blocks(page, "sh") for line in text.splitlines() if line.strip()]


def simulations() -> list[str]:
    """Return the commands that simulate, those in running text among them."""
    inline = [found for page in PAGES for found in re.findall(r"`([^`\n]*canary simulate [^`\n]*)`", page.read_text())]
    return sorted({line for line in (*commands(), *inline) if " simulate " in line and "FILE" not in line})


def canaries() -> list[Any]:
    """Return the Canaries on all pages."""
    found = [obj for page in PAGES for text in blocks(page, "yaml") for obj in yaml.safe_load_all(text)]
    return [obj for obj in found if isinstance(obj, dict) and obj.get("kind") == "Canary"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `canary` as a person does."""
    command = [sys.executable, "-m", "canary", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_make_targets_exist(page: Path) -> None:
    """Every `make TARGET` on a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    named = {found for line in lines for found in re.findall(r"^make ([a-z][a-z0-9-]*)", line)}
    named |= set(re.findall(r"`make ([a-z][a-z0-9-]*)", text))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    """Every relative link leads to a file or folder that is there."""
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))
    relative = [link.split("#")[0] for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in relative if link and not (page.parent / link).exists()] == []


def test_canaries_on_pages_are_admitted() -> None:
    """Every Canary shown is one that works."""
    assert canaries()
    assert [refusals(one) for one in canaries()] == [()] * len(canaries())


def test_templates_on_pages_are_admitted() -> None:
    """Every MetricTemplate shown is one that can be asked, and the first is what the end-to-end tests apply."""
    shown = [obj for page in PAGES for text in blocks(page, "yaml") for obj in yaml.safe_load_all(text)]
    templates = [obj for obj in shown if isinstance(obj, dict) and obj.get("kind") == "MetricTemplate"]
    assert [template_refusals(one) for one in templates] == [(), (), ()]
    assert blocks(TEMPLATES, "yaml")[0] == (ROOT / "e2e/manifests/metric-template.yaml").read_text()


def test_provider_on_its_page_is_admitted() -> None:
    """The AlertProvider shown is one by which alerts are sent, and what the end-to-end tests apply."""
    provider, _ = yaml.safe_load_all(blocks(ALERTS, "yaml")[0])
    assert provider_refusals(provider) == ()
    assert blocks(ALERTS, "yaml")[0] == (ROOT / "e2e/manifests/alert-provider.yaml").read_text()


def test_page_of_alerts_tells_every_reason() -> None:
    """Each reason that is loud by itself is listed with its severity, and each type of receiver."""
    listed = {
        (severity.strip("`"), reason)
        for severity, _, reasons in table(ALERTS, "What is told")
        for reason in re.findall(r"`(\w+)`", reasons)
    }
    assert {(severity, reason) for reason, severity in LOUDNESS.items() if severity != QUIET} <= listed
    assert [row[0].strip("`") for row in table(ALERTS, "Where it goes")][: len(FORMS)] == list(FORMS)


def test_page_of_templates_tells_every_value() -> None:
    """The table names all that a query may name, and no other."""
    rows = table(TEMPLATES, "What a query may name")
    named = {found for row in rows for found in re.findall(r"{{ ([a-zA-Z.]+) }}", row[0])}
    assert named == {*VALUES, "variables.KEY"}


@pytest.mark.parametrize("line", simulations())
def test_simulations_on_pages_run(line: str) -> None:
    """Every simulation shown ends well."""
    words = shlex.split(line)
    assert "simulate" in words
    done = run(*words[words.index("simulate") :])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_readme_shows_simulations() -> None:
    """There is at least one to try."""
    assert len(simulations()) >= 3


def test_commands_on_pages_use_the_environment_that_setup_makes() -> None:
    """Python is called from the virtual environment, and modules that are called exist."""
    modules = {found for line in commands() for found in re.findall(rf"{re.escape(PYTHON)} -m ([a-z0-9_.]+)", line)}
    ours = {name for name in modules if name.split(".")[0] in ("canary", "e2e")}
    missing = [name for name in ours if not _is_runnable(ROOT.joinpath(*name.split(".")))]
    assert missing == []


def _is_runnable(path: Path) -> bool:
    return (path / "__main__.py").exists() or path.with_suffix(".py").exists()


def test_run_lists_its_settings() -> None:
    """`canary run --help` works and names the flags of the README."""
    done = run("run", "--help")
    assert done.returncode == 0, done.stderr
    assert "--metrics-server" in done.stdout
    assert "--flagger-compat" in done.stdout


def test_files_named_in_commands_exist() -> None:
    """Manifests and CRDs that commands name are there."""
    named = {word for line in commands() for word in line.split() if re.fullmatch(r"[\w./-]+/[\w.-]+\.(yaml|py)", word)}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_diagram_shows_the_transitions() -> None:
    """The arrows of docs/concepts.md are those of the code."""
    (diagram,) = blocks(ROOT / "docs/concepts.md", "mermaid")
    arrows = re.findall(r"^\s*(\[\*\]|\w+) --> (\w+)", diagram, re.MULTILINE)
    shown = {("" if start == "[*]" else start, end) for start, end in arrows}
    known = {(phase.value, end.value) for phase, (_, ends) in TRANSITIONS.items() for end in ends}
    # An arrow from a phase to itself tells of steps, not of a transition.
    assert {(start, end) for start, end in shown if start != end} == known
    assert {end for _, end in shown} <= {phase.value for phase in Phase}


def simulated(name: str) -> list[Row]:
    """Return the rows of a simulated release with a strategy's manifest, each cohort having a caller."""
    scenario = Scenario(yaml.safe_load(manifest_of(name).read_text()))
    names = Names(scenario.ref.namespace, scenario.target.name, scenario.apex)

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        for header in COHORTS.get(name, ()):
            sim.dataplane.call(Caller(names.apex, names.namespace, 10, workload=header[1], headers=(header,)))
        await release(sim, scenario, "catalog:v2")
        await sim.until_phase("Succeeded", 1800)

    changes = simulate(story).history.changes
    return rows_of(((c.at, c.after) for c in changes if c.after and c.ref in (scenario.ref, scenario.route)), names)


def test_each_strategy_has_a_page_and_a_manifest() -> None:
    """There is no page without a manifest that runs, and no manifest without a page."""
    assert {path.stem for path in manifest_of("x").parent.glob("*.yaml")} == STRATEGIES.keys() >= COHORTS.keys()


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategy_pages_show_the_manifest_that_runs(name: str) -> None:
    """The manifest on a page is, to the byte, the file that the end-to-end tests apply."""
    assert blocks(STRATEGIES[name], "yaml") == [manifest_of(name).read_text()]


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategy_pages_show_the_rows_that_come(name: str) -> None:
    """Each row of a page's table comes at its time, with its step and its routes."""
    assert rows_shown(name) == simulated(name)


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategy_pages_show_their_simulation(name: str) -> None:
    """How to try it without a cluster is said, with callers for each cohort."""
    cohorts = "".join(f' --cohort "{header}: {value}"' for header, value in COHORTS.get(name, ()))
    line = f"{PYTHON} -m canary simulate {manifest_of(name).relative_to(ROOT)}{cohorts}"
    assert f"`{line}`" in STRATEGIES[name].read_text()
    assert line in simulations()


@pytest.mark.parametrize("name", COHORTS)
def test_pages_of_cohorts_tell_what_a_release_without_such_callers_does(name: str) -> None:
    """Without the header nobody reaches the canary: the simulated release holds, in the words of the page."""
    done = run("simulate", str(manifest_of(name)))
    (said,) = re.findall(r"`(no request matched the cohort: [^`]*)`", STRATEGIES[name].read_text())
    assert done.returncode == 1
    assert said in done.stdout


def placed(obj: Object) -> Object:
    """Return an object in the namespace of the page."""
    return {**obj, "metadata": {**obj["metadata"], "namespace": NS}}


def routed(route: Object, routing: Routing) -> Object:
    """Return a VirtualService as the controller leaves it under a routing."""
    found = rewrite_route(route, Canary.parse(canary_object()).spec, NAMES, routing, None)
    return {**route, "metadata": {**route["metadata"], **found["metadata"]}, "spec": found["spec"]}


def during() -> list[Object]:
    """Return the user's VirtualService in mid-run, and the rules of the two sides."""
    route = routed(routed(placed(users_route(NS)), TO_PRIMARY), Routing(25))
    rules = []
    for role in ("primary", "canary"):
        spec = rule_spec(None, users_rule(), route, NAMES, NAMES.service(role).name)
        rules.append(placed({**users_rule(), "metadata": {"name": NAMES.rule(role).name}, "spec": spec}))
    return [route, *rules]


def test_objects_before_and_during_a_release_are_those_of_the_code() -> None:
    """What is shown before is what the end-to-end tests apply; what is shown in mid-run is what the core makes."""
    before, meanwhile = (list(yaml.safe_load_all(text)) for text in blocks(ROUTES, "yaml"))
    assert before == [placed(users_route(NS)), placed(users_rule())]
    assert meanwhile == during()


def test_route_after_the_canary_is_the_one_before() -> None:
    """Undone, the VirtualService shown in mid-run is the one shown before, without any mark of ours."""
    before, route = placed(users_route(NS)), during()[0]
    left = plain_route(route, NAMES)
    assert {**route, "metadata": {**route["metadata"], **left["metadata"]}, "spec": left["spec"]} == before


def test_route_of_connections_on_its_page_is_that_of_the_code() -> None:
    """What is shown is what the Canary of the page leads to at 10 %."""
    canary, shown = (yaml.safe_load(text) for text in blocks(ROOT / "docs/connections.md", "yaml"))
    made = make_route(Canary.parse(canary).spec, NAMES, OWNER_MARK, Routing(10))
    assert shown["spec"] == made["spec"]


def unadoptable() -> list[Snapshot]:
    """Return worlds in which a VirtualService cannot be adopted, in the order of the page."""

    def world(changes: dict[str, Any] | None = None, **default: Any) -> Snapshot:
        route = placed(users_route(NS))
        route["spec"]["http"][2] |= default
        return untouched(changes, route=copy.deepcopy(route))

    def ab(cohort: dict[str, Any], match: dict[str, Any]) -> Snapshot:
        plan = {"stepWeight": ABSENT, "maxWeight": ABSENT, "iterations": 3, "match": [cohort]}
        return world({f"spec.analysis.{key}": value for key, value in plan.items()}, match=[match])

    cookie = {"spec.analysis.sessionAffinity": {"cookieName": "side"}}
    halves = [{"destination": {"host": "catalog", "subset": one}, "weight": 50} for one in ("v1", "v2")]
    nothing = {"metadata": {"name": "catalog", "namespace": NS}, "spec": {"hosts": ["catalog"], "http": []}}
    second = {"metadata": {"name": "more-routes", "namespace": NS}, "spec": {"hosts": ["catalog"]}}
    taken = placed({**users_rule(), "metadata": {"name": "catalog-canary"}})
    return [
        world(route=halves),
        world(route=[{**one, "weight": 0} for one in halves]),
        untouched(route=nothing),
        world({"spec.analysis.mirror": True}, mirror={"host": "recorder"}),
        ab({"headers": {"x-group": {"exact": "staff"}}}, {"headers": {"x-group": {"regex": "st.*"}}}),
        ab({"sourceLabels": {"app": "web"}}, {"gateways": ["mesh"]}),
        ab({"uri": {"exact": "/cart"}}, {"uri": {"prefix": "/shop"}}),
        world(cookie, match=[{"headers": {"cookie": {"regex": "beta=.*"}}}]),
        world(cookie, headers={"response": {"set": {"Set-Cookie": "shop=1"}}}),
        replace(world(), neighbours=Neighbours(rules=(_rule_for_v2(),))),
        replace(world(), neighbours=Neighbours(routes=(second,))),
        *_unnameable(),
        replace(world(), rules={"catalog-canary": taken}),
    ]


def _rule_for_v2() -> Object:
    """Return the user's rule with the subset of the routes meant for other pods."""
    found = placed(users_rule())
    return {**found, "spec": {**found["spec"], "subsets": [{"name": "v1", "labels": {"version": "v2"}}]}}


def _unnameable() -> list[Snapshot]:
    """Return worlds in which a VirtualService of another namespace is named in vain."""
    named = Ref(VIRTUAL_SERVICE, "edge", "shop-routes")
    mark = replace(OWNER_MARK, route=named, namespace="web")
    metadata = {"name": named.name, "namespace": named.namespace, "annotations": {OWNER: mark.to_text()}}
    world = untouched(
        {"spec.service.virtualService": {"name": named.name, "namespace": named.namespace}},
        names=replace(NAMES, named=named),
    )
    return [
        world,
        replace(world, route_seen=False),
        replace(world, route={"kind": "VirtualService", "metadata": metadata, "spec": {}}),
    ]


def test_page_tells_what_cannot_be_adopted_in_the_words_of_the_status() -> None:
    """Each sentence of the table is the one that the Canary shows."""
    said = [find_obstacle(View(world, (), NOW), BEFORE_INITIALISATION) for world in unadoptable()]
    sentences = [sentence.strip("`") for _, sentence in table(ROUTES, "What cannot be adopted")]
    assert sentences == [obstacle.message for obstacle in said if obstacle]


def test_autoscaler_on_its_page_is_the_one_that_is_released_with() -> None:
    """What is shown is what the end-to-end tests apply."""
    (shown,) = blocks(AUTOSCALING, "yaml")
    assert shown == (ROOT / "e2e/manifests/autoscaler.yaml").read_text()


def test_reasons_about_autoscalers_are_those_of_the_code() -> None:
    """The page names each reason that the core gives, and no other."""
    source = (ROOT / "canary/core/autoscaling.py").read_text()
    rows = table(AUTOSCALING, "What the Canary says when something is wrong")
    assert {row[0].strip("`") for row in rows} == set(re.findall(r'"(Autoscaler[A-Z]\w+)"', source))


def test_readme_names_what_is_refused() -> None:
    """The fields listed as refused are those for which there is a rule."""
    listed = [line for line in section(ROOT / "README.md", "Limits of this version").splitlines() if line[:4] == "  - "]
    refused = {rule.path.removeprefix("spec.") for rule in UNSUPPORTED}
    assert {found for line in listed for found in re.findall(r"`([^`]+)`", line)} == refused


def texts_of_the_core() -> set[Any]:
    """Return every constant in the code of the core."""
    sources = [path.read_text() for path in (ROOT / "canary/core").rglob("*.py")]
    return {n.value for text in sources for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)}


def test_reasons_of_waits_are_those_of_the_code() -> None:
    """Each reason in docs/concepts.md is one that the core gives."""
    texts = texts_of_the_core()
    rows = table(ROOT / "docs/concepts.md", "Waits")
    assert len(rows) > 5
    assert [reason for reason, *_ in rows if reason.strip("`") not in texts] == []


@pytest.mark.parametrize("heading", ["The release stands still", "The release has Failed"])
def test_reasons_in_the_runbook_are_those_of_the_code(heading: str) -> None:
    """Whoever looks a reason up finds what the status says."""
    texts = texts_of_the_core()
    reasons = [one for cell, *_ in table(ROOT / "docs/runbook.md", heading) for one in re.findall(r"`(\w+)`", cell)]
    assert len(reasons) > 5
    assert [reason for reason in reasons if reason not in texts] == []


def test_warnings_page_names_every_reason_once() -> None:
    """docs/warnings.md has one line for each warning of the code, and refusals that exist."""
    warned, refused = (
        re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)
        for part in (ROOT / "docs/warnings.md").read_text().split("## Refusals")
    )
    known = [reason for _, reason, _ in FOUND] + [reason for reason, _ in WARNINGS]
    assert sorted(warned) == sorted(set(known))
    code = "".join(path.read_text() for path in (ROOT / "canary/core").glob("*obstacles.py"))
    assert [reason for reason in refused if f'"{reason}"' not in code] == []
