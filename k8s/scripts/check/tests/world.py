"""The real clusters, built once, copied for every test that spoils something."""

import copy
from functools import cache

from check.__main__ import K8S, PARTS
from check.mesh import GATEWAYS
from check.objects import build
from check.settings import settings


@cache
def built() -> dict:
    return {
        cluster: [thing for part in PARTS for thing in build(K8S / "clusters" / cluster / part)] for cluster in GATEWAYS
    }


@cache
def known() -> dict:
    return settings(K8S.parent)


def clusters() -> dict:
    return copy.deepcopy(built())


def one(objects: list[dict], kind: str, name: str) -> dict:
    found = [thing for thing in objects if thing["kind"] == kind and thing["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} objects {kind}/{name}"
    return found[0]


def container(objects: list[dict], kind: str, name: str) -> dict:
    return one(objects, kind, name)["spec"]["template"]["spec"]["containers"][0]
