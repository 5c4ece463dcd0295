"""The page of `dvc plots show` and `dvc plots diff`, as a browser without a network shows it."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

from flows.plots import PAGE, page
from tests.conftest import ROOT, Project

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
PLOTS = ("Accuracy", "Loss", "Confusion of the test set", "Reliability")
# DVC's built-in templates name version 5 of the schema, the inlined library is newer; DVC also hands over the layer that draws
# the pointer's values, which is empty until the pointer is on the plot.
EXPECTED_WARNINGS = re.compile(r"The input spec uses Vega-Lite v5|WARN Infinite extent for field")


def test_the_page_that_dvc_is_told_to_use_is_the_one_that_is_written() -> None:
    config = ConfigParser()
    config.read(ROOT / ".dvc/config")
    assert Path(".dvc") / config["plots"]["html_template"] == PAGE


def test_the_page_is_not_committed() -> None:
    subprocess.run(["git", "check-ignore", "-q", PAGE], cwd=ROOT, check=True)


def test_the_page_is_the_same_each_time() -> None:
    assert page() == page()


def test_the_page_keeps_what_dvc_fills_and_loads_nothing() -> None:
    text = page()
    assert text.count("{plot_divs}") == text.count("{refresh_tag}") == 1
    assert "{scripts}" not in text
    assert "<script src" not in text


def test_says_where_it_must_be_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.plots"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "root of the repository" in done.stderr


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def shown(_ran: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run with the page of `dvc plots show`, which the tests only look at."""
    project = Project(Path(shutil.copytree(_ran.root, tmp_path_factory.mktemp("plots") / "ran")))
    project.run(sys.executable, "-m", "flows.plots")
    project.run("dvc", "plots", "show")
    return project


def drawn(browser: Any, address: Path) -> dict[str, str]:
    """The text of each plot by its title, from a browser in which every request to the network fails and is an error."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    try:
        tab = context.new_page()
        tab.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
        tab.route(re.compile("^https?:"), lambda route: route.abort())
        tab.on("console", lambda said: None if EXPECTED_WARNINGS.search(said.text) else complaints.append(said.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(address.as_uri())
        tab.wait_for_function(f"document.querySelectorAll('svg.marks, canvas.marks').length >= {len(PLOTS)}", timeout=60_000)
        texts = [plot.text_content() for plot in tab.locator("svg.marks").all()]
    finally:
        context.close()
    assert complaints == []
    return {title: text for title in PLOTS for text in texts if title in text}


@pytest.mark.slow
def test_every_plot_is_drawn_without_a_network(browser: Any, shown: Project) -> None:
    plots = drawn(browser, shown.root / "dvc_plots/index.html")
    assert tuple(plots) == PLOTS


@pytest.mark.slow
def test_each_cell_of_the_confusion_shows_its_number(browser: Any, shown: Project) -> None:
    tab = browser.new_page()
    try:
        tab.goto((shown.root / "dvc_plots/index.html").as_uri())
        plot = tab.locator("svg.marks", has_text="Confusion of the test set")
        plot.wait_for(timeout=60_000)
        numbers = [int(text) for text in plot.locator(".mark-text.child_layer_1_marks text").all_text_contents()]
    finally:
        tab.close()
    counted = Counter(shown.text("results/confusion.csv").splitlines()[1:])
    assert sorted(numbers) == sorted(counted.values())


@pytest.mark.slow
def test_two_revisions_are_drawn_side_by_side(ran: Project, browser: Any) -> None:
    ran.run(sys.executable, "-m", "flows.plots")
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 4 ")
    ran.repro("evaluate")
    ran.run("dvc", "plots", "diff", "HEAD")
    plots = drawn(browser, ran.root / "dvc_plots/index.html")
    assert tuple(plots) == PLOTS
    assert all("workspace" in text and "HEAD" in text for text in plots.values())


@pytest.mark.slow
def test_the_reliability_has_its_diagonal_and_no_line_between_bins(browser: Any, shown: Project) -> None:
    tab = browser.new_page()
    try:
        tab.goto((shown.root / "dvc_plots/index.html").as_uri())
        plot = tab.locator("svg.marks", has_text="Reliability")
        plot.wait_for(timeout=60_000)
        lines = plot.locator(".mark-line path")
        bins = len(shown.text("results/calibration.csv").splitlines()) - 1
        assert lines.count() == 1, "the diagonal is the only line"
        assert lines.first.get_attribute("stroke-dasharray") == "4,4"
        assert plot.locator(".mark-symbol.layer_2_marks path").count() == bins
        assert plot.locator(".mark-rule.layer_1_marks line").count() == bins
    finally:
        tab.close()
