"""What the tags of images point to: a build each, which a test may move."""

import json
from pathlib import Path


class Tags:
    """Keep the number of the present build of each image in a file that node and tests share."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def image_id(self, image: str) -> str:
        """Return what a pod that starts now runs under an image's name."""
        return f"{image}@build-{self._builds().get(image, 0)}"

    def move(self, image: str) -> None:
        """Let a tag point to another build from now on."""
        builds = self._builds()
        self._path.write_text(json.dumps({**builds, image: builds.get(image, 0) + 1}))

    def _builds(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self._path.read_text()) if self._path.exists() else {}
        return found
