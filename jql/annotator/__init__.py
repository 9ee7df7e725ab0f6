"""Annotators: an encoder, heads on top of it, and the stage that scores every document with them."""
