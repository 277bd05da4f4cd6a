"""Multi-modal face anti-spoofing that adapts safely where it is deployed."""
