"""What a package says of itself on PyPI: the README with whole addresses, and the project's own.

In a clone the README's links are relative, so that they work wherever the repository is. PyPI shows the README without
the files beside it. A build that is told where the repository is, as publish.yml tells it, writes the links out:

    MATTEKIT_REPOSITORY=https://github.com/OWNER/mattekit make dist

Links lead to the version's tag, so that a page on PyPI goes on showing what it showed.
"""

import os
import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

# of a Markdown link or picture: what comes before the target, and the target where it is a path
LINK = re.compile(r"(!?)(\[(?:[^\[\]]|\[[^\]]*\])*\]\()(?!https?:|#|mailto:)([^)\s]+)\)")


class Metadata(MetadataHookInterface):
    """Hatchling's hook, which pyproject.toml names."""

    def update(self, metadata: dict) -> None:
        """Fill in `readme` and `urls`."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        urls = {"Paper": "https://arxiv.org/abs/2204.09433"}
        if repository := os.environ.get("MATTEKIT_REPOSITORY", "").rstrip("/"):
            if not repository.startswith("https://"):
                raise ValueError(f"MATTEKIT_REPOSITORY must be an address that begins with https://, got {repository}")
            text = absolute(text, repository, f"v{metadata['version']}")
            urls |= {
                "Repository": repository,
                "Changelog": f"{repository}/blob/main/CHANGELOG.md",
                "Issues": f"{repository}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = urls


def absolute(text: str, repository: str, tag: str) -> str:
    """Markdown whose relative links and pictures lead into a repository on GitHub at a tag."""
    return LINK.sub(lambda x: f"{x[1]}{x[2]}{repository}/{'raw' if x[1] else 'blob'}/{tag}/{x[3]})", text)
