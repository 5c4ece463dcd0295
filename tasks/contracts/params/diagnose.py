"""Parameters of the stage `diagnose`: the error rates that its statements keep, and what counts as a harm."""

from pydantic import Field

from tasks.contracts.params import Computing, Section


class Diagnose(Section):
    confidence: float = Field(gt=0.5, lt=1)
    alpha: float = Field(gt=0, lt=0.5)
    power: float = Field(gt=0.5, lt=1)
    # The smallest harm that matters: a check that could not have seen it is inconclusive.
    harm_nats: float = Field(gt=0)
    harm_accuracy: float = Field(gt=0, lt=1)


class DiagnoseParams(Computing):
    diagnose: Diagnose
