"""Errors of the user and of the data. A message says where, what was found, what was expected, what to do."""


class JqlError(Exception):
    """Anything jql refuses; the command line prints it as one line."""


class RecipeError(JqlError, ValueError):
    """The recipe or an option is wrong: the user's mistake, exit code 2."""


class DataError(JqlError, ValueError):
    """Input data cannot be used: names the file and, where there is one, the row."""


class InputError(RecipeError):
    """An input named by the user does not exist, is empty or has the wrong columns: exit code 2."""


class StopError(JqlError):
    """No unit can go on (a full disk, a dead endpoint, a spent budget): the run stops at once, exit code 1."""


class OutputError(StopError):
    """The output cannot be written (disk full, no permission)."""


class LockError(JqlError):
    """Another run works in this folder: exit code 2."""


class IncompleteError(JqlError):
    """Units are missing at the end of a stage: exit code 1."""


def one_line(error: BaseException) -> str:
    """The error as a single line of at most 400 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else text[:397] + "..."
