"""jql: from LLM judgments of text quality to a curated, per-language training set."""

__version__ = "0.1.0"
