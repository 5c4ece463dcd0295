"""One recorded run, which the tests of the formats only read."""

import pytest

from flows.lineage.export.recorded import Recorded, read_recorded
from tests.conftest import Project


@pytest.fixture(scope="session")
def recorded(_ran: Project) -> Recorded:
    """The run of the session's project; a test that changes files takes `ran`, a copy."""
    return read_recorded(_ran.root)
