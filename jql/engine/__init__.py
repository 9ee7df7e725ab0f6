"""Idempotent units of work: a frozen plan, fenced commits, receipts, and two backends that run them."""
