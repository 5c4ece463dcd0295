"""Objects of installed distributions that parameters name, `package.module:Object`: what is behind every component `imported`.

To name an object is to run its code, also when a stored model is loaded. Hence it must belong to an installed distribution, which the
standard library does not, and must be a class of the kind that is wanted, or a function annotated to return that kind; both are
looked at before it is called.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from re import fullmatch
from typing import Any, TypeVar, get_type_hints

from pydantic import Field, ValidationInfo, field_validator

from tasks.core.errors import ParamsError
from tasks.core.settings import Section

Made = TypeVar("Made")
IDENTIFIER = r"[A-Za-z_]\w*"


class Imported(Section):
    """The options of every component `imported`."""

    import_: str = Field(alias="import")  # `package.module:Object` of an installed distribution
    options: dict[str, Any] = Field(default={})  # keyword arguments of the object
    version: str = Field(default="", validate_default=True)  # distribution and version: filled in; stated to insist on one

    @field_validator("import_")
    @classmethod
    def belongs_to_a_distribution(cls, named: str) -> str:
        if not fullmatch(rf"{IDENTIFIER}(\.{IDENTIFIER})*:{IDENTIFIER}", named):
            raise ValueError(f"found {named!r}; expected `package.module:Object`, such as torchvision.models:resnet18")
        package = _package(named)
        if not distribution_of(package):
            raise ValueError(
                f"found {named!r}, and no installed distribution has a package {package!r}; expected one that is installed: install "
                "it, or put a file of your own into the folder of the component"
            )
        return named

    @field_validator("version")
    @classmethod
    def is_installed(cls, stated: str, info: ValidationInfo) -> str:
        installed = distribution_of(_package(info.data.get("import_", "")))
        if stated and installed and _public(stated) != _public(installed):
            raise ValueError(
                f"found {stated!r}, and {installed!r} is installed; install the one that is stated, or train again"
            )
        return stated or installed


@cache
def distribution_of(package: str) -> str:
    """The installed distribution of a top-level package and its version, as in "torchvision 0.29.2"; empty where there is none."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    name = next(iter(sorted(packages_distributions().get(package, []))), package)
    try:
        return f"{name} {version(name)}" if name else ""
    except PackageNotFoundError:
        return ""


def resolve(settings: Imported, *kinds: type[Any]) -> Callable[..., Any]:
    """Import the object, and check that it makes one of `kinds`.

    Raises:
        ParamsError: it does not exist, cannot be imported, or makes something else.
    """
    module_name, _, name = settings.import_.partition(":")
    try:
        module = import_module(module_name)
    except (ImportError, OSError) as error:  # OSError: a shared library that cannot be loaded
        raise ParamsError(f"{settings.import_} cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        nearest = get_close_matches(name, dir(module), n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
        raise ParamsError(f"{settings.import_}: {module_name} has no {name!r}{hint}")
    found = getattr(module, name)
    made = found if isinstance(found, type) else _returned(found)
    if not (callable(found) and isinstance(made, type) and issubclass(made, kinds)):
        wanted = " or ".join(_name(kind) for kind in kinds)
        raise ParamsError(
            f"{settings.import_} is {_described(found)}; expected a class derived from {wanted}, or a function with such a class as "
            "its return annotation"
        )
    return found  # type: ignore[no-any-return]


def make(settings: Imported, kind: type[Made], *arguments: Any, **given: Any) -> Made:
    """Resolve the object and call it with `arguments`, the keyword arguments `given` and those of `settings.options`.

    Raises:
        ParamsError: it cannot be resolved, does not take these arguments, or returns something else than a `kind`.
    """
    factory = resolve(settings, kind)
    twice = sorted(given.keys() & settings.options.keys())
    if twice:
        raise ParamsError(f"{settings.import_}: options holds {', '.join(twice)}, which is handed over already; drop it there")
    try:
        made = factory(*arguments, **given, **settings.options)
    except Exception as error:
        keywords = ", ".join(f"{key}={value!r}" for key, value in {**given, **settings.options}.items())
        raise ParamsError(
            f"{settings.import_} failed with {keywords or 'no options'}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, kind):
        raise ParamsError(f"{settings.import_} returned {_described(made)}; expected {_name(kind)}")
    return made


def _package(named: str) -> str:
    return named.partition(":")[0].partition(".")[0]


def _public(version: str) -> str:
    """Without the local part: "torch 2.15.0+cpu" and "torch 2.15.0" are the same release."""
    return version.partition("+")[0]


def _returned(function: Any) -> Any:
    try:
        return get_type_hints(function).get("return")
    except (TypeError, NameError, AttributeError):  # no function; an annotation that names what is not there
        return None


def _described(found: Any) -> str:
    if isinstance(found, type):
        return f"the class {_name(found)}"
    if callable(found) and hasattr(found, "__name__"):
        returned = _returned(found)
        return f"the function {found.__name__} {f'that returns {returned}' if returned else 'without a return annotation'}"
    return f"a value of type {type(found).__name__}"


def _name(kind: type[Any]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
