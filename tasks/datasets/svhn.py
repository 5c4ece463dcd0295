"""Street View House Numbers: 99,289 colour images of digits, 32x32 (Netzer et al. 2011)."""

from pathlib import Path

from tasks.core.settings import Section
from tasks.sources import published
from tasks.sources.source import Source


class Settings(Section):
    """No options."""


def fetch(settings: Settings, path: Path, raw: Path) -> None:
    """Download the published files; see `tasks.sources.published.fetch`."""
    published.fetch("svhn", raw)


def load(settings: Settings, raw: Path) -> Source:
    """Read them back; see `tasks.sources.published.load`."""
    return published.load("svhn", raw)
