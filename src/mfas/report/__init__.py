"""Figures and self-contained HTML pages from plain data."""

from mfas.report.assurance_data import AssuranceData, AssurancePart
from mfas.report.assurance_page import build_assurance, write_assurance
from mfas.report.audit_page import build_audit, write_audit
from mfas.report.bench_data import BenchData
from mfas.report.bench_page import build_bench, write_bench
from mfas.report.data import ReportData, ScoreGroup, StreamData, StreamErrors, Tile, Timeline
from mfas.report.evaluation_page import build_evaluation, write_evaluation
from mfas.report.explanation_page import build_explanation, write_explanation
from mfas.report.page import build_report, write_report
from mfas.report.search_page import build_search, write_search
from mfas.report.stream_page import build_stream, write_stream

__all__ = [
    "AssuranceData",
    "AssurancePart",
    "BenchData",
    "ReportData",
    "ScoreGroup",
    "StreamData",
    "StreamErrors",
    "Tile",
    "Timeline",
    "build_assurance",
    "build_audit",
    "build_bench",
    "build_evaluation",
    "build_explanation",
    "build_report",
    "build_search",
    "build_stream",
    "write_assurance",
    "write_audit",
    "write_bench",
    "write_evaluation",
    "write_explanation",
    "write_report",
    "write_search",
    "write_stream",
]
