"""Dashboard, alerts and runbooks name what exists: metrics, labels, sections."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from funnel.hooks import metrics as hooks
from funnel.payments import metrics as payments
from funnel.payments.card_testing import metrics as card_testing
from legacy_adapters import metrics as legacy
from sessions_unified import doctor, metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/sessions-unified.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
RUNBOOKS = (ROOT / "docs/howto/runbooks.md").read_text(encoding="utf-8")
OF_PROMETHEUS = {"job", "instance", "le"}

TOKEN = re.compile(
    r"""\s+|"(?:[^"\\]|\\.)*"|\d+(?:\.\d+)?(?:[smhd]\b)?|\$\w+|[A-Za-z_:][\w:]*"""
    r"""|==|!=|=~|!~|>=|<=|[-+*/%^(){}\[\],:=<>@]"""
)


def expressions() -> Iterator[tuple[str, str]]:
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


EXPRESSIONS = list(expressions())


def code_metrics() -> dict[str, set[str]]:
    """Return each series' name and its labels."""
    found: dict[str, set[str]] = {}
    modules = (metrics, payments, card_testing, hooks, legacy)
    for each in (each for module in modules for each in vars(module).values()):
        if isinstance(each, metrics.Measured):
            found[each.name] = set(each.labelnames)
        elif isinstance(each, MetricWrapperBase):
            (family,) = each.describe()
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
            for suffix in suffixes.get(family.type, ("",)):
                found[f"{family.name}{suffix}"] = set(each._labelnames)
    return found


METRICS = code_metrics()


def tokens(expression: str) -> list[str]:
    """Split PromQL; anything that is none of its words is a mistake."""
    position, found = 0, []
    while position < len(expression):
        match = TOKEN.match(expression, position)
        assert match is not None, expression[position:]
        found.append(match[0])
        position = match.end()
    return [each for each in found if not each.isspace()]


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_an_expression_is_whole_and_names_metrics_of_the_code(title: str, expression: str) -> None:
    words = tokens(expression)

    for opening, closing in ("()", "{}", "[]"):
        assert words.count(opening) == words.count(closing)
    named = {
        word
        for word in words
        if word.startswith(("sessions_unified_", "funnel_", "legacy_adapters_"))
    }
    assert named
    assert named <= set(METRICS)


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_an_expression_uses_labels_that_its_metrics_have(title: str, expression: str) -> None:
    known = OF_PROMETHEUS.union(*(METRICS[name] for name in tokens(expression) if name in METRICS))

    used = set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", expression))
    for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        used |= {name.strip() for name in group.split(",")}

    assert used <= known


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {word for _, text in EXPRESSIONS for word in tokens(text) if word in METRICS}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in METRICS}

    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown} == families


def test_the_dashboard_asks_for_its_data_source() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]

    assert variables["datasource"]["type"] == "datasource"
    assert len(ids) == len(set(ids))
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
            assert all('job=~"$job"' in target["expr"] for target in panel["targets"])


def test_no_panel_lies_over_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


# Runbooks


def kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def sections() -> set[str]:
    titles = re.findall(r"^## (.*)$", RUNBOOKS, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def named_by_the_doctor() -> set[str]:
    core, shop = ROOT / "sessions_unified" / "doctor", ROOT / "funnel"
    files = [*core.glob("*.py"), *shop.rglob("doctor.py")]
    source = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', source))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_severity_and_a_runbook_of_its_name(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/howto/runbooks.md#{kebab(rule['alert'])}"
    assert kebab(rule["alert"]) in sections()


def test_the_doctor_sends_people_to_sections_that_exist() -> None:
    named = named_by_the_doctor()

    assert {check.runbook for check in doctor.CHECKS if check.runbook} <= named
    assert named <= sections()


def test_every_runbook_is_named_by_an_alert_or_the_doctor() -> None:
    alerts = {kebab(rule["alert"]) for rule in RULES}

    assert sections() == alerts | named_by_the_doctor()


def test_the_example_loads_the_rules_and_asks_where_the_site_answers() -> None:
    example = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8"))

    (job,) = example["scrape_configs"]
    assert example["rule_files"] == ["alerts.yml"]
    assert job["metrics_path"] == "/metrics"
    assert job["authorization"]["credentials_file"]


def test_the_rules_do_what_their_own_tests_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("this machine has no promtool (package prometheus) to run the alerts' tests")

    done = subprocess.run(
        [promtool, "test", "rules", "alerts.test.yml"],
        cwd=DEPLOY / "prometheus",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
