"""Readers of the public data sets in their native folders; one file per set, found by name."""
