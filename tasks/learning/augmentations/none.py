"""None."""

from tasks.core.settings import Section


class Settings(Section):
    pass


def build(settings: Settings) -> None:
    """Nothing."""
