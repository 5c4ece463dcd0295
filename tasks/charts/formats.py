"""Numbers as a reader wants them: units, few digits, a true minus sign, and an interval beside every estimate."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from tasks.core.errors import ArtifactError
from tasks.core.files import repair

THIN = "\u202f"  # narrow, and no line break between a number and its unit


@dataclass(frozen=True)
class Estimate:
    """A number and its interval, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


def read_estimate(metrics: Mapping[str, Any], name: str) -> Estimate:
    """A number of `metrics/evaluation.json`: `x` with `x_ci_low` and `x_ci_high`.

    Raises:
        ArtifactError: it is not there.
    """
    if not isinstance(metrics.get(name), int | float):
        raise ArtifactError(f"metrics/evaluation.json has no number '{name}', only {', '.join(metrics)}: {repair('evaluate')}")
    return Estimate(metrics[name], metrics.get(f"{name}_ci_low"), metrics.get(f"{name}_ci_high"))


def fixed(number: float | None, decimals: int) -> str:
    """A number with so many decimals; a dash where there is none."""
    if number is None or not isfinite(number):
        return "–"
    text = f"{number:,.{decimals}f}".replace(",", THIN)
    return text.removeprefix("-") if not text.strip("-0." + THIN) else text.replace("-", "−")


def percent(fraction: float | None, decimals: int = 1) -> str:
    """A fraction in [0, 1] as a percentage."""
    text = fixed(None if fraction is None else 100 * fraction, decimals)
    return text if text == "–" else f"{text}{THIN}%"


def count(number: float) -> str:
    return fixed(number, 0)


def between(low: str, high: str) -> str:
    """An interval of two formatted numbers; "to", because a dash reads as a minus."""
    return f"{low.removesuffix(f'{THIN}%')} to {high}"


def decimals_of(*numbers: float | None) -> int:
    """As many decimals as leave the smaller numbers of a row readable: an estimate and its interval share them."""
    largest = max((abs(number) for number in numbers if number is not None), default=0.0)
    return (
        0 if largest >= 1000 else 1 if largest >= 100 else 2 if largest >= 10 else 3 if largest >= 0.02 or largest == 0 else 4
    )


def general(number: float | None) -> str:
    """A number of unknown unit."""
    if isinstance(number, int) or (number is not None and number >= 1000):
        return fixed(number, 0)
    return fixed(number, decimals_of(number))


def value(item: Any, most: int = 24) -> str:
    """A parameter or a piece of evidence, spelled as in YAML; of a long list the first `most` and how many there are."""
    match item:
        case bool():
            return str(item).lower()
        case None:
            return "–"
        case list() | tuple():
            more = f", … {len(item)} in all" if len(item) > most else ""
            return f"[{', '.join(value(part) for part in item[:most])}{more}]"
        case dict():
            return ", ".join(f"{key}: {value(part)}" for key, part in item.items())
        case float():
            return repr(item) if len(repr(item)) <= 10 else f"{item:.5g}"
        case _:
            return str(item)


def words(code: str) -> str:
    """A code as words: `good_fit` is "Good fit"."""
    text = code.replace("_", " ")
    return text[:1].upper() + text[1:]
