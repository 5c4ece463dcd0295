"""Fashion-MNIST: 70,000 articles of clothing, 28x28 (Xiao et al. 2017)."""

from pathlib import Path

from tasks.core.settings import Section
from tasks.sources import published
from tasks.sources.source import Source


class Settings(Section):
    """No options."""


def fetch(settings: Settings, path: Path, raw: Path) -> None:
    """Download the published files; see `tasks.sources.published.fetch`."""
    published.fetch("fashion_mnist", raw)


def load(settings: Settings, raw: Path) -> Source:
    """Read them back; see `tasks.sources.published.load`."""
    return published.load("fashion_mnist", raw)
