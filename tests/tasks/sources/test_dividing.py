"""Divisions of small sources: whose shares are kept, whose groups stay whole, and what is impossible."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tasks.contracts.splits import SPLITS, SplitName
from tasks.core.errors import DataError
from tasks.sources.dividing import Part, divide
from tasks.sources.source import Rows, Source


def source(counts: list[int], own_test: bool = False, own_val: bool = False) -> Source:
    """Rows of shuffled classes."""
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    train = Rows(np.zeros((len(labels), 1, 2, 2), np.uint8), labels)
    few = replace(train, images=train.images[:3], labels=labels[:3])
    names = [f"class {number}" for number in range(len(counts))]
    return Source(names, "row", train, few if own_val else None, few if own_test else None)


def grouped(groups: Sequence[str], labels: Sequence[int]) -> Source:
    rows = Rows(np.zeros((len(labels), 1, 2, 2), np.uint8), np.array(labels), groups=groups)
    return Source([f"class {number}" for number in range(max(labels) + 1)], "row", rows)


def counts(part: Part) -> list[int]:
    found: list[int] = np.bincount(part.labels).tolist()
    return found


def groups_of(part: Part) -> set[str]:
    return {part.rows.groups[index] for index in part.index.tolist()}


def test_every_row_is_in_one_split_in_the_sources_order() -> None:
    parts = divide(source([100, 40, 9]), 0.2, 0.25, seed=0)

    assert list(parts) == list(SPLITS)
    assert sorted(np.concatenate([part.index for part in parts.values()]).tolist()) == list(range(149))
    assert all(np.all(np.diff(part.index) > 0) for part in parts.values())


def test_shares_are_kept_in_every_class() -> None:
    parts = divide(source([100, 40, 9]), val_fraction=0.2, test_fraction=0.25, seed=0)

    assert counts(parts["test"]) == [25, 10, 2]
    assert counts(parts["val"]) == [15, 6, 1]
    assert counts(parts["train"]) == [60, 24, 6]


def test_a_small_class_keeps_a_row_on_every_side() -> None:
    parts = divide(source([30, 3]), val_fraction=0.1, test_fraction=0.1, seed=0)

    assert [counts(parts[name])[1] for name in SPLITS] == [1, 1, 1]


def test_the_sources_own_splits_stay_whole() -> None:
    own = source([20, 20], own_test=True)
    parts = divide(own, val_fraction=0.5, test_fraction=0.9, seed=0)
    assert len(parts["train"]) == len(parts["val"]) == 20
    assert parts["test"].rows is own.test
    assert parts["test"].numbers.tolist() == [0, 1, 2]

    own = source([20, 20], own_test=True, own_val=True)
    parts = divide(own, val_fraction=0.5, test_fraction=0.9, seed=0)
    assert parts["train"].index.tolist() == list(range(40))
    assert parts["val"].rows is own.val


def test_the_share_of_validation_does_not_move_the_test() -> None:
    small, large = (divide(source([50, 50]), val_fraction, 0.25, seed=3)["test"].index for val_fraction in (0, 0.5))

    assert np.array_equal(small, large)


def test_rows_keep_the_numbers_of_their_source() -> None:
    own = source([10, 10])
    parts = divide(replace(own, train=replace(own.train, numbers=np.arange(100, 120))), 0.2, 0.2, seed=0)

    assert all(np.array_equal(part.numbers, part.index + 100) for part in parts.values())


def test_rejects_a_class_too_small_to_be_tested() -> None:
    with pytest.raises(
        DataError, match=r"class 'class 1' has too few rows to divide between train and test: 1; expected 2 or more"
    ):
        divide(source([20, 1]), val_fraction=0, test_fraction=0.25, seed=0)


def test_rejects_a_class_too_small_to_be_validated() -> None:
    with pytest.raises(DataError, match=r"class 'class 1' .* train and val: 1; .*set preprocess\.val_fraction to 0"):
        divide(source([20, 2]), val_fraction=0.2, test_fraction=0.25, seed=0)


def patients(seed: int, n: int, classes: int) -> Source:
    """Groups of very different sizes, some with one class only."""
    generator = np.random.default_rng(seed)
    groups: list[str] = []
    labels: list[int] = []
    for number in range(n):
        size = int(generator.integers(1, 40))
        mix = generator.dirichlet(np.full(classes, 0.5))
        groups += [f"p{number}"] * size
        labels += generator.choice(classes, size, p=mix).tolist()
    order = generator.permutation(len(labels))
    return grouped([groups[i] for i in order], [labels[i] for i in order])


@pytest.mark.parametrize("world", range(8))
def test_groups_never_straddle_and_shares_are_near(world: int) -> None:
    own = patients(world, n=60, classes=4)
    parts = divide(own, val_fraction=0.25, test_fraction=0.2, seed=world)
    n = len(own.train.labels)

    homes = [groups_of(parts[name]) for name in SPLITS]
    assert not homes[0] & homes[1]
    assert not homes[0] & homes[2]
    assert not homes[1] & homes[2]
    assert sorted(np.concatenate([part.index for part in parts.values()]).tolist()) == list(range(n))
    wanted: dict[SplitName, float] = {"test": 0.2, "val": 0.2, "train": 0.6}
    for name, share in wanted.items():
        shares = np.array(counts(parts[name])) / np.bincount(own.train.labels)
        assert np.abs(shares - share).max() < 0.03


def test_the_seed_decides_which_groups_are_held_out() -> None:
    own = patients(0, n=60, classes=3)
    drawn = [groups_of(divide(own, 0.2, 0.2, seed)["test"]) for seed in (0, 0, 1, 2)]

    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2] != drawn[3]


def test_the_share_of_validation_does_not_move_the_groups_of_the_test() -> None:
    own = patients(0, n=30, classes=3)

    assert groups_of(divide(own, 0, 0.2, 0)["test"]) == groups_of(divide(own, 0.4, 0.2, 0)["test"])


def test_three_groups_are_one_for_each_split() -> None:
    parts = divide(grouped(list("aaabbbccc"), [0, 1, 1] * 3), 0.5, 0.33, seed=0)

    assert [len(groups_of(parts[name])) for name in SPLITS] == [1, 1, 1]


def test_many_groups_are_divided_in_little_time() -> None:
    labels = np.random.default_rng(0).integers(10, size=20_000).tolist()
    parts = divide(grouped([f"g{number // 4}" for number in range(20_000)], labels), 0.1, 0.1, seed=0)

    assert abs(len(parts["test"]) - 2000) < 30


@pytest.mark.parametrize(
    ("groups", "labels", "val", "message"),
    [
        pytest.param("aaaa", [0, 1, 0, 1], 0.0, r"are of one group \(a\); expected two or more", id="one group"),
        pytest.param(
            "aabbcc",
            [0, 1, 0, 1, 0, 2],
            0.0,
            "(?s)classes in a single group.*\\(2\\):\n.* class 2: c\n.*two groups or more",
            id="one home",
        ),
        pytest.param(
            "aabb", [0, 1, 0, 1], 0.5, r"one group \([ab]\).*set preprocess.val_fraction to 0", id="none left for val"
        ),
    ],
)
def test_names_what_makes_a_division_impossible(groups: str, labels: list[int], val: float, message: str) -> None:
    if groups == "aabbcc":
        labels = [0, 1, 0, 0, 0, 2]  # classes 1 and 2 have one home each
    with pytest.raises(DataError, match=message):
        divide(grouped(list(groups), labels), val, 0.4, seed=0)


def test_says_when_no_choice_of_groups_gives_both_sides_every_class() -> None:
    # Each class is in two of three groups: two groups on one side hold some class whole.
    groups, labels = zip(*[("a", 0), ("b", 0), ("b", 1), ("c", 1), ("a", 2), ("c", 2)], strict=True)

    with pytest.raises(DataError, match=r"no division of the 3 groups between train and test was found .*missing: class"):
        divide(grouped(groups, labels), 0, 0.4, seed=0)


def test_a_source_without_validation_keeps_all_rows_to_train_on() -> None:
    parts: dict[Any, Part] = dict(divide(source([6, 6]), 0, 0.5, seed=0))

    assert len(parts["val"]) == 0
    assert len(parts["train"]) == len(parts["test"]) == 6
