"""EMNIST, the balanced split: 131,600 letters and digits in 47 classes, 28x28 (Cohen et al. 2017)."""

from pathlib import Path

from tasks.core.settings import Section
from tasks.sources import published
from tasks.sources.source import Source


class Settings(Section):
    """No options."""


def fetch(settings: Settings, path: Path, raw: Path) -> None:
    """Download the published files; see `tasks.sources.published.fetch`."""
    published.fetch("emnist", raw)


def load(settings: Settings, raw: Path) -> Source:
    """Read them back; see `tasks.sources.published.load`."""
    return published.load("emnist", raw)
