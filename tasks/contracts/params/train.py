"""Parameters of the stage `train`: the model and how it learns.

A choice is a `name`; each choice with settings of its own has a section of that name beside it, so that
`-S train.optimizer.name=adam` alone is a complete change.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.contracts.params import Computing, Section

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=65536)]

ModelName = Literal["linear", "mlp", "cnn"]
LossName = Literal["cross_entropy", "mse"]
OptimizerName = Literal["sgd", "adam", "rmsprop", "adamw"]
ScheduleName = Literal["constant", "step", "cosine"]


class Mlp(Section):
    hidden: list[Width]
    dropout: Fraction


class Cnn(Section):
    channels: list[Width] = Field(min_length=1, max_length=8)
    hidden: Width
    dropout: Fraction


class Model(Section):
    name: ModelName
    standardise: bool
    mlp: Mlp
    cnn: Cnn


class Loss(Section):
    name: LossName


class Sgd(Section):
    momentum: Fraction
    nesterov: bool

    @model_validator(mode="after")
    def nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov: true needs a momentum above 0")
        return self


class Adam(Section):
    beta1: Fraction
    beta2: Fraction
    epsilon: Positive


class AdamW(Adam):
    weight_decay: NotNegative


class RmsProp(Section):
    alpha: Fraction
    momentum: Fraction
    epsilon: Positive


class Optimizer(Section):
    name: OptimizerName
    learning_rate: Positive
    sgd: Sgd
    adam: Adam
    adamw: AdamW
    rmsprop: RmsProp


class Step(Section):
    every_epochs: int = Field(ge=1)
    factor: float = Field(gt=0, le=1)


class Cosine(Section):
    final_fraction: float = Field(ge=0, le=1)


class Schedule(Section):
    name: ScheduleName
    step: Step
    cosine: Cosine


class Regularisation(Section):
    l1: NotNegative
    l2: NotNegative


class EarlyStopping(Section):
    enabled: bool
    patience: int = Field(ge=1)
    min_delta: NotNegative


class Train(Section):
    epochs: int = Field(ge=1, le=100_000)
    batch_size: int = Field(ge=1)
    shuffle: bool
    model: Model
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    regularisation: Regularisation
    early_stopping: EarlyStopping


class TrainParams(Computing):
    train: Train
