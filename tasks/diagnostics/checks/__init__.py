"""The checks: one file each, and this folder is the registry.

To add a check, add a file here and list its name under `diagnose.checks`. The file holds

- `VERDICT`, the verdict that its flag means, or None for a check that only describes and never flags;
- `PRECEDENCE`, the place of that verdict when several flags are raised: the lowest number comes first (None without a verdict);
- `REQUIRED`, whether a good fit needs an answer of this check; of the others, the headline names those that have none;
- `Settings`, the options of the check (`tasks.core.components`);
- `QUESTION`, what it asks, whose code is the name of the file;
- `check(measured, limits, settings) -> Finding`: numbers in, a finding out.

In a diagnosis of tables (`tasks.diagnostics.frames`) parts of `measured` may not have been given. Reading one ends the check, which is
then `not_run`; what a check can do without is read through `tasks.diagnostics.parts.known`.

Nothing heavy is imported at the top of the file: parameters are checked, and the file imported, before anything runs.
"""
