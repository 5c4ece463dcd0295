"""The report for readers who see colours otherwise, and in print: enough contrast, and nothing that only a colour tells.

Contrast is that of WCAG 2.2 (success criteria 1.4.3 and 1.4.11). Dichromacy is simulated by the matrices of Machado, Oliveira &
Fernandes 2009 (severity 1, linear sRGB); colours are compared by their Euclidean distance in CIELAB (CIE 1976).
"""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.charts.confusion import _shades
from tasks.charts.findings import NAMES, SHAPES
from tasks.charts.heat_maps import AGAINST, FOR
from tests.tasks.test_report import page, write_results

TEXT, GRAPHIC = 4.5, 3.0  # the least contrast
DIFFERENT = 15.0  # the least distance of two lines of a chart; 2.3 is just noticeable (Mahy, Van Eycken & Oosterlinck 1994)
SERIES = ("ink", "muted", "accent")
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
Floats = NDArray[np.float64]


def palettes() -> dict[str, dict[str, Floats]]:
    """sRGB in [0, 1] by the name of the variable: light, dark, and in print; the latter two state what differs from light."""
    style = Path("tasks/charts/style.css").read_text(encoding="utf-8")
    blocks = [
        {name: hexadecimal(digits) for name, digits in re.findall(r"--([\w-]+): #([0-9a-f]+);", block)}
        for block in re.findall(r":root \{([^}]+)\}", style)
    ]
    return {name: {**blocks[0], **block} for name, block in zip(("light", "dark", "print"), blocks, strict=True)}


def hexadecimal(digits: str) -> Floats:
    full = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    return np.array([int(full[place : place + 2], 16) / 255 for place in (0, 2, 4)])


def linear(colour: Floats) -> Floats:
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def contrast(one: Floats, other: Floats) -> float:
    darker, lighter = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def lab(colour: Floats, seen: Floats) -> Floats:
    """CIELAB of an sRGB colour as it is seen, with white as the reference."""
    xyz = TO_XYZ @ np.clip(seen @ linear(colour), 0, 1) / TO_XYZ.sum(axis=1)
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: Floats, other: Floats, seen: Floats) -> float:
    return float(np.linalg.norm(lab(one, seen) - lab(other, seen)))


def test_contrast_and_distance_have_their_known_values() -> None:
    black, white, red, green = (np.array(colour, float) for colour in ((0, 0, 0), (1, 1, 1), (1, 0, 0), (0, 1, 0)))
    assert contrast(black, white) == pytest.approx(21)
    assert lab(red, VISION["normal"]) == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
    # What everybody knows of red and green: their hue is lost, and their lightness remains.
    known, lost = (abs(lab(red, VISION[eye]) - lab(green, VISION[eye]))[1] for eye in ("normal", "deuteranopia"))
    assert lost < known / 10


@pytest.mark.parametrize("scheme", palettes())
def test_text_lines_and_statuses_stand_out_from_what_they_lie_on(scheme: str) -> None:
    colours = palettes()[scheme]
    for name in (*SERIES, *(status for status in SHAPES if status in colours)):
        grounds = ["paper", "card", *([f"{name}-soft"] if f"{name}-soft" in colours else [])]
        for ground in grounds:
            assert contrast(colours[name], colours[ground]) >= TEXT, f"{name} on {ground}"


@pytest.mark.parametrize("scheme", palettes())
def test_counts_can_be_read_on_every_shade_of_the_confusion_matrix(scheme: str) -> None:
    colours = palettes()[scheme]
    counts = np.diag([100] * 11) + np.outer(np.arange(11), np.eye(11)[0]).astype(int)  # 0 to 10 errors of the same class
    shades = _shades(counts) / 255
    for actual, predicted in zip(*np.nonzero(counts), strict=True):
        red, green, blue, opacity = shades[actual, predicted]
        ground = opacity * np.array([red, green, blue]) + (1 - opacity) * colours["card"]
        text = colours["muted" if actual == predicted else "ink"]
        assert contrast(text, ground) >= TEXT, f"{counts[actual, predicted]}"


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("scheme", palettes())
def test_lines_of_a_chart_differ_for_colour_blind_readers(scheme: str, vision: str) -> None:
    colours = palettes()[scheme]
    for one, other in combinations(SERIES, 2):
        assert distance(colours[one], colours[other], VISION[vision]) >= DIFFERENT, f"{one} and {other}"


@pytest.mark.parametrize("vision", VISION)
def test_for_and_against_differ_for_colour_blind_readers(vision: str) -> None:
    assert distance(np.array(FOR) / 255, np.array(AGAINST) / 255, VISION[vision]) >= DIFFERENT


def test_no_two_lines_of_a_chart_differ_by_colour_alone(tmp_path: Path) -> None:
    charts = re.findall(r"<svg.*?</svg>", page(write_results(tmp_path, suspicious=True, automatic=True)), re.DOTALL)
    assert len(charts) == 7
    several = 0
    for chart in charts:
        forms: dict[tuple[str, ...], set[str]] = {}
        for style in re.findall(r'<path [^>]*style="(fill: none; [^"]*)"', chart):
            colour = re.search(r"stroke: var\(--(\w+)\)", style)
            if colour and colour[1] in SERIES:
                form = tuple(re.findall(r"stroke-(?:dasharray|width): [^;]+", style))
                forms.setdefault(form, set()).add(colour[1])
        several += len(forms) > 1
        assert all(len(colours) == 1 for colours in forms.values()), chart[:200]
    assert several >= 4


def test_every_status_has_a_shape_and_a_word_of_its_own(tmp_path: Path) -> None:
    text = page(write_results(tmp_path, suspicious=True, smaller=True))
    assert len(set(SHAPES.values())) == len(set(NAMES.values())) == len(SHAPES)
    drawn = re.findall(r'<span class="status (\w+)">(.*?</span>.*?)</span>', text)
    assert {kind for kind, _ in drawn} >= {"pass", "flag", "inconclusive", "not_run"}
    for kind, inside in drawn:
        assert re.fullmatch(f'<span class="shape" aria-hidden="true">{re.escape(SHAPES[kind])}</span>[A-Z][a-z ]+', inside)
    chips = re.findall(r'<a class="chip".*?</a>', text)
    assert chips
    assert all(SHAPES["flag"] in chip for chip in chips)
