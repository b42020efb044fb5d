"""Whether Services, policies and budgets mean pods that exist, at ports that these have."""

from .objects import containers, name, namespace, of_kind, selected

# What the seed document promises on the host of the hub, and the metrics of the regions.
NODE_PORTS = {(30000, "TCP"), (30080, "UDP"), (30081, "TCP"), (30090, "TCP")}


def check_network(objects: list[dict]) -> list[str]:
    problems = []
    for kind, check in (
        ("Service", check_service),
        ("NetworkPolicy", check_policy),
        ("PodDisruptionBudget", check_budget),
        ("HorizontalPodAutoscaler", check_autoscaler),
    ):
        for thing in of_kind(objects, kind):
            problems += [f"{name(thing)}: {problem}" for problem in check(objects, thing)]
    return problems


def ports_of(workloads):
    """Ports by name and number, as (protocol) sets."""
    found = {}
    for workload in workloads:
        for container in containers(workload):
            for port in container.get("ports", []):
                for key in (port.get("name"), port["containerPort"]):
                    found.setdefault(key, set()).add(port.get("protocol", "TCP"))
    return found


def check_service(objects, service):
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        if not spec.get("externalName"):
            yield "externalName is missing"
        return
    pods = selected(objects, spec["selector"], namespace(service))
    if not pods and "cnpg.io/cluster" not in spec["selector"]:
        yield f"selects nothing: {spec['selector']}"
        return
    ports = ports_of(pods)
    for port in spec["ports"]:
        target, protocol = port.get("targetPort", port["port"]), port.get("protocol", "TCP")
        if protocol not in ("TCP", "UDP"):
            yield f"{protocol} is no protocol; QUIC is UDP"
        if pods and protocol not in ports.get(target, set()):
            yield f"port {target}/{protocol} is none of its pods"
        if not 0 < port["port"] < 65536:
            yield f"port {port['port']} is no port"
        if port["port"] == 9443 and protocol != "UDP":
            yield "9443 is QUIC, which is UDP"


def check_policy(objects, policy):
    spec = policy["spec"]
    selector = spec["podSelector"].get("matchLabels", {})
    pods = selected(objects, selector, namespace(policy))
    if selector and not pods and "cnpg.io/cluster" not in selector:
        yield f"selects nothing: {selector}"
    own = ports_of(pods)
    for rule in spec.get("ingress", []):
        yield from check_rule(rule, pods and own, "from", objects, policy)
    for rule in spec.get("egress", []):
        targets = [peer for peer in rule.get("to", []) if "podSelector" in peer]
        there = [pod for peer in targets for pod in selected(objects, peer["podSelector"]["matchLabels"], namespace(policy))]
        # Pods of another folder of the same cluster are looked for when the whole cluster is checked.
        yield from check_rule(rule, there and ports_of(there), "to", objects, policy)


def check_rule(rule, ports, side, objects, policy):
    for peer in rule.get(side, []):
        selector = peer.get("podSelector", {}).get("matchLabels", {})
        if selector and "cnpg.io/cluster" not in selector and not selected(objects, selector, namespace(policy)):
            yield f"{side} nobody: {selector}"
    for port in rule.get("ports", []):
        if isinstance(port["port"], str) and ports and port["protocol"] not in ports.get(port["port"], set()):
            yield f"there is no port {port['port']}/{port['protocol']}"


def check_budget(objects, budget):
    selector = budget["spec"]["selector"]["matchLabels"]
    if not selected(objects, selector, namespace(budget)):
        yield f"selects nothing: {selector}"


def check_autoscaler(objects, autoscaler):
    target = autoscaler["spec"]["scaleTargetRef"]
    found = [thing for thing in of_kind(objects, target["kind"]) if thing["metadata"]["name"] == target["name"]]
    if not found:
        yield f"there is no {target['kind']}/{target['name']}"
    elif "replicas" in found[0]["spec"]:
        yield f"{name(found[0])} says how many replicas too; at every reconciliation Flux would set them back"


def node_ports(objects) -> set:
    return {
        (port["nodePort"], port.get("protocol", "TCP"))
        for service in of_kind(objects, "Service")
        for port in service["spec"].get("ports", [])
        if "nodePort" in port
    }
