"""What a Flagger manifest may ask for and this version does not do yet."""

from collections.abc import Iterator

from canary.api.rules import NOTHING, Node, Rule

SERVICE = "spec.service"

SWITCHES = (
    (SERVICE, "portDiscovery", "only service.port is served for now"),
    (SERVICE, "headless", "the Services have a cluster IP for now"),
)


def _filled(at: str, field: str, hint: str, cel: str, shown: str = "") -> Rule:
    def find(node: Node) -> object:
        return node.get(field) or NOTHING

    value = " is {value}, which" if shown else " is"
    message = f"{at}.{field}{value}{' is' if shown else ''} not supported yet; remove it ({hint})"
    return Rule(at, field, find, message, cel, shown, forbidden=True)


def _rules() -> Iterator[Rule]:
    for at, field, hint in SWITCHES:
        yield _filled(at, field, hint, f"!has(self.{field}) || !self.{field}", "'true'")


UNSUPPORTED: tuple[Rule, ...] = tuple(_rules())
