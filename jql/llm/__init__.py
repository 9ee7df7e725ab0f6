"""Talking to language models: endpoints, the journal of their replies, what they cost, a server beside a worker."""
