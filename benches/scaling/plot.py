"""Draws what benches/scaling/measure has written: python3 benches/scaling/plot.py results.csv scaling.svg (needs matplotlib)."""

import csv
import statistics
import sys
from collections import defaultdict

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "macula"
import matplotlib.pyplot as plt

LABELS = {
    "subscribers": "subscribers of one publisher",
    "subscriptions": "other subscriptions, beside 1→4",
    "payload": "bytes of payload, 1→4",
    "sessions": "sessions, in pairs",
}


def main(table: str, picture: str) -> None:
    rates, cpu = (defaultdict(lambda: defaultdict(list)) for _ in range(2))
    with open(table, encoding="utf-8") as file:
        for run in csv.DictReader(file):
            if run["row"] in LABELS and run["valid"] == "True":
                rates[run["row"]][int(run["x"])].append(float(run["rate_per_s"]))
                cpu[run["row"]][int(run["x"])].append(float(run["server_cpu_us"]))
    rows = [row for row in LABELS if row in rates]
    figure, axes = plt.subplots(2, len(rows), figsize=(3.2 * len(rows), 5), layout="constrained", squeeze=False)
    for column, row in enumerate(rows):
        top, bottom = axes[:, column]
        # Bytes of payload make a difference of hundreds.
        scale = "log" if row == "payload" else "linear"
        line(top, rates[row], 1e3, "tab:blue", scale)
        line(bottom, cpu[row], 1, "tab:gray", scale)
        top.set(ylabel="thousand deliveries a second" if column == 0 else None)
        bottom.set(xlabel=LABELS[row], ylabel="µs of the gateway's CPU for each" if column == 0 else None)
    figure.savefig(picture, metadata={"Date": None})


def line(axis, places: dict, unit: float, colour: str, scale: str) -> None:
    """The median, and between the lowest and the highest."""
    x = sorted(places)
    values = [[value / unit for value in places[place]] for place in x]
    axis.fill_between(x, [min(each) for each in values], [max(each) for each in values], color=colour, alpha=0.2, lw=0)
    axis.plot(x, [statistics.median(each) for each in values], marker="o", ms=4, color=colour)
    axis.set(xscale="log", yscale=scale)
    if scale == "linear":
        axis.set_ylim(0, None)
    axis.spines[["top", "right"]].set_visible(False)


main(*sys.argv[1:])
