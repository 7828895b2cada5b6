"""Write the tables of docs/install.md from the chart: `python -m e2e.chart_tables`."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from e2e.chart import CHART
from e2e.testbed import rights
from e2e.testbed.layout import REPOSITORY

PAGE = REPOSITORY / "docs/install.md"
_NO_DEFAULT = "–"


def values_rows() -> Iterator[Sequence[str]]:
    """Give one row for each value: name, default and meaning, in the order of the schema."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    for path, node in leaves(schema):
        if path != ("global",):
            yield f"`{'.'.join(path)}`", _shown(_at(defaults, path)), node["description"]


def leaves(node: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Give each value of a schema that holds no named others, with its path."""
    named = node.get("properties")
    if named is None:
        yield path, node
    for name, part in (named or {}).items():
        yield from leaves(part, (*path, name))


def _at(defaults: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        defaults = (defaults or {}).get(name)
    return defaults


def _shown(default: Any) -> str:
    return (
        _NO_DEFAULT
        if default in (None, "", [], {})
        else f"`{json.dumps(default)}`".replace('`"', "`").replace('"`', "`")
    )


def rights_rows() -> Iterator[Sequence[str]]:
    """Give one row for each rule: objects, verbs, when and where it is granted, and why."""
    for rule in rights.listed():
        group = f" of `{rule['apiGroups'][0]}`" if rule["apiGroups"][0] else ""
        objects = ", ".join(f"`{name}`" for name in rule["resources"]) + group
        if "resourceNames" in rule:
            objects += ": " + ", ".join(f"`{name}`" for name in rule["resourceNames"])
        where = "cluster" if rule.get("everywhere") else "namespaces"
        switches = " and ".join(f"`{one}`" for one in rule.get("only", ()))
        granted = f"{where}, with {switches}" if switches else where
        yield objects, ", ".join(rule["verbs"]), granted, rule["why"]


TABLES = {"Values": values_rows, "Rights": rights_rows}


def written(text: str) -> str:
    """Return the page with the rows of its tables as they are now."""
    for title, rows in TABLES.items():
        lines = "".join(f"| {' | '.join(row)} |\n" for row in rows()).replace("\\", r"\\")
        pattern = rf"(\n## {title}\n.*?\n\|[-| ]+\|\n)(?:\|[^\n]*\n)*"
        text, found = re.subn(pattern, rf"\g<1>{lines}", text, count=1, flags=re.DOTALL)
        assert found, f"{PAGE.name} has no table under {title}"
    return text


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
