"""Probes: what a pretrained model is good for once it is fine-tuned on a labelled task."""
