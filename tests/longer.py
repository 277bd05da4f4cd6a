"""How much longer the random tests of strangers' input are to look: ``MFAS_EXAMPLES=40 pytest tests/service``."""

from __future__ import annotations

import os

MORE = int(os.environ.get("MFAS_EXAMPLES", "1"))
"""Times as many examples, drawn anew each time where there are more."""
