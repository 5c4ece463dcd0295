"""The images as they are."""

from tasks.core.settings import Section


class Settings(Section):
    """No options."""


def build(settings: Settings) -> None:
    """None: the loop then has nothing to do."""
