"""Ground truth: ratings by people, their agreement, and one score a document. Others may use `originals.read_truth`."""
