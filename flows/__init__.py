"""What decides, schedules and records: the only place that knows Prefect or DVC."""

from flows.sources import watch

watch()
