"""The simulator's version: a change that moves pixels raises it."""

SIMULATOR_VERSION = "1.2"
