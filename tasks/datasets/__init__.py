"""Datasets: a file each, with `Settings`, `fetch(settings, path, raw)` and `load(settings, raw)`."""
