"""Flux objects: their schema, and whether what they refer to exists, from the root of the repository."""

from pathlib import Path

from cloudcoil.models.fluxcd.kustomize import v1 as kustomize
from cloudcoil.models.fluxcd.source import v1 as source
from pydantic import ValidationError

from .objects import build, name, of_kind

MODELS = {"kustomize.toolkit.fluxcd.io/v1": kustomize, "source.toolkit.fluxcd.io/v1": source}


def check_flux(root: Path, folder: Path) -> list[str]:
    """`root`: the repository; `folder`: the flux-system of one cluster."""
    objects = build(folder)
    problems = []
    for thing in objects:
        problems += [f"{name(thing)}: {problem}" for problem in check_schema(thing)]
    kustomizations = {thing["metadata"]["name"]: thing for thing in of_kind(objects, "Kustomization")}
    sources = {thing["metadata"]["name"]: thing for thing in of_kind(objects, "GitRepository")}
    for thing in kustomizations.values():
        problems += [f"{name(thing)}: {problem}" for problem in check_references(root, thing, kustomizations, sources)]
    problems += check_order(kustomizations)
    problems += check_sources(sources)
    return problems


def check_schema(thing):
    model = getattr(MODELS[thing["apiVersion"]], thing["kind"])
    try:
        kept = model.model_validate(thing).model_dump(by_alias=True, exclude_unset=True)
    except ValidationError as error:
        for problem in error.errors():
            yield f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        return
    for field in unknown(thing, kept):
        yield f"there is no field {field}"


def unknown(given, kept, path=""):
    """Fields that the schema dropped."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key not in kept:
                yield f"{path}.{key}"
            else:
                yield from unknown(value, kept[key], f"{path}.{key}")
    elif isinstance(given, list) and isinstance(kept, list):
        for index, (one, other) in enumerate(zip(given, kept)):
            yield from unknown(one, other, f"{path}[{index}]")


def check_references(root, thing, kustomizations, sources):
    spec = thing["spec"]
    if spec["sourceRef"]["name"] not in sources:
        yield f"there is no GitRepository {spec['sourceRef']['name']}"
    path = root / spec["path"]
    if not path.is_dir():
        yield f"there is no folder {spec['path']}"
        return
    for other in spec.get("dependsOn", []):
        if other["name"] not in kustomizations:
            yield f"depends on {other['name']}, which does not exist"
    brought = {(built["kind"], built["metadata"].get("namespace"), built["metadata"]["name"]) for built in build(path)}
    for check in spec.get("healthChecks", []):
        if (check["kind"], check.get("namespace"), check["name"]) not in brought:
            yield f"waits for the health of {check['kind']}/{check['name']}, which {spec['path']} does not bring"
    if not spec.get("prune") or not spec.get("wait"):
        yield "prune and wait have to be on"


def check_order(kustomizations):
    """Applications after the gateway, the gateway after the database, nothing after itself."""
    problems = []
    depends = {key: [other["name"] for other in thing["spec"].get("dependsOn", [])] for key, thing in kustomizations.items()}
    for start in depends:
        todo, seen = list(depends[start]), set()
        while todo:
            key = todo.pop()
            if key == start:
                problems.append(f"Kustomization/{start}: waits for itself")
                break
            if key not in seen:
                seen.add(key)
                todo += depends.get(key, [])
    if "infrastructure" not in depends.get("apps", []):
        problems.append("Kustomization/apps: has to depend on infrastructure")
    if "postgres" in depends and "postgres" not in depends["infrastructure"]:
        problems.append("Kustomization/infrastructure: has to depend on postgres")
    return problems


def check_sources(sources):
    if set(sources) != {"cortex-iq-deploy", "flux-system"}:
        return [f"GitRepositories {sorted(sources)}: the seed document names cortex-iq-deploy and flux-system"]
    if len({source["spec"]["url"] for source in sources.values()}) != 1:
        return ["GitRepositories: both have to be the same repository"]
    return []
