"""Datasets. Each is one file, and has

- `Settings`: its options;
- `fetch(settings, path, raw)`: write the source's own files into the folder `raw`, checked; `path` is `download.path`, for the
  datasets that read it. What cannot be learned from is a `DataError`, before anything is believed;
- `load(settings, raw)`: read them back as a `tasks.sources.source.Source`. Image files are listed and not read: `preprocess` decodes
  them, as `preprocess.image` says;
- `READS_PATH = True`, if it reads the user's own data at `download.path`.
"""
