"""Every PromQL expression parses and asks only for series that a running server exports."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from protome.client import Client
from protome.embedded import EmbeddedServer
from tests.support.tools import DEPLOY, Tools

from .conftest import one

# Labels that Prometheus itself adds to what it scrapes.
TARGET_LABELS: Final = {"namespace", "pod", "le"}
ALERT_TESTS: Final = Path(__file__).with_name("alerts.yaml")

pytestmark = pytest.mark.timeout(1200)  # The first use of the tools may install them.


@pytest.fixture(scope="module")
def exported(sample_photo: bytes) -> dict[str, set[str]]:
    """The labels of every series of a real server that has answered a photo."""
    with EmbeddedServer(["--workers", "1"]) as server:
        with Client(server.address) as client:
            client.reconstruct(sample_photo)
        with urllib.request.urlopen(f"http://{server.http}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture(scope="module")
def rules(tools: Tools) -> list[dict[str, Any]]:
    """All rules, recording and alerting."""
    spec = one(tools.build(DEPLOY / "overlays" / "cpu"), "PrometheusRule")["spec"]
    return [rule for group in spec["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def expressions(tools: Tools, rules: list[dict[str, Any]]) -> dict[str, str]:
    """Every expression in deploy/, by where it is."""
    found = {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules}
    dashboard = json.loads((DEPLOY / "components/monitoring/dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$__rate_interval", "1m")
            found[f"dashboard: {panel['title']}: {target['refId']}"] = query
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert query
            found[f"dashboard: variable {variable['name']}"] = query[1]
    keda = one(tools.build(DEPLOY / "overlays" / "autoscale-keda"), "ScaledObject")
    for number, trigger in enumerate(keda["spec"]["triggers"]):
        found[f"KEDA: {number}"] = trigger["metadata"]["query"]
    for rule in adapter(tools):
        found[f"adapter: {rule['name']['as']}"] = adapted(rule)
    return found


def adapter(tools: Tools) -> list[dict[str, Any]]:
    """The Prometheus adapter's rules, as shipped in the HPA overlay."""
    built = tools.build(DEPLOY / "overlays" / "autoscale-hpa")
    data = one(built, "ConfigMap", "protome-adapter-rules")["data"]["config.yaml"]
    found: list[dict[str, Any]] = yaml.safe_load(data)["rules"]
    return found


def adapted(rule: dict[str, Any]) -> str:
    """The query that the adapter makes of a rule, for the pods of a namespace."""
    query: str = rule["metricsQuery"]
    for word, value in (
        ("<<.Series>>", rule["seriesQuery"].partition("{")[0]),
        ("<<.LabelMatchers>>", 'namespace="protome",pod=~"a|b"'),
        ("<<.GroupBy>>", "pod"),
    ):
        query = query.replace(word, value)
    return query


