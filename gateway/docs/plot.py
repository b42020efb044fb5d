"""Draws the table that a simulator writes.

usage: python3 gateway/docs/plot.py target/NAME.csv gateway/docs/NAME.svg (needs matplotlib)
NAME is `membership` or `simulator`.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "macula"
import matplotlib.pyplot as plt

LABELS = {
    "membership": {
        "join": "all join by one address",
        "death": "a gateway dies",
        "restart": "it starts again",
        "heal": "two halves meet after 20 s",
    },
    "simulator": {
        "join": "all linked by one address",
        "subscribe": "all subscriptions known everywhere",
        "publish": "events of all clients settled",
        "heal": "halves met after 10 s, all settled",
    },
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
    for what, label in LABELS[Path(table).stem].items():
        left.plot(*zip(*seconds[what]), marker="o", label=label)
    left.set(xscale="log", xlabel="gateways", ylabel="seconds until all agree", ylim=(0, None))
    left.legend(frameon=False, fontsize="small")
    right.plot(*zip(*traffic), marker="o", color="tab:gray")
    right.set(xscale="log", yscale="log", xlabel="gateways", ylabel="bytes a second, each, when quiet")
    figure.savefig(picture, metadata={"Date": None})


main(*sys.argv[1:])
