"""Every error a user can meet, as one tree.

::

    MfasError                  anything this package raises on purpose
    └── InputError             what the user gave cannot be used: exit code 2, HTTP 4xx
        ├── ConfigError        a configuration key or value
        ├── ManifestError      a manifest: names row and column
        ├── ImageError         an image file: missing, truncated, too large, wrong kind
        ├── ScoreError         a score table
        ├── ModelDirError      a model directory: card, hash, weights
        ├── StateError         a saved adaptation state that does not fit
        └── MissingExtraError  an optional dependency that is not installed

The message of an `InputError` is one plain sentence that says what was expected and what came. "No face in the picture"
is not here: it is an outcome (``non_response``), not an error.
"""

from __future__ import annotations


class MfasError(Exception):
    """Base of every error raised on purpose."""


class InputError(MfasError):
    """Something the user gave cannot be used."""


class ConfigError(InputError):
    """An unknown key, or a value out of range, in a configuration."""


class ManifestError(InputError):
    """A manifest that breaks its contract; the message names row and column."""


class ImageError(InputError):
    """An image that cannot be read as what it is declared to be."""


class ScoreError(InputError):
    """A score table that breaks its contract."""


class ModelDirError(InputError):
    """A model directory whose card, hash or weights do not fit."""


class StateError(InputError):
    """A saved adaptation state that does not belong to this model or method."""


class MissingExtraError(InputError):
    """An optional dependency is not installed.

    Parameters: the feature that needs it and the extra that brings it.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the '{extra}' extra: pip install 'mfas[{extra}]'")
        self.feature = feature
        self.extra = extra
