"""Where the files that travel with the package are: in a checkout at its top, in a wheel under jql/_data."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _travelling(name: str) -> Path:
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def data_dir() -> Path:
    """Folder of the tables that come with jql (languages, heuristics, sample crawl)."""
    return _travelling("data")


def annotators_dir() -> Path:
    """Folder of the annotators that come with jql, one folder each."""
    return _travelling("annotators")


def pipelines_dir() -> Path:
    """Folder of the recipes that come with jql."""
    return _travelling("pipelines")


def encoders_dir() -> Path:
    """Folder of the encoders that come with jql, one folder each."""
    return _travelling("encoders")
