"""The AUC of one number, folded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mfas.benchmark.separation import Groups, separate
from mfas.data.manifest import Manifest


def test_auc_is_that_of_scikit_learn_ties_included() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 6, 50).astype(np.float64) - 3e6
    values[:4] = np.nan
    rows = [{"rgb": f"{i}.png", "label": "attack" if i % 3 else "bona_fide"} for i in range(50)]
    (groups,) = Groups.of(Manifest.from_rows(rows, Path()))
    area = roc_auc_score(groups.bona_fide[4:], values[4:])
    got = separate(values, groups, 5)
    assert got.auc == pytest.approx(max(area, 1 - area))
    assert got.higher == ("bona_fide" if area > 0.5 else "attack")
    assert got.n_bona_fide + got.n_attack == 46
