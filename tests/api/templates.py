"""MetricTemplate manifests for the tests of the wire models."""

from copy import deepcopy
from typing import Any

import yaml

from .manifests import ABSENT

TEMPLATE = """
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata:
  name: not-found-percentage
  namespace: istioinaction
spec:
  provider:
    type: prometheus
    address: http://prometheus.istio-system:9090
  query: |
    100 - sum(
        rate(
            istio_requests_total{
              reporter="{{ variables.direction }}",
              destination_workload_namespace="{{ namespace }}",
              destination_workload="{{ target }}",
              response_code!="404"
            }[{{ interval }}]
        )
    )
    /
    sum(
        rate(
            istio_requests_total{
              reporter="{{variables.direction}}",
              destination_workload_namespace="{{ namespace }}",
              destination_workload="{{ target }}"
            }[{{ interval }}]
        )
    ) * 100
"""
"""As Flagger's documentation has it, with a variable."""
KNOWN = "known are name, namespace, target, primary, canary, service, ingress, route, interval and variables.KEY"
P = "spec.provider"


def template(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the MetricTemplate with the values at dotted paths replaced, or removed when ABSENT."""
    manifest: dict[str, Any] = yaml.safe_load(TEMPLATE)
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        node: Any = manifest
        for part in parents:
            node = node.setdefault(part, {})
        if value is ABSENT:
            del node[last]
        else:
            node[last] = deepcopy(value)
    return manifest


def no_value(what: str, line: int = 1, column: int = 1, at: str = "spec") -> str:
    """Return the sentence about double braces that stand for nothing."""
    return f"{at}.query has {what} at line {line}, column {column}, which stands for no value; {KNOWN}"


JSON = {f"{P}.type": "json", f"{P}.address": "https://scores.example/api", f"{P}.path": "data.score", "spec.query": "/"}
WRONG: list[tuple[dict[str, Any], str, str]] = [
    (
        {f"{P}.type": "datadog", f"{P}.address": ABSENT},
        f"{P}.type",
        f'{P}.type is "datadog", which is not supported; use prometheus or json',
    ),
    (
        {f"{P}.type": "cloudwatch", f"{P}.region": "eu-central-1", "spec.query": '[{"Id": "e1"}]'},
        f"{P}.type",
        f'{P}.type is "cloudwatch", which is not supported; use prometheus or json',
    ),
    (
        {f"{P}.address": ABSENT},
        f"{P}.address",
        f"{P}.address is not given; name the server, such as http://prometheus.istio-system:9090",
    ),
    (
        {f"{P}.address": "prometheus:9090"},
        f"{P}.address",
        f'{P}.address is "prometheus:9090"; it must be an address that begins with http:// or https://',
    ),
    (
        JSON | {f"{P}.path": ""},
        f"{P}.path",
        f"{P}.path is not given; say where in the answer the number is, such as data.value",
    ),
    (
        {f"{P}.path": "data"},
        f"{P}.path",
        f'{P}.path is "data" beside type prometheus, whose answers have one form; remove it',
    ),
    ({"spec.query": "{{ revision }}"}, "spec.query", no_value("{{ revision }}")),
    ({"spec.query": 'x{a="\n{{ index variables "x" }}'}, "spec.query", no_value('{{ index variables "x" }}', 2)),
    ({"spec.query": "ü{{ name | len }}"}, "spec.query", no_value("{{ name | len }}", 1, 2)),
    ({"spec.query": "a\n\n  {{ if .x }}a{{ end }}"}, "spec.query", no_value("{{ if .x }}", 3, 3)),
    ({"spec.query": "{{ name"}, "spec.query", no_value("{{ name")),
    ({"spec.query": "{{ name }"}, "spec.query", no_value("{{ name }")),
    ({"spec.query": "{{-name}}"}, "spec.query", no_value("{{-name}}")),
    ({"spec.query": "{{{ name }}}"}, "spec.query", no_value("{{{ name }}")),
    ({"spec.query": "{{ name }} {{ variables.a-b }}"}, "spec.query", no_value("{{ variables.a-b }}", 1, 12)),
    ({"spec.query": "{{ variables }}"}, "spec.query", no_value("{{ variables }}")),
]

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"apiVersion": "canary.delivery/v1beta1"},
    {f"{P}.headers": {"X-Scope-OrgID": ["shop"]}, f"{P}.insecureSkipVerify": True, f"{P}.secretRef": {"name": "x"}},
    {f"{P}.path": "", f"{P}.region": ""},
    JSON | {"spec.query": "?service={{ service }}&by={{- interval -}}"},
    {"spec.query": "{{name}}{{ namespace}}{{target }}{{\tprimary }}{{- canary }}{{ service -}}\n{{- ingress -}}"},
    {"spec.query": "{{\nroute\n}} {{ interval }} {{ variables.x_1 }} {{/* a * comment */}} {{- /* two\nlines */ -}}"},
    {"spec.query": 'up{job="x"}'},
    {"spec.query": "{__name__=~'a.*'}"},
    {"spec.query": "x" * 8192},
    {"spec.query": "{{ name }}" * 819},
]
