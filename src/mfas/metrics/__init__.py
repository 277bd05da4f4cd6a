"""Metrics: pure functions over score arrays, in the words of ISO/IEC 30107-3. A score is accepted iff >= threshold."""

from mfas.metrics.calibration import (
    ReliabilityBin,
    expected_calibration_error,
    overconfident_errors,
    reliability_bins,
)
from mfas.metrics.curves import Det, Roc, auc, det, roc, tpr_at_fpr
from mfas.metrics.intervals import CONFIDENCE, DRAWS, Interval, bootstrap, clopper_pearson
from mfas.metrics.moving import MovingRates, moving_rates
from mfas.metrics.multiple import holm
from mfas.metrics.paired import Difference, paired_bootstrap
from mfas.metrics.pooled import MeanDifference, PairedErrors, mean_hter_difference
from mfas.metrics.pseudo_labels import Block, ClaimBin, claim_bins, fit_claims
from mfas.metrics.rates import acer, apcer, apcer_by_species, apcer_max, bpcer, hter
from mfas.metrics.summary import METRIC_NAMES, Metrics, evaluate
from mfas.metrics.thresholds import bpcer_at_apcer, equal_error_threshold, threshold_at_apcer, threshold_at_bpcer

__all__ = [
    "CONFIDENCE",
    "DRAWS",
    "METRIC_NAMES",
    "Block",
    "ClaimBin",
    "Det",
    "Difference",
    "Interval",
    "MeanDifference",
    "Metrics",
    "MovingRates",
    "PairedErrors",
    "ReliabilityBin",
    "Roc",
    "acer",
    "apcer",
    "apcer_by_species",
    "apcer_max",
    "auc",
    "bootstrap",
    "bpcer",
    "bpcer_at_apcer",
    "claim_bins",
    "clopper_pearson",
    "det",
    "equal_error_threshold",
    "evaluate",
    "expected_calibration_error",
    "fit_claims",
    "holm",
    "hter",
    "mean_hter_difference",
    "moving_rates",
    "overconfident_errors",
    "paired_bootstrap",
    "reliability_bins",
    "roc",
    "threshold_at_apcer",
    "threshold_at_bpcer",
    "tpr_at_fpr",
]
