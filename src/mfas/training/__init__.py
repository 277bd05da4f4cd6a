"""Source training: the loop, its sampling, and thresholds. Importing this package loads no torch."""
