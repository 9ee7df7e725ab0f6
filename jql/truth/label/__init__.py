"""The rating page: people rate documents by a rubric, on this machine."""
