"""`python3 -m check`: builds everything under k8s/ and says all that is wrong, exit code 1 then."""

import sys
from pathlib import Path

import yaml

from .flux import check_flux
from .mesh import GATEWAYS, check_kind, check_mesh
from .metrics import check_listing, check_metrics
from .network import check_network
from .objects import build
from .pods import check_pods
from .settings import settings
from .text import check_files, check_text, check_unique

K8S = Path(__file__).resolve().parents[2]
PARTS = ("infrastructure", "apps", "observability")


def main() -> int:
    root = K8S.parent
    problems = check_files(K8S)
    known = settings(root)
    clusters = {}
    for cluster in GATEWAYS:
        folder = K8S / "clusters" / cluster
        objects = [thing for part in PARTS for thing in build(folder / part)]
        clusters[cluster] = objects
        found = check_unique(objects) + check_text(objects) + check_pods(objects, known) + check_network(objects)
        found += check_flux(root, folder / "flux-system")
        problems += [f"{cluster}: {problem}" for problem in found]
    problems += check_mesh(clusters)
    problems += check_kind({cluster: yaml.safe_load((K8S / f"scripts/kind/{cluster}.yaml").read_text()) for cluster in GATEWAYS})
    for example in sorted((K8S / "examples").iterdir()):
        objects = build(example)
        found = check_text(objects) + check_pods(objects, known)
        problems += [f"examples/{example.name}: {problem}" for problem in found]
    problems += check_listing(root, K8S / "base/observability/metrics.txt")
    problems += check_metrics(K8S / "base/observability")
    for problem in problems:
        print(problem)
    checked = sum(map(len, clusters.values()))
    print(f"{checked} objects of {len(clusters)} clusters checked, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
