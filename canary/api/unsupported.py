"""What a Flagger manifest may ask for and this version does not do yet."""

from collections.abc import Iterator

from canary.api.rules import NOTHING, Node, Rule

SERVICE = "spec.service"

SWITCHES = (
    (SERVICE, "portDiscovery", "only service.port is served for now"),
    (SERVICE, "headless", "the Services have a cluster IP for now"),
)
TEXTS = ((SERVICE, "trafficDistribution", "set it on the Service"),)
KEYED = (
    ("apex", "labels", "annotations"),
    ("primary", "labels", "annotations"),
    ("canary", "labels", "annotations"),
    ("unmanagedMetadata", "labels", "annotations"),
)


def _filled(at: str, field: str, hint: str, cel: str, shown: str = "") -> Rule:
    def find(node: Node) -> object:
        return node.get(field) or NOTHING

    value = " is {value}, which" if shown else " is"
    message = f"{at}.{field}{value}{' is' if shown else ''} not supported yet; remove it ({hint})"
    return Rule(at, field, find, message, cel, shown, forbidden=True)


def _keyed(field: str, *keys: str) -> Rule:
    def find(node: Node) -> object:
        part = node.get(field) or {}
        return part if any(part.get(key) for key in keys) else NOTHING

    message = f"{SERVICE}.{field} is not supported yet; remove it (set it on the object)"
    empty = (f"(!has(self.{field}.{key}) || size(self.{field}.{key}) == 0)" for key in keys)
    cel = f"!has(self.{field}) || ({' && '.join(empty)})"
    return Rule(SERVICE, field, find, message, cel, forbidden=True)


def _rules() -> Iterator[Rule]:
    for at, field, hint in SWITCHES:
        yield _filled(at, field, hint, f"!has(self.{field}) || !self.{field}", "'true'")
    for at, field, hint in TEXTS:
        yield _filled(at, field, hint, f"!has(self.{field}) || self.{field} == ''")
    for keyed in KEYED:
        yield _keyed(*keyed)


UNSUPPORTED: tuple[Rule, ...] = tuple(_rules())
