"""Every error that the package raises on purpose: one family, one root, and the exit code of a run that one ends.

Each message quotes the input that caused it and names the remedy, so a user reads it without a traceback.
"""

from embalign.escaping import one_line

LONGEST = 3000  # characters of a message


class EmbalignError(Exception):
    """An error with a cause and a remedy; `exit_code` is that of a run that it ends (4: pytest's usage error).

    >>> try:
    ...     find_pair("smollm2")
    ... except EmbalignError as error:
    ...     print(str(error).split("; ")[-1])
    did you mean 'smollm2-mpnet'?
    """

    exit_code = 4

    def __str__(self) -> str:
        """Return the message as one line, whatever the input that it quotes holds."""
        return one_line(super().__str__(), LONGEST)


class CellError(EmbalignError):
    """A cell that cannot be measured; the grid goes on without it."""


class SelectionError(CellError, ValueError):
    """A ratio or policy that selects nothing."""


class LossError(CellError, ValueError, TypeError):
    """A loss of one's own that cannot be trained with; the message names the function and the remedy."""


class TrainingDivergedError(CellError, RuntimeError):
    """The loss became NaN or infinite."""


class DeviceError(EmbalignError, RuntimeError):
    """A device that cannot be used; the message names what torch finds and the remedy."""


class ExecutorError(CellError, RuntimeError):
    """An executor that cannot be used, or a cell whose worker died twice."""


class CellFailedError(CellError, RuntimeError):
    """A failed cell as its case reports it; the message is the cause."""


class NotStoredError(EmbalignError, RuntimeError):
    """A cell without a stored row in a run that measures nothing."""


class PairError(EmbalignError, ValueError):
    """A pair folder that cannot be used; the message names the file and the remedy."""


class CorpusError(EmbalignError, ValueError):
    """A corpus file that cannot be used; the message names the file, the line and the remedy."""


class VectorsError(EmbalignError, ValueError):
    """Vectors that cannot be imported; the message names the file, the cause and the remedy."""


class SourceError(EmbalignError, RuntimeError):
    """A source of embeddings that cannot be used; the message names it, the cause and the remedy."""


class WrongVectorsError(SourceError):
    """Vectors that are not those of their texts, or not all of one model: what the fetch stored is removed."""


class TransientError(SourceError):
    """A fault that may pass: worth another try after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AnswerError(SourceError):
    """A response that cannot be used: a redirect, a body that is not JSON, an error status."""


class StatusError(AnswerError):
    """A response with an HTTP error status; `detail` is the server's own text, shortened and escaped."""

    def __init__(self, message: str, status: int = 0, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class CacheError(EmbalignError, RuntimeError):
    """A cache file that cannot be used; the message names it and the remedy."""


class StoreError(EmbalignError, RuntimeError):
    """A store file that cannot be used; the message names it and the remedy."""


class TableError(EmbalignError, ValueError):
    """A table of results that cannot be read or judged; the message names the file, what was found and the remedy."""


class MapError(EmbalignError, ValueError):
    """A map that cannot be used, of a file or of one's own; the message names file or function, and the remedy."""


class FolderError(EmbalignError, ValueError):
    """A folder where experiments cannot be laid out; the message names what is in the way and the remedy."""


class PlatformError(EmbalignError, RuntimeError):
    """A system that the suite is not made for."""


class LinkError(EmbalignError, RuntimeError):
    """A symbolic link where something is to be written or deleted; the message names it and the remedy."""


class BaselineError(EmbalignError, RuntimeError):
    """A baseline that cannot be read or must not be updated; the message names the remedy."""


class ConclusionError(EmbalignError, ValueError):
    """A conclusion that does not hold; the message says what differs from what."""


class ClaimError(ConclusionError):
    """A claim that its raw data do not support, or a number that no claim binds; the message quotes it."""


class PageError(EmbalignError, ValueError):
    """A page that cannot be made or written, or a part of one; the message names the file, the cause and the remedy."""
