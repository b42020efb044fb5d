"""The four clusters: their images, and their pods in the order in which Flux would start them."""

import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from .podman import Cluster, Failed, command, write_files
from .translate import Probe, Translator, Workload

REGISTRY = "registry.macula.local:5000/macula/"
POSTGRES = "localhost/postgres:15"
# Flux starts the database, then the gateway, then the rest.
ORDER = ("postgres", "macula-gateway-service")
# How long pods may take until they are ready; on a busy machine with two cores.
PATIENCE = 120


class World:
    """All clusters, and where everything of theirs is."""

    def __init__(self, place: Path, objects: dict[str, list[dict]], outside: dict[str, list[str]], with_secrets=True):
        self.place = place
        self.objects = objects
        self.clusters = {name: Cluster(name, place) for name in objects}
        self.binaries = place.parent.parent / "image/out"
        self.workloads: dict[str, list[Workload]] = {}
        for name, things in objects.items():
            secrets = self.secrets(name) if with_secrets else stand_ins()
            translator = Translator(name, things, secrets, local_images(things), place / name / "files", self.note)
            self.workloads[name] = translator.workloads()
            for workload in self.workloads[name]:
                workload.outside = outside[name] if workload.name == "macula-gateway-service" else []
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(translator.not_run().items()))
            self.note(f"{name}: not run: {counts}")

    def note(self, text: str):
        print(f"   {text}")

    def secrets(self, cluster: str) -> list[dict]:
        file = self.place / "secrets/objects" / f"{cluster}.yaml"
        return [thing for thing in yaml.safe_load_all(file.read_text()) if thing and thing["kind"] == "Secret"]

    def describe(self):
        for name, workloads in self.workloads.items():
            for workload in in_order(workloads):
                names = [*workload.aliases, *(f"{outside} (kind)" for outside in workload.outside)]
                print(f"{name}: {workload.pod}: {', '.join(names) or 'no name'}")

    def images(self):
        """Every storage gets the images that its cluster runs."""
        archives = {}
        for name, cluster in self.clusters.items():
            cluster.remove()
            cluster.folder.mkdir(parents=True, exist_ok=True)
            for image in all_images(thing for thing in self.objects[name] if thing["kind"] in ("Deployment", "StatefulSet")):
                if image == "postgres:16-alpine":
                    change = ["--change", "ENTRYPOINT [\"/entrypoint.sh\"]", "--change", "STOPSIGNAL SIGINT"]
                    change += ["--change", "ENV PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin"]
                    cluster.podman("import", "--quiet", *change, self.place / "postgres.tar", POSTGRES, timeout=300)
                    continue
                if image not in archives:
                    archives[image] = self.place / f"{image.rsplit('/', 1)[-1].partition(':')[0]}.tar"
                    archives[image].unlink(missing_ok=True)
                    command("podman", "save", "--quiet", "--output", archives[image], image)
                cluster.load(archives[image])

    def start(self):
        self.network("kind")
        for name in self.clusters:
            self.network(name)
            for secret in self.secrets(name):
                self.clusters[name].secret(secret)
        began = time.monotonic()
        # The regions wait for nobody; the hub comes last, so that links are dialled from both sides.
        for name in reversed(self.clusters):
            for workload in in_order(self.workloads[name]):
                self.start_one(self.clusters[name], workload)
        print(f"== all pods are ready after {time.monotonic() - began:.0f} s")

    def replace(self, cluster: str, workload: Workload, objects: list[dict]):
        """The pods of other manifests in the place of one, under the same names for other clusters."""
        self.clusters[cluster].podman("pod", "rm", "--force", "--time", workload.grace, workload.pod, timeout=180)
        self.workloads[cluster].remove(workload)
        folder = self.place / cluster / "files"
        translator = Translator(cluster, objects, self.secrets(cluster), local_images(objects), folder, self.note)
        for other in translator.workloads():
            other.outside = workload.outside
            self.workloads[cluster].append(other)
            self.start_one(self.clusters[cluster], other)

    def remove_pod(self, cluster: str, workload: Workload):
        """As when its node is lost: without a word, and for good."""
        self.clusters[cluster].podman("pod", "rm", "--force", "--time", "0", workload.pod)
        self.workloads[cluster].remove(workload)

    def network(self, name: str):
        if command("podman", "network", "exists", name, check=False).returncode != 0:
            command("podman", "network", "create", name)

    def start_one(self, cluster: Cluster, workload: Workload):
        for folder, (files, group) in workload.files.items():
            write_files(folder, files, group)
        aliases = "".join(f",alias={alias}" for alias in workload.aliases).lstrip(",")
        networks = [f"{cluster.name}:{aliases}" if aliases else cluster.name]
        if workload.outside:
            networks.append("kind:" + ",".join(f"alias={alias}" for alias in workload.outside))
        for pod in workload.first:
            self.run_first(cluster, pod, networks[:1])
        cluster.play(workload.deployment, networks)
        self.wait_ready(cluster, workload)

    def run_first(self, cluster: Cluster, pod: dict, networks):
        name = pod["metadata"]["name"]
        cluster.play(pod, networks)
        container = f"{name}-{pod['spec']['containers'][0]['name']}"
        code = cluster.podman("wait", container, timeout=PATIENCE).stdout.strip()
        if code != "0":
            raise Failed(f"{cluster.name}: {name} ended with {code}: {cluster.logs(container)}")
        cluster.podman("pod", "rm", "--force", name)
        print(f"   {cluster.name}: {name} ran first, and well")

    def wait_ready(self, cluster: Cluster, workload: Workload):
        deadline = time.monotonic() + PATIENCE
        while True:
            answers = [self.ask(cluster, workload, probe) for probe in workload.probes]
            if all(ok for ok, _ in answers):
                return
            if time.monotonic() > deadline:
                raise Failed(f"{cluster.name}: {workload.name} is not ready: {[text for _, text in answers]}")
            time.sleep(0.2)

    def ask(self, cluster: Cluster, workload: Workload, probe: Probe) -> tuple[bool, str]:
        """A probe, as the kubelet would ask it."""
        if probe.command:
            container = container_of(workload)
            done = cluster.podman("exec", container, *probe.command, check=False)
            return done.returncode == 0, (done.stdout + done.stderr).strip()
        return self.get(cluster, workload, probe.port, probe.path)

    def get(self, cluster: Cluster, workload: Workload, port: int, path: str) -> tuple[bool, str]:
        try:
            url = f"http://{cluster.address(workload.pod)}:{port}{path}"
            with urllib.request.urlopen(url, timeout=5) as response:
                return True, response.read().decode()
        except urllib.error.HTTPError as error:
            return False, error.read().decode().strip()
        except (OSError, Failed, KeyError) as error:
            return False, str(error)

    def find(self, cluster: str, name: str) -> Workload:
        return next(workload for workload in self.workloads[cluster] if workload.name == name)

    def show_logs(self):
        for name, workloads in self.workloads.items():
            for workload in workloads:
                print(f"-- {name}: {workload.name}\n{self.clusters[name].logs(container_of(workload), 15)}")

    def remove(self):
        for cluster in self.clusters.values():
            cluster.remove()


