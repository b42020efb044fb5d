"""What must not stand in a file: placeholders, secrets, a second object."""

import re
from pathlib import Path

import yaml

from .objects import name, strings

PLACEHOLDER = re.compile(r"(TODO|FIXME|CHANGE_?ME|REPLACE_?ME|your-|example\.(com|org)|<[a-z-]+>)", re.IGNORECASE)
SECRET = re.compile(r"BEGIN [A-Z ]*PRIVATE KEY|(postgres(ql)?|ecto)://[^:@\s$]+:[^@\s$%]+@")
DNS_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")


def check_text(objects: list[dict]) -> list[str]:
    """Built objects are ready to run, and none is a Secret."""
    problems = []
    for thing in objects:
        if thing["kind"] == "Secret":
            problems.append(f"{name(thing)}: Secrets are made by create-secrets.sh and stand in no file")
        if not DNS_NAME.match(thing["metadata"]["name"]):
            problems.append(f"{name(thing)}: is no legal name")
        if thing["kind"] == "ConfigMap":
            continue
        for path, text in strings(thing):
            if PLACEHOLDER.search(text):
                problems.append(f"{name(thing)}{path}: {text!r} is a placeholder")
    return problems


def check_files(root: Path) -> list[str]:
    """The files themselves: one object each, and nothing secret in any of them."""
    problems = []
    for file in sorted(root.rglob("*")):
        if not file.is_file() or "__pycache__" in file.parts:
            continue
        text = file.read_text(errors="replace")
        where = file.relative_to(root)
        if "tests" not in where.parts and SECRET.search(text):
            problems.append(f"{where}: holds a secret")
        if file.suffix == ".yaml" and where.parts[0] in ("base", "components", "clusters", "examples"):
            if len([document for document in yaml.safe_load_all(text) if document]) != 1:
                problems.append(f"{where}: one object per file")
    return problems


def check_unique(objects: list[dict]) -> list[str]:
    """Two folders of a cluster that bring the same object would fight for it."""
    problems, seen = [], set()
    for thing in objects:
        key = (thing["apiVersion"], thing["metadata"].get("namespace"), name(thing))
        if key in seen:
            problems.append(f"{name(thing)}: stands twice in the cluster")
        seen.add(key)
    return problems
