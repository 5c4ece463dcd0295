"""Did the batches of the training hold as many classes as batches in random order would?"""

from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import Finding, Remedy
from tasks.core.settings import Section
from tasks.diagnostics.question import Estimate, Question

if TYPE_CHECKING:
    from tasks.diagnostics.measured import Limits, Measured

VERDICT = "batch_order"
PRECEDENCE = 29
REQUIRED = False
QUESTION = Question(
    code="batch_order",
    title="Order of the batches",
    definition="Batches of the training that hold few classes, because the rows come in class order and are not shuffled. Each step "
    "then follows the gradient of a few classes, and makes the model worse on the others.",
    estimand="mean number of classes in a batch beyond the first, as a share of what random order gives; where a batch is one row, in "
    "pairs of rows that follow each other; counted over the batches of the first ten epochs, so it has no interval",
    method="A batch of n rows in random order holds sum over k of 1 - (1 - p_k) ** n classes on average; p_k is the share of class k.",
    unit="fraction",
    reference="share below which it is flagged",
)


class Settings(Section):
    # Rows sorted by class come near 0, shuffled ones near 1, and none of 1,000 random orders of 320 rows of ten classes below 0.93.
    least_share: float = Field(gt=0, lt=1, default=0.5)


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Flag where batches hold less than `least_share` of the classes, beyond the first, that random order gives.

    Random order is what makes the gradient of a batch an unbiased estimate of that of the whole (Bottou et al. 2018, SIAM Review 60,
    section 3). The flag is about the cause: how much the order costs, no record shows. Cost: none to speak of.
    """
    rows = len(measured.train.labels)
    if measured.batch_classes is None:
        return QUESTION.not_run("The order of the batches was not recorded.", rows)
    found, expected = measured.batch_classes
    if expected <= 1:
        return QUESTION.not_run("All training images are of one class.", rows)
    share = (found - 1) / (expected - 1)
    flagged = share < settings.least_share
    counted = f"a batch held {found:.1f} classes on average, and {expected:.1f} in random order"
    return QUESTION.answer(
        "flag" if flagged else "pass",
        f"The rows were trained on in class order: {counted}, so that each step learned a few classes and unlearned the others. "
        "Counted over the batches of the first ten epochs. Fix: set train.shuffle to true."
        if flagged
        else f"Batches were mixed: {counted}.",
        rows,
        Estimate(share, reference=settings.least_share),
        evidence={"classes_in_a_batch": found, "classes_in_a_batch_in_random_order": expected},
        remedy=_remedy() if flagged else None,
    )


def _remedy() -> Remedy:
    """No gain is promised: no record shows what the order costs."""
    return Remedy(
        action="Set train.shuffle to true.",
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source="The labels of the training images, in the order of the first ten epochs.",
    )
