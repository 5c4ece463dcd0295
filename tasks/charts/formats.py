"""Numbers as text: with units, few digits and a true minus sign."""

import re
from collections.abc import Callable, Mapping
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
    """A number with `decimals` decimals; a dash where there is no number."""
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
    """The number of decimals that an estimate and its interval share: fewer for larger numbers."""
    largest = max((abs(number) for number in numbers if number is not None), default=0.0)
    return (
        0 if largest >= 1000 else 1 if largest >= 100 else 2 if largest >= 10 else 3 if largest >= 0.02 or largest == 0 else 4
    )


def value(item: Any, most: int = 24) -> str:
    """A parameter or a piece of evidence as YAML writes it; of a long list only the first `most` items, and their number."""
    match item:
        case bool() | None:
            return "–" if item is None else str(item).lower()
        case list() | tuple():
            more = f", … {len(item)} in all" if len(item) > most else ""
            return f"[{', '.join(value(part) for part in item[:most])}{more}]"
        case {"name": str(name), **options} if not options:  # a component without options
            return name
        case dict():
            return ", ".join(f"{key}: {value(part)}" for key, part in item.items())
        case float():
            return repr(item) if len(repr(item)) <= 10 else f"{item:.5g}"
        case _:
            return str(item)


def p_value(number: float) -> str:
    """A p-value with four decimals; smaller ones are only said to be smaller."""
    return f"< {0.0001:.4f}" if number < 0.0001 else fixed(number, 4)


def spelled(estimate: Estimate, decimals: int, spell: Callable[[float | None, int], str]) -> dict[str, str]:
    """An estimate and its interval as text; the interval is empty where there is none."""
    value, low, high = (spell(number, decimals) for number in (estimate.value, estimate.low, estimate.high))
    return {"value": value, "interval": "" if estimate.low is None or estimate.high is None else between(low, high)}


def without_fix(text: str) -> str:
    """The sentences of a finding but the one that begins with "Fix:"."""
    return re.sub(r" *\bFix: .*?\.(?=\s+[A-Z]|$)", "", text).strip()


def typeset(sentence: str) -> str:
    """A sentence of a finding with true minus signs, and without a line break between a number and its percent sign."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", re.sub(r"(?<=\d) %", f"{THIN}%", sentence))


def words(code: str) -> str:
    """A code as words: `good_fit` is "Good fit"."""
    text = code.replace("_", " ")
    return text[:1].upper() + text[1:]
