"""What a Flagger manifest may ask for and this version does not do yet."""

from canary.api.rules import NOTHING, Node, Rule

SERVICE = "spec.service"

SWITCHES = ((SERVICE, "headless", "the Services have a cluster IP for now"),)


def _switched(at: str, field: str, hint: str) -> Rule:
    def find(node: Node) -> object:
        return node.get(field) or NOTHING

    message = f"{at}.{field} is {{value}}, which is not supported yet; remove it ({hint})"
    return Rule(at, field, find, message, f"!has(self.{field}) || !self.{field}", "'true'", forbidden=True)


UNSUPPORTED: tuple[Rule, ...] = tuple(_switched(*one) for one in SWITCHES)
