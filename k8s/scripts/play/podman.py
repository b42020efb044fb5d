"""One cluster as podman has it: a storage, a network, and the pods in it."""

import base64
import json
import os
import subprocess
from pathlib import Path

import yaml


class Failed(Exception):
    """Something that was promised does not hold."""


def command(*arguments, check=True, timeout=120, text=None) -> subprocess.CompletedProcess:
    """Runs a command to its end and gives what it said."""
    arguments = [str(argument) for argument in arguments]
    done = subprocess.run(arguments, capture_output=True, text=True, input=text, timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(arguments)}: exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done


class Cluster:
    """The podman of one cluster."""

    def __init__(self, name: str, place: Path):
        self.name = name
        self.folder = place / name
        self.podman_options = ("--root", self.folder / "graph", "--runroot", self.folder / "run")

    def podman(self, *arguments, **options):
        return command("podman", *self.podman_options, *arguments, **options)

    def load(self, archive: Path):
        self.podman("load", "--quiet", "--input", archive, timeout=300)

    def secret(self, secret: dict):
        """`podman kube play` reads a key of a Secret from a podman secret that holds the data as JSON."""
        name = secret["metadata"]["name"]
        data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self.podman("secret", "rm", name, check=False)
        self.podman("secret", "create", name, "-", text=json.dumps(encoded))

    def play(self, thing: dict, networks: list[str]):
        """Starts a pod on these networks, each with `:alias=` for its names."""
        file = self.folder / f"{thing['metadata']['name']}.yaml"
        file.write_text(yaml.safe_dump(thing, sort_keys=False))
        options = [option for network in networks for option in ("--network", network)]
        self.podman("kube", "play", *options, file, timeout=180)

    def inspect(self, container: str) -> dict:
        return json.loads(self.podman("inspect", "--type", "container", container).stdout)[0]

    def pid(self, container: str) -> int:
        return self.inspect(container)["State"]["Pid"]

    def address(self, pod: str) -> str:
        """An address of the pod on the network of its cluster."""
        infra = json.loads(self.podman("pod", "inspect", pod).stdout)["InfraContainerID"]
        return self.inspect(infra)["NetworkSettings"]["Networks"][self.name]["IPAddress"]

    def logs(self, container: str, lines: int = 30) -> str:
        done = self.podman("logs", "--tail", lines, container, check=False)
        return done.stdout + done.stderr

    def remove(self):
        self.podman("pod", "rm", "--all", "--force", "--time", "2", check=False, timeout=300)
        self.podman("volume", "rm", "--all", "--force", check=False)
        self.podman("secret", "rm", "--all", check=False)


def write_files(folder: str, files: dict[str, bytes], group: int):
    """Files as the kubelet mounts them from a Secret with defaultMode 0440 and an fsGroup."""
    os.makedirs(folder, exist_ok=True)
    os.chown(folder, 0, group)
    os.chmod(folder, 0o750)
    for name, content in files.items():
        path = os.path.join(folder, name)
        descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o440)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chown(f"{path}.new", 0, group)
        os.chmod(f"{path}.new", 0o440)
        os.replace(f"{path}.new", path)
