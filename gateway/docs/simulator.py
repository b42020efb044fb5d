"""Draws `simulator.svg` from the table that the simulator writes.

usage: python3 gateway/docs/simulator.py target/simulator.csv gateway/docs/simulator.svg (needs matplotlib)
"""

import csv
import sys
from collections import defaultdict

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "macula"
import matplotlib.pyplot as plt

LABELS = {
    "join": "all linked by one address",
    "subscribe": "all subscriptions known everywhere",
    "publish": "events of all clients settled",
    "heal": "halves met after 10 s, all settled",
}


def main(table: str, picture: str) -> None:
    seconds, traffic = defaultdict(list), []
    with open(table, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            count = int(row["gateways"])
            if row["what"] == "quiet":
                traffic.append((count, int(row["bytes"]) / 10))
            else:
                seconds[row["what"]].append((count, float(row["seconds"])))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for what, label in LABELS.items():
        left.plot(*zip(*seconds[what]), marker="o", label=label)
    left.set(xscale="log", xlabel="gateways", ylabel="seconds", ylim=(0, None))
    left.legend(frameon=False, fontsize="small")
    right.plot(*zip(*traffic), marker="o", color="tab:gray")
    right.set(xscale="log", yscale="log", xlabel="gateways", ylabel="bytes a second, each, when quiet")
    figure.savefig(picture, metadata={"Date": None})


main(*sys.argv[1:])
