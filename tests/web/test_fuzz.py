"""Requests made up from the API's own description: never a fault of the server, never anything done for a stranger."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.web.stage import CI, NAME, NS, READER, WRONG, Stage, staged

REAL: dict[str, Any] = {"namespace": NS, "name": NAME, "gate": "gate"}
CHECKS: list[Any] = [
    checks.not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]
Answers = Counter[tuple[str, int]]


async def test_made_up_requests_are_answered_as_the_description_says(tmp_path: Path) -> None:
    """Right and wrong requests of a caller with every right: each answer is described, and none is a fault."""
    async with _unhurried(tmp_path) as stage:
        answers = await _asked(stage, CI, 20)
        assert stage.server.patched
    refused = {operation for operation, _ in answers} - {operation for operation, code in answers if code < 400}
    # Gates that are shut say no, and a watch is asked for names alone that are not there.
    assert all(operation.rpartition("/")[2] in ("halt", "check", "{gate}", "watch") for operation in refused)
    assert {code for _, code in answers} >= {403, 422}


@pytest.mark.parametrize(("token", "codes"), [(None, {401}), (WRONG, {401}), (READER, {403})])
async def test_made_up_requests_without_the_right_change_nothing(
    token: str | None, codes: set[int], tmp_path: Path
) -> None:
    """Who is not known, or may only read, changes nothing, whatever is sent."""
    async with _unhurried(tmp_path) as stage:
        answers = await _asked(stage, token, 5)
        assert stage.server.patched == []
    turned = {code for operation, code in answers if operation.endswith(("open", "close", "{verb}"))}
    assert codes <= turned
    assert min(turned) >= 400


def _unhurried(folder: Path) -> Any:
    """Serve the API to callers for whom a minute goes by between two requests, so that no rate ends."""
    return staged(folder, time_of_rates=itertools.count(step=60).__next__)


async def _asked(stage: Stage, token: str | None, requests: int) -> Answers:
    """Send what the description makes one think of; return how often each operation gave each answer."""
    description = (await stage.call("GET", "/openapi.json"))[1]
    schema = schemathesis.openapi.from_dict(description)
    schema.config.update(base_url=stage.url)
    answers: Answers = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        takes_input = bool(operation.body) or any(True for _ in operation.iter_parameters())
        # What takes no input cannot be given a wrong one.
        for mode in GenerationMode if takes_input else [GenerationMode.POSITIVE]:
            await asyncio.to_thread(_fuzz, operation, mode, token, requests, answers)
    return answers


def _fuzz(operation: Any, mode: GenerationMode, token: str | None, requests: int, answers: Answers) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    @settings(
        max_examples=requests,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
    def holds(case: Any, real: bool) -> None:
        # Whoever watches a Canary that is there is answered for minutes.
        if real and not operation.path.endswith("/watch"):
            _name_the_real(case)
        case.headers = {k: v for k, v in (case.headers or {}).items() if k.lower() != "authorization"}
        response = case.call(headers=headers, timeout=10)
        answers[operation.label, response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    holds()


def _name_the_real(case: Any) -> None:
    """Have a request name the Canary that is there, where it names one."""
    for part in (case.path_parameters, case.query, case.body):
        if isinstance(part, dict):
            part.update({name: value for name, value in REAL.items() if name in part})
