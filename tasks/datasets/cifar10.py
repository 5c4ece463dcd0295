"""CIFAR-10: 60,000 colour images in 10 classes, 32x32 (Krizhevsky 2009)."""

from pathlib import Path

from tasks.core.settings import Section
from tasks.sources import published
from tasks.sources.source import Source


class Settings(Section):
    """No options."""


def fetch(settings: Settings, path: Path, raw: Path) -> None:
    """Download the published files; see `tasks.sources.published.fetch`."""
    published.fetch("cifar10", raw)


def load(settings: Settings, raw: Path) -> Source:
    """Read them back; see `tasks.sources.published.load`."""
    return published.load("cifar10", raw)
