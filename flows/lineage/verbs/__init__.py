"""The verbs of `goodfit lineage`, one file each. The folder is the list: a new file is a new verb.

The file `check_signature.py` would be the verb `check-signature`. A file has `TEXT` (what `--help` says; its first sentence stands in
the list of verbs), `EXAMPLE` (a command and what it is for), `add_options(command)`, and `call(options, root)`, which returns the exit
code. `FAILURE` is the exit code of a verb that could not do its work, where that is not 1. What a verb needs is imported inside of
`call`, since every `goodfit` command reads these files.
"""
