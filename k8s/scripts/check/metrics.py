"""Alerts and dashboards: every expression parses, and every metric is one that a binary exports."""

import json
import re
import subprocess
import tempfile
from pathlib import Path

import yaml

# Metrics that come from Prometheus itself.
BUILT_IN = {"up"}
NAME = re.compile(r"\b((?:macula|cortexiq)_[a-z0-9_]+)\b")


# How the gateway, and how the bots, write a metric down: name, then its kind or its help.
OF_GATEWAY = re.compile(r'\(\s*"([a-z][a-z_]*)",\s*"|# HELP macula_([a-z_]+) ')
OF_BOT = re.compile(r'metrics\.(?:counter|gauge)\(\s*"([a-z_]+)"')
BOTS = ("simulation", "homes", "utilities", "projections", "queries", "dashboard")


def declared(root: Path) -> set[str]:
    """The names that stand in the sources. `root` is the repository."""
    text = (root / "gateway/src/admin.rs").read_text().partition("#[cfg(test)]")[0]
    names = {f"macula_{first or second}" for first, second in OF_GATEWAY.findall(text)}
    for bot in BOTS:
        names.add(f"cortexiq_{bot}_ready")
        for file in (root / "bots" / bot / "src").rglob("*.rs"):
            names |= {f"cortexiq_{bot}_{name}" for name in OF_BOT.findall(file.read_text())}
    return names


def check_listing(root: Path, listing: Path) -> list[str]:
    known, real = exported(listing), declared(root)
    missing = [f"{listing.name} lacks {name}" for name in sorted(real - known)]
    return missing + [f"{listing.name}: no source declares {name}" for name in sorted(known - real)]


def exported(listing: Path) -> set[str]:
    """The names that binaries export: a committed list, which the play test compares with what they really say."""
    return {line.strip() for line in listing.read_text().splitlines() if line.strip() and not line.startswith("#")}


def check_metrics(root: Path) -> list[str]:
    """`root`: the folder observability."""
    known = exported(root / "metrics.txt") | BUILT_IN
    problems = []
    expressions = []
    for file in sorted((root / "grafana/dashboards").glob("*.json")):
        expressions += [(file.name, expression) for expression in of_dashboard(json.loads(file.read_text()))]
    for file in sorted((root / "prometheus/rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            expressions += [(file.name, rule["expr"]) for rule in group["rules"]]
    if len(expressions) < 20:
        problems.append(f"only {len(expressions)} expressions found; have the files moved?")
    for where, expression in expressions:
        for metric in sorted(set(NAME.findall(expression)) - known):
            problems.append(f"{where}: no binary exports {metric}")
    problems += parse(expressions)
    problems += untested(root / "prometheus")
    return problems


def untested(prometheus: Path) -> list[str]:
    """An alert that no test makes fire may be one that never does."""
    alerts = {
        rule["alert"]
        for file in (prometheus / "rules").glob("*.yml")
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    }
    fired = {
        case["alertname"]
        for file in (prometheus / "tests").glob("*.yml")
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    return [f"prometheus/tests: no test makes {alert} fire" for alert in sorted(alerts - fired)]


def of_dashboard(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "expr" and isinstance(inner, str):
                yield inner
            else:
                yield from of_dashboard(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from of_dashboard(inner)


def parse(expressions):
    """Every expression as a rule of its own, in one file."""
    rules = [{"record": f"check:{index}", "expr": plain(expression)} for index, (_, expression) in enumerate(expressions)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump({"groups": [{"name": "check", "rules": rules}]}, file)
        file.flush()
        checked = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True, check=False)
    if checked.returncode == 0:
        return []
    return [f"promtool: {line}" for line in checked.stderr.strip().splitlines()]


def plain(expression: str) -> str:
    """Without the variables of Grafana."""
    for variable, value in (("$__rate_interval", "1m"), ("$__interval", "1m"), ("$__range", "1h")):
        expression = expression.replace(variable, value)
    return re.sub(r"\$\{?\w+(:\w+)?\}?", "x", expression)
