"""``python -m mfas``."""

from mfas.cli import main

main()
