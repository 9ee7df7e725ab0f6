"""Near-duplicate clusters over all inputs, per language, in phases that partition by key: the CLUSTER table."""
