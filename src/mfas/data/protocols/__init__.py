"""Protocols of the field as data, and the figures published for them."""
