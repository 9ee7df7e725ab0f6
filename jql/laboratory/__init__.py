"""Knobs for stable pretraining, as hooks of the trainer, and what shows whether they help."""