def selectors(node: Any) -> Iterator[promql_parser.VectorSelector]:
    """The vector selectors of an expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
        return
    for name in ("expr", "lhs", "rhs", "vs", "vector_selector", "param"):
        child = getattr(node, name, None)
        if child is not None and not isinstance(child, str):
            yield from selectors(child)
    for child in getattr(node, "args", None) or []:
        yield from selectors(child)


def problems(text: str, exported: dict[str, set[str]], recorded: set[str]) -> list[str]:
    """Labels that an expression asks for and no series has."""
    found = list(selectors(promql_parser.parse(text)))
    # The walk above misses no series that stands in the text.
    written = set(re.findall(r"\b(?:protome|process)[_:][\w:]+", text))
    wrong = [] if found and {s.name for s in found} == written else [f"not all of {written}"]
    for selector in found:
        if selector.name not in exported and selector.name not in recorded:
            wrong.append(f"no series {selector.name}")
        known = exported.get(selector.name or "", set()) | TARGET_LABELS
        labels = {matcher.name for matcher in selector.matchers.matchers}
        wrong += [f"no label {label}" for label in sorted(labels - known)]
    return wrong


def test_queries_name_only_what_is_exported(
    expressions: dict[str, str], rules: list[dict[str, Any]], exported: dict[str, set[str]]
) -> None:
    recorded = {rule["record"] for rule in rules if "record" in rule}
    assert len(expressions) > 40
    for place, text in expressions.items():
        assert problems(text, exported, recorded) == [], place


def test_misspelt_queries_are_found(
    expressions: dict[str, str], rules: list[dict[str, Any]], exported: dict[str, set[str]]
) -> None:
    """Every series of every expression, one at a time, and a label."""
    recorded = {rule["record"] for rule in rules if "record" in rule}
    tried = 0
    for place, text in expressions.items():
        for name in {s.name or "" for s in selectors(promql_parser.parse(text))}:
            tried += 1
            assert problems(text.replace(name, f"{name}s"), exported, recorded), (place, name)
    assert tried >= len(expressions)
    text = expressions["ProtomeShedding"]
    assert problems(text.replace("code=", "kode="), exported, recorded) == ["no label kode"]


def test_values_of_labels_exist(
    expressions: dict[str, str], exported: dict[str, set[str]], sample_photo: bytes
) -> None:
    """A status, a stage or a bucket that is misspelt in a query would match nothing, silently."""
    from grpc import StatusCode

    from protome.telemetry.metrics import RESULTS, SECONDS, STAGES

    values = {
        "code": {code.name for code in StatusCode},
        "stage": set(STAGES),
        "reason": {reason for reasons in RESULTS.values() for reason in reasons},
        "le": {str(bound) for bound in SECONDS},
    }
    asked = 0
    for place, text in expressions.items():
        for selector in selectors(promql_parser.parse(text)):
            for matcher in selector.matchers.matchers:
                if matcher.name in values:
                    asked += 1
                    assert set(matcher.value.split("|")) <= values[matcher.name], place
    assert asked > 10


def test_recorded_windows_are_those_of_their_names(rules: list[dict[str, Any]]) -> None:
    recorded = [rule for rule in rules if "record" in rule]
    assert len(recorded) > 15
    for rule in recorded:
        named = re.search(r"\d+[mhd]$", rule["record"])
        assert named, rule["record"]
        assert set(re.findall(r"\[(\w+)\]", rule["expr"])) == {named[0]}, rule["record"]


def test_hpa_asks_for_what_the_adapter_gives(tools: Tools) -> None:
    built = tools.build(DEPLOY / "overlays" / "autoscale-hpa")
    # A pod mounts only what is in its own namespace, and the adapter is not in ours.
    assert one(built, "ConfigMap", "protome-adapter-rules")["metadata"]["namespace"] == "monitoring"
    metrics = one(built, "HorizontalPodAutoscaler")["spec"]["metrics"]
    wanted = {metric["pods"]["metric"]["name"] for metric in metrics}
    assert wanted == {rule["name"]["as"] for rule in adapter(tools)}


def test_rules_pass_promtool(tools: Tools, tmp_path: Path) -> None:
    """Syntax, then the unit tests of every alert: when it fires, and when it does not."""
    spec = one(tools.build(DEPLOY / "overlays" / "cpu"), "PrometheusRule")["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    cases = yaml.safe_load(ALERT_TESTS.read_text(encoding="utf-8"))
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(cases))
    for args in (("check", "rules", "--lint-fatal"), ("test", "rules")):
        file = tmp_path / ("rules.yaml" if args[0] == "check" else "alerts.yaml")
        done = tools.run("promtool", *args, file)
        assert done.returncode == 0, done.stdout + done.stderr
    alerts = {
        rule["alert"] for group in spec["groups"] for rule in group["rules"] if "alert" in rule
    }
    tried = [case for test in cases["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in tried if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in tried if not case.get("exp_alerts")} == alerts
