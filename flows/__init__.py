"""What decides, schedules and records: the only place that knows Prefect or DVC."""

import os

from flows.sources import watch

watch()
# Prefect's client sends usage statistics from a terminal unless told not to before it is imported, and reads no file for that.
os.environ.setdefault("DO_NOT_TRACK", "1")
