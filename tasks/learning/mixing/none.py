"""Every example by itself, with its label: the baseline."""

from tasks.core.settings import Section


class Settings(Section):
    """No options."""


def build(settings: Settings) -> None:
    """None: the loop then keeps images and labels as they are."""
