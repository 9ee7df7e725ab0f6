"""Ground truth: ratings by people, their agreement, and one score a document."""
