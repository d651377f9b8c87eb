"""The failures, drawn as a tree.

Item2VecError
├── UsageError            the call or the configuration is wrong: change the command
│   ├── ConfigError       a key or a value of the TOML (or of ``--set``) is unknown or out of range
│   └── MissingDependencyError   an optional library is not installed (the message says how)
├── DataError             the input is wrong: look at the files
│   ├── SourceError       a file cannot be read at all, or a mapped column is missing
│   ├── QuarantineError   more rows were refused than the run allows
│   ├── EmptyDataError    nothing is left to work on after the rules were applied
│   ├── LeakError         what is to be measured was fitted on what it is measured with
│   └── UnknownItemError  an item id is not in the vocabulary
├── RunError              the machinery failed: a run, an object or a release
│   ├── CorruptArtifactError   a file does not match its manifest
│   ├── LockedRunError    another process is writing the same run
│   └── TrainingError     training diverged or cannot start
└── GateError             nothing failed, and the new release is worse: the current one stays
"""


class Item2VecError(Exception):
    """Base of every error this package raises on purpose; the message says what, where and what to do."""

    exit_code = 1


class UsageError(Item2VecError):
    """The call or the configuration is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration key is unknown or its value is out of range."""


class MissingDependencyError(UsageError):
    """An optional library is needed and not installed."""


class DataError(Item2VecError):
    """The input data is wrong."""

    exit_code = 3


class SourceError(DataError):
    """A source file is missing, unreadable or lacks a mapped column."""


class QuarantineError(DataError):
    """More rows were refused than the configured share."""


class EmptyDataError(DataError):
    """Nothing is left to work on."""


class LeakError(DataError):
    """A model under test, or the training side, knows what happens in the test."""


class UnknownItemError(DataError, KeyError):
    """An item id is not in the vocabulary."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class RunError(Item2VecError):
    """A run, an object or a release failed."""

    exit_code = 4


class CorruptArtifactError(RunError):
    """A file does not match its manifest."""


class LockedRunError(RunError):
    """Another process is writing the same run."""


class TrainingError(RunError):
    """Training diverged or could not start."""


class GateError(Item2VecError):
    """The gate refused the release: it is worse than the current one, which stays."""

    exit_code = 5


def of_the_system(error: OSError) -> bool:
    """Tell what the operating system refused from a library's own error.

    numpy tells a short write without a number: "116 requested and 0 written".
    """
    return error.errno is not None or str(error).endswith(" written")
