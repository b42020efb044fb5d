"""What the running clusters promise, asked of them."""

import json
import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

from check.metrics import exported
from check.objects import build

from .podman import Failed, command, write_files
from .translate import Workload
from .world import REGISTRY, World, all_images, container_of

K8S = Path(__file__).resolve().parents[2]
GATEWAY = "macula-gateway-service"
# From the promise of the gateway: everyone is back within ten seconds of its return.
BACK = 10
LARGEST_GATEWAY_IMAGE = 15_000_000
REGIONS = {"antwerp", "brabant", "east-flanders"}


def everything(world: World, minutes: int, replicas: bool):
    images(world)
    ask("the mesh is whole: every gateway has a link to every other", lambda: mesh_is_whole(world), 30)
    doctors_agree(world)
    host_ports(world)
    ask("homes of Antwerp have contracts with providers of Brabant", lambda: signed(world, "antwerp", "brabant"), 120)
    for home, provider in (("brabant", "east-flanders"), ("east-flanders", "antwerp")):
        ask(f"and homes of {home} with providers of {provider}", lambda: signed(world, home, provider), 120)
    ask("PostgreSQL holds quarter-hours of all regions", lambda: stored(world), 60)
    ask("the dashboard shows the homes of all regions", dashboard, 30)
    metrics(world)
    under_load(world, minutes)
    certificates_are_taken_up(world)
    a_killed_gateway_heals(world)
    if replicas:
        gateways_are_replicated(world)
    probes_hold(world)


def ask(promise: str, holds, patience: float):
    """Waits until something holds. `holds` gives what it sees, or raises Failed with what is missing."""
    began = time.monotonic()
    while True:
        try:
            seen = holds()
            break
        except Failed as failure:
            if time.monotonic() - began > patience:
                raise Failed(f"{promise}: {failure}") from None
            time.sleep(0.5)
    print(f"ok {promise} ({seen}; {time.monotonic() - began:.1f} s)")


def require(holds: bool, missing: str):
    if not holds:
        raise Failed(missing)


def images(world: World):
    """Sizes, the user, the labels, and the command that every image has for those who look into it."""
    names = sorted({image for things in world.objects.values() for image in all_images(things) if image.startswith(REGISTRY)})
    for name in names:
        image = json.loads(command("podman", "image", "inspect", name).stdout)[0]
        size, user, labels = image["Size"], image["User"], image["Labels"] or {}
        title, _, version = name.removeprefix(REGISTRY).partition(":")
        require(user == "65532:65532", f"{name} runs as {user}")
        for label, wanted in (("title", title), ("version", version)):
            found = labels.get(f"org.opencontainers.image.{label}")
            require(found == wanted, f"{name} says of its {label} {found}")
        require(GATEWAY not in name or size <= LARGEST_GATEWAY_IMAGE, f"{name} has {size} bytes")
        said = command("podman", "run", "--rm", "--network", "none", "--entrypoint", "/macula", name, "--version").stdout
        require(said.startswith("macula "), f"/macula of {name} says {said}")
        print(f"ok image {title}: {size / 1e6:.1f} MB")


def scrape(world: World, cluster: str, name: str) -> dict[str, float]:
    return scrape_pod(world, cluster, world.find(cluster, name))


def scrape_pod(world: World, cluster: str, workload: Workload) -> dict[str, float]:
    """Metrics, summed over labels."""
    ok, text = world.get(world.clusters[cluster], workload, 9444, "/metrics")
    require(ok, f"{cluster}: {workload.pod} has no metrics: {text}")
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            metric, value = re.split(r"[ {]", line, maxsplit=1)[0], line.rsplit(" ", 1)[1]
            values[metric] = values.get(metric, 0) + float(value)
    return values


def gateways(world: World) -> list[tuple[str, Workload]]:
    named = ((cluster, workload) for cluster, workloads in world.workloads.items() for workload in workloads)
    return [(cluster, workload) for cluster, workload in named if workload.name == GATEWAY]


def mesh_is_whole(world: World) -> str:
    links = {}
    for cluster, workload in gateways(world):
        links[f"{cluster}/{workload.pod}"] = scrape_pod(world, cluster, workload)["macula_mesh_peers_connected"]
    count = len(links)
    require(all(found == count - 1 for found in links.values()), f"links: {links}")
    return f"{count} gateways, {count * (count - 1) // 2} links"


