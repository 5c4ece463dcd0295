"""The images as they are: the baseline, and right where no change of an image is sure to keep its class."""

from tasks.core.settings import Section


class Settings(Section):
    """No options."""


def build(settings: Settings) -> None:
    """None: the loop then has nothing to do."""
