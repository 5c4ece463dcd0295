"""The type of an optimizer's `learning_rate`: a positive number, or `auto`, which a range test replaces by one before training."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from tasks.core.hints import nearest
from tasks.core.settings import Positive

AUTO = "auto"


@dataclass(frozen=True)
class OrAuto:
    """Validates a number as `Positive` does, takes the word `auto`, and answers any other word with one sentence."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # A union of pydantic's would report an offence for each of its members.
        return core_schema.no_info_wrap_validator_function(
            _checked, handler.generate_schema(Positive), serialization=core_schema.plain_serializer_function_ser_schema(_same)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"exclusiveMinimum": 0, "type": "number"}, {"const": AUTO}]}


if TYPE_CHECKING:
    LearningRate = float  # `build` is always handed a number: tasks/learning/assembly.py has replaced `auto` by then
else:
    LearningRate = Annotated[Positive | Literal["auto"], OrAuto()]


def is_auto(learning_rate: object) -> bool:
    """Whether it is the word."""
    return learning_rate == AUTO


def _checked(stated: Any, number: Any) -> Any:
    if not isinstance(stated, str):
        return number(stated)
    if stated == AUTO:
        return stated
    meant = f"; did you mean '{AUTO}'?" if nearest(stated, [AUTO]) else ""
    raise ValueError(f"found {stated!r} (str); it should be a number above 0, or {AUTO}{meant}")


def _same(value: Any) -> Any:
    return value
