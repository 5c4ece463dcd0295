"""Schedules of the learning rate: a file each, with `Settings` and `build(settings, optimizer, epochs)`; stepped once per epoch."""
