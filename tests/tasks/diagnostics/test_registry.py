"""The folder of checks as a registry: what a new or an edited file makes run again."""

import ast
from pathlib import Path

import pytest

from tasks.core.components import Component
from tasks.diagnostics.catalogue import CHECKS, REQUIRED
from tests.conftest import Project

FOLDER = Path("tasks/diagnostics/checks")
NEW = '''
from tasks.core.settings import Section

VERDICT, PRECEDENCE, REQUIRED = "unused", 1, False


class Settings(Section):
    """No options."""


def check(measured, limits, settings):
    raise RuntimeError("this check is not listed")
'''


@pytest.mark.parametrize("name", Component("tasks.diagnostics.checks").names())
def test_every_check_is_a_component_and_its_finding_bears_its_name(name: str) -> None:
    check = Component("tasks.diagnostics.checks").choose({"name": name}).module
    assert check.QUESTION.code == name
    assert (check.VERDICT is None) == (check.PRECEDENCE is None)
    assert check.VERDICT is not None or not check.REQUIRED
    assert callable(check.check)


@pytest.mark.parametrize("name", Component("tasks.diagnostics.checks").names())
def test_checking_parameters_imports_nothing_heavy(name: str) -> None:
    body = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")).body
    imported = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in body if isinstance(node, ast.ImportFrom)}
    assert not {module.split(".")[0] for module in imported} & {"numpy", "scipy", "torch", "pandas", "sklearn"}
    assert not any(module.startswith("tasks.statistics") for module in imported)


def test_a_good_fit_needs_the_checks_that_say_so_whether_they_are_listed_or_not() -> None:
    component = Component("tasks.diagnostics.checks")
    assert set(CHECKS) <= set(component.names())
    assert {name for name in CHECKS if component.choose({"name": name}).module.REQUIRED} == set(REQUIRED)


def test_default_checks_have_an_order_without_ties() -> None:
    modules = [Component("tasks.diagnostics.checks").choose({"name": name}).module for name in CHECKS]
    order = [module.PRECEDENCE for module in modules if module.VERDICT]
    assert len(order) == len(set(order))


@pytest.mark.slow
def test_a_new_check_that_is_not_listed_reruns_nothing(ran: Project) -> None:
    (ran.root / FOLDER / "unused.py").write_text(NEW, encoding="utf-8")
    assert ran.is_clean()
    assert ran.repro() == set()


@pytest.mark.slow
def test_an_edited_check_reruns_the_diagnosis_and_what_reads_it_and_not_the_evaluation(ran: Project) -> None:
    file = ran.root / FOLDER / "gap.py"
    file.write_text(file.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    assert ran.repro() == {"diagnose", "report", "gates"}
