"""Draws `membership.svg` from the table that the membership simulator writes.

usage: python3 gateway/docs/membership.py target/membership.csv gateway/docs/membership.svg (needs matplotlib)
"""

import csv
import sys
from collections import defaultdict

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "macula"
import matplotlib.pyplot as plt

LABELS = {
    "join": "all join by one address",
    "death": "a gateway dies",
    "restart": "it starts again",
    "heal": "two halves meet after 20 s",
}


def main(table: str, picture: str) -> None:
    seconds, traffic = defaultdict(list), []
    with open(table, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            count = int(row["gateways"])
            if row["fault"] == "quiet":
                traffic.append((count, int(row["bytes"]) / 10))
            else:
                seconds[row["fault"]].append((count, float(row["seconds"])))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for fault, label in LABELS.items():
        left.plot(*zip(*seconds[fault]), marker="o", label=label)
    left.set(xscale="log", xlabel="gateways", ylabel="seconds until all agree", ylim=(0, None))
    left.legend(frameon=False, fontsize="small")
    right.plot(*zip(*traffic), marker="o", color="tab:gray")
    right.set(xscale="log", xlabel="gateways", ylabel="bytes a second, each, when quiet", ylim=(0, None))
    figure.savefig(picture, metadata={"Date": None})


main(*sys.argv[1:])
