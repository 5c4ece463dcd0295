"""Every error that goodfit raises on purpose: one base class, few children.

A message says what was found, what was expected and what to do.
"""


class GoodfitError(Exception):
    """Base of all errors that a user can mend; the doors print its message without a traceback."""


class UnknownNameError(GoodfitError):
    """A person asked for something by a name that does not exist: a usage error."""


class ParamsError(GoodfitError):
    """`params.yaml` holds a key, a value or a name that is not allowed."""


class DataError(GoodfitError):
    """The data are missing, damaged or of a form that cannot be learned from."""


class ArtifactError(GoodfitError):
    """A file that an earlier stage should have written is missing or is not what it should be."""


class GateError(GoodfitError):
    """The results do not meet a condition that the user has set."""


class TrainingError(GoodfitError):
    """The model did not learn: the loss is not a finite number."""
