"""The folder of checks as a registry; what a new or an edited file makes run again is in tests/flows/test_only_what_changed.py."""

import ast
import re
from pathlib import Path

import pytest

from tasks.core.components import Component
from tasks.diagnostics.catalogue import CHECKS, REQUIRED

FOLDER = Path("tasks/diagnostics/checks")


@pytest.mark.parametrize("name", Component("tasks.diagnostics.checks").names())
def test_every_check_is_a_component_and_its_finding_bears_its_name(name: str) -> None:
    check = Component("tasks.diagnostics.checks").choose({"name": name}).module
    assert check.QUESTION.code == name
    assert (check.VERDICT is None) == (check.PRECEDENCE is None)
    assert check.VERDICT is not None or not check.REQUIRED
    assert callable(check.check)


@pytest.mark.parametrize("name", Component("tasks.diagnostics.checks").names())
def test_every_check_says_where_its_method_is_from(name: str) -> None:
    check = Component("tasks.diagnostics.checks").choose({"name": name}).module.check
    cited = re.search(r"[A-Z][a-z]+((,| &) [A-Z][a-z]+)*( et al\.)? \(?(19\d\d|20[012]\d)\b", check.__doc__ or "")
    assert cited, "no author and year in its docstring"


@pytest.mark.parametrize("name", Component("tasks.diagnostics.checks").names())
def test_checking_parameters_imports_nothing_heavy(name: str) -> None:
    body = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")).body
    imported = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in body if isinstance(node, ast.ImportFrom)}
    assert not {module.split(".")[0] for module in imported} & {"numpy", "scipy", "torch", "pandas", "sklearn"}
    assert not any(module.startswith("tasks.statistics") for module in imported)


def test_every_remedy_states_the_kind_of_its_source() -> None:
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in Path("tasks").rglob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    remedies = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Remedy"]
    assert len(remedies) > len(CHECKS) / 2
    assert all("basis" in {keyword.arg for keyword in call.keywords} for call in remedies)


def test_a_good_fit_needs_the_checks_that_say_so_whether_they_are_listed_or_not() -> None:
    component = Component("tasks.diagnostics.checks")
    assert set(CHECKS) <= set(component.names())
    assert {name for name in CHECKS if component.choose({"name": name}).module.REQUIRED} == set(REQUIRED)


def test_default_checks_have_an_order_without_ties() -> None:
    modules = [Component("tasks.diagnostics.checks").choose({"name": name}).module for name in CHECKS]
    order = [module.PRECEDENCE for module in modules if module.VERDICT]
    assert len(order) == len(set(order))
