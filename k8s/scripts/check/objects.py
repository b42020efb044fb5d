"""Objects as `kubectl kustomize` builds them, and the ways to look into them."""

import subprocess
from pathlib import Path

import yaml

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")


def build(folder: Path) -> list[dict]:
    """The objects of a folder with a kustomization."""
    built = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise SystemExit(f"{folder}: does not build: {built.stderr.strip()}")
    return [document for document in yaml.safe_load_all(built.stdout) if document]


def name(thing: dict) -> str:
    """How messages call an object."""
    return f"{thing['kind']}/{thing['metadata']['name']}"


def namespace(thing: dict) -> str:
    return thing["metadata"].get("namespace", "")


def of_kind(objects: list[dict], *kinds: str) -> list[dict]:
    return [thing for thing in objects if thing["kind"] in kinds]


def pod_template(workload: dict) -> dict:
    """The pods that a workload makes."""
    spec = workload["spec"]
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec["template"]


def labels(workload: dict) -> dict:
    return pod_template(workload).get("metadata", {}).get("labels", {})


def containers(workload: dict) -> list[dict]:
    """All containers, those that run first included."""
    spec = pod_template(workload)["spec"]
    return spec.get("initContainers", []) + spec["containers"]


def selects(selector: dict, pod_labels: dict) -> bool:
    """Whether a plain label selector means these pods. An empty one means all."""
    return all(pod_labels.get(key) == value for key, value in selector.items())


def selected(objects: list[dict], selector: dict, where: str) -> list[dict]:
    """The workloads of a namespace whose pods a selector means."""
    workloads = [thing for thing in of_kind(objects, *WORKLOADS) if namespace(thing) == where]
    return [workload for workload in workloads if selects(selector, labels(workload))]


def strings(value, path: str = ""):
    """Every text in an object, with where it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from strings(inner, f"{path}[{index}]")
    elif isinstance(value, str):
        yield path, value
