"""`python3 -m play`: runs the clusters and asks everything that they promise. See scripts/play.sh, which prepares it."""

import argparse
import signal
import sys
from pathlib import Path

import yaml
from check.mesh import GATEWAYS
from check.objects import build

from . import asks
from .podman import Cluster, Failed
from .translate import Translator, outside_names
from .world import World

K8S = Path(__file__).resolve().parents[2]


def main() -> int:
    arguments = argparse.ArgumentParser(prog="play")
    arguments.add_argument("--place", type=Path, required=True)
    arguments.add_argument("--minutes", type=int, default=2)
    arguments.add_argument("--replicas", action="store_true")
    arguments.add_argument("--keep", action="store_true")
    arguments.add_argument("--stop", action="store_true")
    arguments.add_argument("--dry-run", action="store_true")
    options = arguments.parse_args()
    # Ended from outside, it takes down what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.stop:
        for name in GATEWAYS:
            Cluster(name, options.place).remove()
        return 0
    objects = {name: cluster_objects(name) for name in GATEWAYS}
    world = World(options.place, objects, outside_names(objects), not options.dry_run)
    if options.dry_run:
        world.describe()
        return 0
    try:
        world.images()
        world.start()
        asks.everything(world, options.minutes, options.replicas)
        if not options.keep:
            asks.stops_politely(world)
        print("play: everything holds")
        return 0
    except Failed as failure:
        print(f"play: FAILED: {failure}")
        world.show_logs()
        return 1
    finally:
        if not options.keep:
            world.remove()


def cluster_objects(name: str) -> list[dict]:
    folder = K8S / "clusters" / name
    return build(folder / "infrastructure") + build(folder / "apps")


if __name__ == "__main__":
    sys.exit(main())
