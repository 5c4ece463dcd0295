"""Parameters of the stage `report`."""

from pydantic import Field

from tasks.contracts.params import Section


class Report(Section):
    most_wrong: int = Field(ge=0, le=200)


class ReportParams(Section):
    report: Report
