"""Parameters of the stage `preprocess`: how the rows are split."""

from pydantic import Field

from tasks.contracts.params import Section, Seeded


class Preprocess(Section):
    val_fraction: float = Field(ge=0, lt=1)
    test_fraction: float = Field(gt=0, lt=1)


class PreprocessParams(Seeded):
    preprocess: Preprocess
