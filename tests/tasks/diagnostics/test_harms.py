import pytest

from tasks.diagnostics.harms import Harm, Harms
from tasks.statistics.comparisons import Contrast

SEEN = Harm(Contrast(0.05, 0.01, 0.03, 0.07, 0.0), p_holm=0.001, mde=0.025, matters=0.03)
UNSEEN = Harm(Contrast(0.01, 0.01, -0.01, 0.03, 0.2), p_holm=0.4, mde=0.025, matters=0.03)
SMALL = Harm(Contrast(0.005, 0.001, 0.003, 0.007, 0.0), p_holm=0.001, mde=0.0025, matters=0.03)
BLIND = Harm(Contrast(0.0, 0.05, -0.1, 0.1, 0.5), p_holm=1.0, mde=0.125, matters=0.03)
EXCLUDED = Harm(Contrast(-0.2, 0.05, -0.3, -0.1, 1.0), p_holm=1.0, mde=0.125, matters=0.03)


@pytest.mark.parametrize(
    ("raw", "scaled", "error", "removable", "overtrained", "overconfident"),
    [
        (UNSEEN, UNSEEN, UNSEEN, True, False, False),
        (SEEN, UNSEEN, UNSEEN, True, False, True),  # temperature scaling removes the harm
        (SEEN, UNSEEN, UNSEEN, False, True, False),  # temperature scaling does not help: the harm stays
        (SEEN, SEEN, UNSEEN, True, True, False),  # a harm remains after temperature scaling
        (UNSEEN, UNSEEN, SEEN, True, True, False),  # more errors alone
        (SMALL, SMALL, SMALL, True, False, False),  # certain, but smaller than what matters
    ],
)
def test_a_harm_is_one_of_training_or_of_confidence(
    raw: Harm, scaled: Harm, error: Harm, *, removable: bool, overtrained: bool, overconfident: bool
) -> None:
    found = Harms(raw, scaled, error, removable, temperature=2.0)
    assert (found.overtrained(0.05), found.overconfident(0.05)) == (overtrained, overconfident)


def test_answered_needs_power_or_an_interval_that_excludes_the_harm() -> None:
    assert [harm.answered for harm in (UNSEEN, BLIND, EXCLUDED)] == [True, False, True]


@pytest.mark.parametrize(
    ("raw", "scaled", "error", "status"),
    [
        (UNSEEN, UNSEEN, UNSEEN, "pass"),  # the power to see a harm, and none seen
        (
            SEEN,
            UNSEEN,
            UNSEEN,
            "inconclusive",
        ),  # a harm may remain after temperature scaling: the interval reaches what matters
        (SEEN, EXCLUDED, UNSEEN, "pass"),  # no harm remains after temperature scaling
        (SEEN, EXCLUDED, BLIND, "inconclusive"),  # but errors may have grown
        (UNSEEN, BLIND, UNSEEN, "inconclusive"),
        (SEEN, SEEN, UNSEEN, "flag"),
    ],
)
def test_training_too_far_is_ruled_out_only_by_power_or_by_the_interval(
    raw: Harm, scaled: Harm, error: Harm, status: str
) -> None:
    assert Harms(raw, scaled, error, removable=True, temperature=2.0).overtrained_status(0.05) == status
