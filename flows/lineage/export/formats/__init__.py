"""The formats of `goodfit lineage export`, one file each. The folder is the list: a new file is a new format.

The file `model_card.py` is the format `model-card`. A file has `TEXT` (a line of `--help`) and `export(recorded, output)`, which writes
the recorded run to `output`, a file, folder or address as the user wrote it, or to standard output where that is None. What a format
needs beyond the standard library is imported inside of `export`, since every `goodfit` command reads these files.
"""
