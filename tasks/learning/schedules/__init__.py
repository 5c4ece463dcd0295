"""Schedules of the learning rate: a file each, with `Settings` and `build(settings, steps_per_epoch, epochs)`.

What `build` returns is a `tasks.learning.schedule.Schedule`: a function of the steps already taken and the validation losses so far
to the factor of the learning rate. `epochs` has a fraction where a warm-up takes part of an epoch.
"""
