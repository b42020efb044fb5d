"""Draws what a comparison came to: python3 benches/peers/plot.py summary.json compare.svg (needs matplotlib)."""

import json
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "macula"
import matplotlib.pyplot as plt

COLOURS = {"macula": "tab:blue", "nats-server": "tab:green", "zenohd": "tab:orange", "relay": "lightgray"}
NAMES = {"relay": "bare relay: the ceiling"}


def bars(axes, rows, measure, title):
    width = 0.8 / len(COLOURS)
    for place, row in enumerate(rows):
        values = {system["system"]: system.get(measure) for system in row["systems"]}
        # Each row as a share of what is highest in it, so that all can be read.
        highest = max(value[1] for value in values.values() if value)
        for number, (system, colour) in enumerate(COLOURS.items()):
            if not values.get(system):
                continue
            low, middle, high = (value / highest for value in values[system])
            at = place + (number - 1.5) * width
            label = NAMES.get(system, system) if place == 0 else None
            axes.bar(at, middle, width, color=colour, label=label, yerr=[[middle - low], [high - middle]],
                     error_kw={"lw": 0.7, "ecolor": "dimgray"})
            axes.text(at, 0.02, show(values[system][1], measure), rotation=90, ha="center", va="bottom", fontsize=6)
    axes.set_xticks(range(len(rows)), [row["title"] for row in rows], fontsize="small")
    axes.set(title=title, yticks=[], ylim=(0, None))
    axes.spines[["top", "right", "left"]].set_visible(False)


def show(value, measure):
    if measure == "cpu":
        return f"{value:.2f} µs"
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def main(summary: str, picture: str) -> None:
    with open(summary, encoding="utf-8") as file:
        rows = [row for row in json.load(file)["rows"] if any(system.get("cpu") for system in row["systems"])]
    if not rows:
        return
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(9, 5.6), layout="constrained")
    bars(top, rows, "rate", "deliveries a second (more is better)")
    bars(bottom, rows, "cpu", "CPU of the server for each delivery (less is better)")
    figure.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    figure.savefig(picture, metadata={"Date": None})


main(*sys.argv[1:])