def doctors_agree(world: World):
    for name, cluster in world.clusters.items():
        app = next(workload for workload in world.workloads[name] if workload.name not in (GATEWAY, "postgres"))
        done = cluster.podman("exec", container_of(app), "/macula", "doctor", check=False)
        require(done.returncode == 0, f"{name}: /macula doctor in {app.name}: {done.stdout}{done.stderr}")
        count = len(gateways(world))
        require(f"{count} gateways know" in done.stdout, f"{name}: the doctor does not see {count} gateways: {done.stdout}")
    print(f"ok /macula doctor in a pod of every cluster reaches all {count} gateways")


def host_ports(world: World):
    """As on a KinD machine: the gateway at UDP 30080, its admin port at 30081, the dashboard at 30000."""
    authority = world.place / "secrets/ca/ca.pem"
    done = command(
        world.binaries / "macula", "doctor", "--url", "https://localhost:30080", "--ca", authority, check=False
    )
    require(done.returncode == 0, f"the gateway at 30080/udp: {done.stdout}{done.stderr}")
    print("ok the gateway of the hub answers at 30080/udp of this machine")
    with urllib.request.urlopen("http://localhost:30081/readyz", timeout=5) as response:
        require(response.status == 200, "the admin port at 30081")
    print("ok its admin port answers at 30081")
    token = (world.place / "secrets/admin-token").read_text().strip()
    for given, wanted in ((None, 401), (token[:-1], 403), (token, 200)):
        request = urllib.request.Request("http://localhost:30081/v1/mesh")
        if given:
            request.add_header("Authorization", f"Bearer {given}")
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                status = response.status
        except urllib.error.HTTPError as error:
            status = error.code
        require(status == wanted, f"the admin port shows the mesh with status {status}, where {wanted} is right")
    print("ok and shows the mesh to who has the admin token, and to nobody else")
    page = fetch("http://localhost:30000/")
    require('<div id="app">' in page, f"the dashboard was compiled without its page: {page[:200]}")
    for part in re.findall(r'(?:src|href)="(/[^"]+\.(?:js|css))"', page):
        require(len(fetch(f"http://localhost:30000{part}")) > 0, f"the dashboard has no {part}")
    print("ok the dashboard answers at 30000 with its page")


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.read().decode()


def dashboard() -> str:
    """What the page asks for: read models through the queries, and where a browser reaches the gateway."""
    overview = json.loads(fetch("http://localhost:30000/api/get_overview"))
    regions = {region["region"] for region in overview["regions"]}
    require(regions == REGIONS, f"it shows {sorted(regions)}")
    homes = json.loads(fetch("http://localhost:30000/api/get_homes"))
    transport = json.loads(fetch("http://localhost:30000/api/transport"))
    require(transport["url"] == "https://localhost:30080", f"it sends browsers to {transport['url']}")
    return f"{homes['total']} homes"


def sql(world: World, query: str) -> str:
    hub = world.clusters["macula-hub"]
    container = container_of(world.find("macula-hub", "postgres"))
    psql = ["psql", "--username=postgres", "--dbname=cortex_iq_dashboard", "--no-align", "--tuples-only", "--command", query]
    return hub.podman("exec", container, *psql).stdout.strip()


def signed(world: World, home: str, provider: str) -> str:
    """Contracts of homes of one region with providers of another, in the read models."""
    count = int(
        sql(
            world,
            f"SELECT count(*) FROM contracts WHERE home_region = '{home}' AND provider_region = '{provider}'",
        )
    )
    require(count > 0, "no contract yet")
    return f"{count} contracts"


def stored(world: World) -> str:
    rows = dict(
        line.split("|")
        for line in sql(
            world,
            "SELECT region, count(*) FROM measurements JOIN homes USING (run, home) GROUP BY region",
        ).splitlines()
    )
    require(set(rows) == REGIONS, f"rows of {sorted(rows)} only")
    return ", ".join(f"{region}: {count} rows" for region, count in sorted(rows.items()))


