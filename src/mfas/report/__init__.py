"""Figures and self-contained HTML pages from plain data."""

from mfas.report.audit_page import build_audit, write_audit
from mfas.report.data import ReportData, ScoreGroup, Tile, Timeline
from mfas.report.evaluation_page import build_evaluation, write_evaluation
from mfas.report.page import build_report, write_report

__all__ = [
    "ReportData",
    "ScoreGroup",
    "Tile",
    "Timeline",
    "build_audit",
    "build_evaluation",
    "build_report",
    "write_audit",
    "write_evaluation",
    "write_report",
]
