"""jql: from LLM judgments of text quality to a curated, per-language training set."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jql.annotator.annotator import Annotator

__version__ = "0.1.0"
__all__ = ["Annotator", "__version__"]


def __getattr__(name: str) -> Any:
    """Load what is heavy only when it is asked for."""
    if name == "Annotator":
        from jql.annotator.annotator import Annotator

        return Annotator
    raise AttributeError(f"module 'jql' has no attribute {name!r}")
