"""MNIST: 70,000 handwritten digits, 28x28 (LeCun et al. 1998)."""

from pathlib import Path

from tasks.core.settings import Section
from tasks.sources import published
from tasks.sources.source import Source


class Settings(Section):
    """No options."""


def fetch(settings: Settings, path: Path, raw: Path) -> None:
    """Download the published files; see `tasks.sources.published.fetch`."""
    published.fetch("mnist", raw)


def load(settings: Settings, raw: Path) -> Source:
    """Read them back; see `tasks.sources.published.load`."""
    return published.load("mnist", raw)