def local_images(things) -> dict[str, str]:
    """Ours have been built here; the one that comes from elsewhere has a stand-in."""
    ours = {image: image for image in all_images(things) if image.startswith(REGISTRY)}
    return {"postgres:16-alpine": POSTGRES, **ours}


def container_of(workload: Workload) -> str:
    """The name that podman gives the container of a pod."""
    containers = workload.deployment["spec"]["template"]["spec"]["containers"]
    return f"{workload.pod}-{containers[0]['name']}"


def in_order(workloads: list[Workload]) -> list[Workload]:
    def place(workload):
        return ORDER.index(workload.name) if workload.name in ORDER else len(ORDER)

    return sorted(workloads, key=place)


def all_images(things) -> list[str]:
    found = []
    for thing in things:
        if thing["kind"] not in ("Deployment", "StatefulSet"):
            continue
        pod = thing["spec"]["template"]["spec"]
        for container in pod.get("initContainers", []) + pod["containers"]:
            if container["image"] not in found:
                found.append(container["image"])
    return found


def stand_ins() -> list[dict]:
    """Secrets without content, to describe a run without making any."""
    from check.pods import SECRETS

    return [
        {"metadata": {"name": name}, "data": {key: "" for key in keys}, "kind": "Secret"} for name, keys in SECRETS.items()
    ]
