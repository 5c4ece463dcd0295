"""The pairs, their ratios and the verdict on known seconds."""

from benchmarks.side_by_side import Accuracy, Comparison, Figure, NotMeasured, Same, Single, in_turns, markdown


def test_both_sides_take_turns_and_the_warm_up_is_not_counted() -> None:
    calls: list[str] = []

    def side(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    assert in_turns(lambda: side("A"), lambda: side("B"), rounds=2) == [(3.0, 5.0), (4.0, 6.0)]
    assert "".join(calls) == "ABABAB"


def test_cold_runs_are_counted_from_the_first() -> None:
    assert in_turns(lambda: 1.0, lambda: 2.0, rounds=1, warm_up=False) == [(1.0,), (2.0,)]


def test_the_ratio_is_the_median_over_the_pairs_not_the_ratio_of_the_medians() -> None:
    comparison = Comparison("ours", "peer", 1.5, ours=(1.0, 9.0, 4.0), peer=(1.0, 3.0, 8.0))
    assert comparison.ratios == [1.0, 3.0, 0.5]
    assert str(comparison) == ("ours: 4.00 s; peer: 3.00 s; ratio 1.000 (0.500 to 3.000), 3 rounds; goal: at most 1.5, reached")


def test_a_goal_that_is_missed_is_told() -> None:
    assert str(Comparison("ours", "peer", 1.5, (1.6,), (1.0,))).endswith("goal: at most 1.5, MISSED")
    assert str(Single("cold", "s", 20, (25.0,))) == "cold: 25.00 s, 1 round; goal: at most 20 s, MISSED"
    assert str(Single("cold", "s", 20, (19.0, 21.0, 20.0))).endswith(
        "20.00 s (19.00 to 21.00), 3 rounds; goal: at most 20 s, reached"
    )


def test_an_accuracy_is_judged_by_its_mean() -> None:
    assert str(Accuracy("ours", "peer", 0.99, (0.98, 1.0), (0.97, 0.99))) == (
        "ours: 0.9900 (0.9800 to 1.0000), mean of 2 seeds; peer: 0.9800 (0.9700 to 0.9900), mean of 2 seeds; "
        "difference +0.0100; goal: at least 0.99, reached"
    )
    assert Accuracy("ours", "peer", 0.99, (0.98, 0.99), (1.0, 1.0)).reached is False


def test_digits_are_the_same_only_where_every_run_has_them() -> None:
    assert Same("loss", "peer", (0.1, 0.1), 0.1).reached
    assert not Same("loss", "peer", (0.1, 0.1 + 2**-56), 0.1).reached


def test_the_table_has_a_row_for_each_figure_with_what_was_not_measured() -> None:
    figures: list[Figure] = [
        Comparison("loop", "plain", 0.5, (1.0,), (4.0,)),
        Comparison("loop", "another", None, (1.0,), (4.0,)),
        Single("memory", "GB", 1.0, (2.0,)),
        NotMeasured("accuracy", "needs data"),
    ]
    assert markdown(figures).splitlines() == [
        "| what | ours | peer | ratio (spread) | goal | verdict |",
        "| --- | --- | --- | --- | --- | --- |",
        "| loop | 1.00 s | plain: 4.00 s | 0.250 (0.250 to 0.250), 1 round | at most 0.5 | reached |",
        "| loop | 1.00 s | another: 4.00 s | 0.250 (0.250 to 0.250), 1 round | – | for reference |",
        "| memory | 2.00 GB, 1 round | – | – | at most 1 GB | MISSED |",
        "| accuracy | – | – | – | – | not measured: needs data |",
    ]