def metrics(world: World):
    """What is exported is what alerts and dashboards may name."""
    seen = set()
    for name, workloads in world.workloads.items():
        for workload in workloads:
            if workload.name != "postgres":
                seen |= set(scrape(world, name, workload.name))
    listing = K8S / "base/observability/metrics.txt"
    known = exported(listing)
    seen -= {metric for metric in seen if metric.startswith("go_")}
    require(not seen - known, f"{listing.name} lacks {sorted(seen - known)}")
    require(not known - seen, f"{listing.name} has {sorted(known - seen)}, which nobody exports")
    print(f"ok {len(seen)} metrics are exported, and all are listed")


def processes(world: World):
    """Every container with the process that it is."""
    for name, workloads in world.workloads.items():
        for workload in workloads:
            yield name, workload, world.clusters[name].pid(container_of(workload))


def family(pid: int) -> list[int]:
    """A process and its children; only PostgreSQL has any."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def memory(pid: int) -> int:
    """The most that a process ever had; of several what they have now, each page counted once, since they share most."""
    if family(pid) == [pid]:
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
    total = 0
    for member in family(pid):
        try:
            total += 1024 * int(re.search(r"\nPss:\s+(\d+)", Path(f"/proc/{member}/smaps_rollup").read_text())[1])
        except OSError:
            continue  # it has ended since
    return total


def cpu_seconds(pid: int) -> float:
    total = 0
    for member in family(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # Its own, and that of children which have ended.
        total += sum(map(int, fields[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def under_load(world: World, minutes: int):
    """The year runs at the speed of the manifests; then what each container needed for it."""
    spent = {pid: cpu_seconds(pid) for _, _, pid in processes(world)}
    before, began = scrape(world, "macula-hub", "cortex-iq-projections"), time.monotonic()
    time.sleep(60 * minutes)
    after, passed = scrape(world, "macula-hub", "cortex-iq-projections"), time.monotonic() - began
    rate = (after["cortexiq_projections_measurements_total"] - before["cortexiq_projections_measurements_total"]) / passed
    require(rate > 0, "nothing is stored any more")
    print(f"ok {rate:.0f} quarter-hours a second are stored, over {passed:.0f} s")
    factors = {"Mi": 2**20, "Gi": 2**30}
    for cluster, workload, pid in processes(world):
        limit, used = workload.memory, memory(pid)
        allowed = int(limit[:-2]) * factors[limit[-2:]]
        cores = (cpu_seconds(pid) - spent[pid]) / passed
        share = 100 * used / allowed
        print(f"   {cluster:<17} {workload.name:<24} {used / 2**20:6.1f} MiB of {limit} ({share:2.0f} %), {1000 * cores:4.0f}m CPU")
        require(used <= allowed, f"{cluster}: {workload.name} needs more memory than it may have")


def certificates_are_taken_up(world: World):
    """A renewed certificate reaches the gateway as a changed file, and needs no restart."""
    cluster = "be-brabant"
    workload = world.find(cluster, GATEWAY)
    container = container_of(workload)
    pid = world.clusters[cluster].pid(container)
    secrets = world.place / "secrets"
    command(
        world.binaries / "macula", "cert", "issue", "--authority", secrets / "ca", "--dir", world.place / "renewed",
        "--gateway", cluster, "--days", "13", "--name", "gateway-brabant", "--name", "macula-gateway-service",
        "--name", "localhost",
    )  # fmt: skip
    folder = next(folder for folder, (files, _) in workload.files.items() if "tls.crt" in files)
    write_files(folder, {file.name: file.read_bytes() for file in (world.place / "renewed").iterdir()}, workload.files[folder][1])

    def taken_up():
        require("the mounted certificates were reloaded" in world.clusters[cluster].logs(container, 200), "no word of it")
        require(world.clusters[cluster].pid(container) == pid, "the gateway was restarted")
        return "no restart"

    ask("a renewed certificate is taken up", taken_up, 15)
    ask("and the mesh is whole", lambda: mesh_is_whole(world), 30)


def a_killed_gateway_heals(world: World):
    """SIGKILL of the process; podman starts the container again, as the kubelet would."""
    cluster = world.clusters["be-antwerp"]
    container = container_of(world.find("be-antwerp", GATEWAY))
    old = cluster.pid(container)
    homes_before = scrape(world, "be-antwerp", "cortex-iq-homes")["cortexiq_homes_measured_total"]
    command("kill", "-KILL", old)

    def restarted():
        now = cluster.pid(container)
        require(now not in (0, old), "the container is not back")
        return f"pid {old} to {now}"

    ask("a gateway that is killed comes back", restarted, 60)
    ask("the mesh is whole again", lambda: mesh_is_whole(world), 30 + BACK)
    ask("its homes go on", lambda: homes_go_on(world, homes_before), BACK)


def homes_go_on(world: World, before: float) -> str:
    homes = scrape(world, "be-antwerp", "cortex-iq-homes")
    require(homes["cortexiq_homes_ready"] == 1, "the homes have no gateway")
    require(homes["cortexiq_homes_measured_total"] != before, "the homes measure nothing")
    return f"{homes['cortexiq_homes_measured_total'] - before:.0f} more quarter-hours"


def gateways_are_replicated(world: World):
    """Antwerp gets the gateways of the component production: they find each other by the headless Service, applications any of
    them by the other one, and when one is lost for good its applications are served by the rest."""
    cluster = "be-antwerp"
    world.replace(cluster, world.find(cluster, GATEWAY), build(K8S / "examples/production"))
    replicas = [workload for place, workload in gateways(world) if place == cluster]
    require(len(replicas) > 1, f"the component production makes {len(replicas)} gateway")
    ask(f"{len(replicas)} gateways of {cluster} join, and the mesh is whole", lambda: mesh_is_whole(world), 60)
    doctors_agree(world)
    measured = scrape(world, cluster, "cortex-iq-homes")["cortexiq_homes_measured_total"]
    ask("its homes go on", lambda: homes_go_on(world, measured), BACK)
    sessions = [scrape_pod(world, cluster, replica)["macula_sessions"] for replica in replicas]
    busiest = replicas[sessions.index(max(sessions))]
    require(max(sessions) > 0, "nobody is connected to any of them")
    print(f"   sessions of the replicas: {', '.join(f'{count:.0f}' for count in sessions)}; {busiest.pod} is lost now")
    world.remove_pod(cluster, busiest)
    ask("the others are a whole mesh", lambda: mesh_is_whole(world), 30 + BACK)

    def are_served():
        rest = [scrape_pod(world, cluster, replica)["macula_sessions"] for replica in replicas if replica is not busiest]
        require(sum(rest) >= sum(sessions), f"of {sum(sessions):.0f} sessions {sum(rest):.0f} are back")
        return f"{sum(rest):.0f} sessions"

    ask("all that were connected are again", are_served, 30 + BACK)
    measured = scrape(world, cluster, "cortex-iq-homes")["cortexiq_homes_measured_total"]
    ask("its homes go on", lambda: homes_go_on(world, measured), BACK)


def probes_hold(world: World):
    """After all of that every probe of every manifest says yes."""
    count = 0
    for name, workloads in world.workloads.items():
        for workload in workloads:
            for probe in workload.probes:
                ok, text = world.ask(world.clusters[name], workload, probe)
                require(ok, f"{name}: {probe.kind} of {workload.name}: {text}")
                count += 1
    print(f"ok {count} probes of the manifests say yes")


def stops_politely(world: World):
    """SIGTERM as process 1 ends every container by itself, with exit code 0, in half of its grace period at most: the
    other half is for a busy node. The hub goes first, so gateways stop while peers and their names are gone."""
    for name, cluster in world.clusters.items():
        # Applications before what they need.
        for workload in reversed(world.workloads[name]):
            container = container_of(workload)
            began = time.monotonic()
            cluster.podman("stop", "--time", workload.grace, container, timeout=workload.grace + 60)
            took = time.monotonic() - began
            code = cluster.inspect(container)["State"]["ExitCode"]
            require(code == 0, f"{name}: {workload.name} ended with {code} after SIGTERM: {cluster.logs(container)}")
            require(took < workload.grace / 2, f"{name}: {workload.name} took {took:.0f} of {workload.grace} s to stop")
            print(f"ok {name}: {workload.name} stopped after {took:.1f} s of {workload.grace} s")
