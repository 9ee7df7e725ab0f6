"""Agreement of scores with labels: metrics, intervals, tables."""
