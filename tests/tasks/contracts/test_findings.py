"""What a remedy rests on."""

import pytest
from pydantic import ValidationError

from tasks.contracts.findings import BASES, Remedy

STORED = {"action": "Stop early.", "expected_gain": None, "ci": None, "unit": None, "source": "The recorded epochs."}


@pytest.mark.parametrize("basis", BASES)
def test_a_remedy_says_in_words_what_it_rests_on(basis: str) -> None:
    assert Remedy.model_validate(STORED | {"basis": basis}).grounds == f"{BASES[basis]}. The recorded epochs."  # type: ignore[index]


def test_another_kind_of_source_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"'records', 'pilot' or 'literature'"):
        Remedy.model_validate(STORED | {"basis": "experience"})


def test_a_remedy_that_was_stored_without_the_kind_of_its_source_is_still_read() -> None:
    assert Remedy.model_validate(STORED).grounds == "The recorded epochs."
