"""How numbers are written in the sentences of a finding."""


def level(confidence: float) -> str:
    """`95 %`."""
    return f"{100 * confidence:g} %"


def interval(low: float, high: float, confidence: float) -> str:
    """`95 % CI 0.009 to 0.110`."""
    return f"{level(confidence)} CI {low:.3f} to {high:.3f}"


def percent(fraction: float) -> str:
    """`96.3 %`."""
    return f"{100 * fraction:.1f} %"


def percent_interval(low: float, high: float, confidence: float) -> str:
    """`95 % CI 94.3 to 97.6 %`."""
    return f"{level(confidence)} CI {100 * low:.1f} to {100 * high:.1f} %"


def points(fraction: float) -> str:
    """`1.8 percentage points`, of a difference of two fractions."""
    return f"{100 * fraction:.1f} percentage points"


def change(fraction: float) -> str:
    """`-0.3 percentage points`, with its sign."""
    rounded = round(100 * fraction, 1)
    return f"{rounded:+.1f} percentage points" if rounded else "0.0 percentage points"


def points_interval(low: float, high: float, confidence: float) -> str:
    """`95 % CI -1.2 to 0.8`, in percentage points."""
    return f"{level(confidence)} CI {100 * low:.1f} to {100 * high:.1f}"
