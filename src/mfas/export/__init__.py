"""Models for devices without torch."""
