"""Parameters of the stage `evaluate`."""

from pydantic import Field

from tasks.contracts.params import Computing, Section


class Evaluate(Section):
    confidence: float = Field(gt=0.5, lt=1)
    calibration_bins: int = Field(ge=2, le=100)
    bootstrap_resamples: int = Field(ge=200, le=100_000)


class EvaluateParams(Computing):
    evaluate: Evaluate
