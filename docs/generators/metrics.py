"""The metrics of the core, of the payments, of the hooks and of the adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docs.generators.markdown import prose, table

if TYPE_CHECKING:
    from collections.abc import Iterable


def counted_block() -> str:
    """Return the table of what the processes count."""
    from prometheus_client.metrics import MetricWrapperBase  # noqa: PLC0415

    rows = []
    for each in _all():
        if isinstance(each, MetricWrapperBase):
            (family,) = each.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            rows.append(metric_row(name, family.type, each._labelnames, family.documentation))  # noqa: SLF001
    return table(("Metric", "Kind", "Labels", "What it says"), rows)


def measured_block() -> str:
    """Return the table of what is measured when Prometheus asks."""
    from sessions_unified import metrics  # noqa: PLC0415

    rows = (
        metric_row(each.name, "gauge", each.labelnames, each.documentation)
        for each in _all()
        if isinstance(each, metrics.Measured)
    )
    return table(("Metric", "Kind", "Labels", "What it says"), rows)


def _all() -> list[object]:
    from funnel.hooks import metrics as hooks  # noqa: PLC0415
    from funnel.payments import metrics as payments  # noqa: PLC0415
    from funnel.payments.card_testing import metrics as card_testing  # noqa: PLC0415
    from legacy_adapters import metrics as legacy  # noqa: PLC0415
    from sessions_unified import metrics  # noqa: PLC0415

    modules = (metrics, payments, card_testing, hooks, legacy)
    return [each for module in modules for each in vars(module).values()]


def metric_row(name: str, kind: str, labels: Iterable[str], text: str) -> tuple[str, ...]:
    """Return a metric's line."""
    return f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), prose(text)
