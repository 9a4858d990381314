"""Tables, figures and the report of a run."""

from xpert.report.chip_svg import chip_svg
from xpert.report.comparison_page import ComparedDesign, ComparedRun, write_comparison
from xpert.report.page import write_report
from xpert.report.tables import (
    architecture_tables,
    architecture_text,
    comparison,
    comparison_table,
    factor_table,
    fair_text,
    robust_table,
    single_table,
    summary_table,
    variant_remarks,
    variant_table,
)

__all__ = [
    "ComparedDesign",
    "ComparedRun",
    "architecture_tables",
    "architecture_text",
    "chip_svg",
    "comparison",
    "comparison_table",
    "factor_table",
    "fair_text",
    "robust_table",
    "single_table",
    "summary_table",
    "variant_remarks",
    "variant_table",
    "write_comparison",
    "write_report",
]
