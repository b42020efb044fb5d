"""Draws the plots of docs/ from what the example `story` has written.

    python plots.py DIRECTORY DOCS    as PNG when a third argument says png, else as SVG
"""

import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams.update({
    "svg.hashsalt": "cortexiq",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
})

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

source, docs = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
kind = sys.argv[3] if len(sys.argv) > 3 else "svg"
SUN, USE, GRID, CELLS = "#e0a100", "#30548c", "#7a7a7a", "#3a8f5c"
MONTHS = ["J", "F", "M", "A", "M", "J", "J", "A", "S", "O", "N", "D"]


def save(figure, name):
    figure.savefig(docs / f"{name}.{kind}", bbox_inches="tight", dpi=110, metadata={"Date": None} if kind == "svg" else {})
    plt.close(figure)


WEEKS = [("january", "13 to 19 January"), ("june", "16 to 22 June")]
DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def battery():
    figure, axes = plt.subplots(4, 1, figsize=(10, 7.2), sharex=True, height_ratios=[3, 1, 3, 1], layout="constrained")
    for (name, title), (power, cells) in zip(WEEKS, [axes[:2], axes[2:]]):
        week = pd.read_csv(source / f"bra_001_{name}.csv")
        time = week["day"]
        power.fill_between(time, week["pv_w"] / 1000, color=SUN, alpha=0.55, linewidth=0, step="post", label="panels")
        power.step(time, week["load_w"] / 1000, color=USE, linewidth=0.9, where="post", label="load")
        power.step(time, (week["import_w"] - week["export_w"]) / 1000, color=GRID, linewidth=0.7, where="post", label="grid")
        power.axhline(0, color="black", linewidth=0.5)
        power.set_ylabel("kW")
        power.set_title(f"A home in Leuven, {title} 2025", loc="left", fontsize=10)
        cells.fill_between(time, week["charge_pct"], color=CELLS, alpha=0.6, linewidth=0, step="post")
        cells.set_ylim(0, 100)
        cells.set_ylabel("battery, %")
    axes[0].legend(loc="upper right", ncols=3, frameon=False)
    axes[-1].set_xticks(np.arange(7) + 0.5, DAYS)
    axes[-1].set_xlim(0, 7)
    save(figure, "home-weeks")


def heat_pump():
    figure, axes = plt.subplots(2, 1, figsize=(10, 3.8), sharex=True, sharey=True, layout="constrained")
    for (name, title), power in zip(WEEKS, axes):
        week = pd.read_csv(source / f"bra_009_{name}.csv")
        power.fill_between(week["day"], week["load_w"] / 1000, color=USE, alpha=0.7, linewidth=0, step="post")
        power.set_ylabel("load, kW")
        power.set_title(f"A home with heat pump and car, {title} 2025", loc="left", fontsize=10)
    axes[-1].set_xticks(np.arange(7) + 0.5, DAYS)
    axes[-1].set_xlim(0, 7)
    save(figure, "heat-pump-weeks")


def regions():
    table = pd.read_csv(source / "regions.csv")
    names = {"antwerp": "Antwerp", "brabant": "Brabant", "east-flanders": "East Flanders"}
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True, layout="constrained")
    for axis, (region, title) in zip(axes, names.items()):
        months = table[table["region"] == region].sort_values("month")
        at = np.arange(12)
        axis.bar(at - 0.2, months["consumption_kwh"] / 1000, 0.4, color=USE, label="load")
        axis.bar(at + 0.2, months["production_kwh"] / 1000, 0.4, color=SUN, label="panels")
        axis.step(at, (months["import_kwh"] - months["export_kwh"]) / 1000, where="mid", color=GRID, linewidth=1.2, label="net from the grid")
        axis.axhline(0, color="black", linewidth=0.5)
        axis.set_xticks(at, MONTHS)
        axis.set_title(f"{title}, 50 homes", loc="left", fontsize=10)
    axes[0].set_ylabel("MWh a month")
    axes[0].set_ylim(top=33)  # room for the legend
    axes[2].legend(frameon=False, loc="upper right")
    save(figure, "region-months")


def market():
    table = pd.read_csv(source / "market.csv", parse_dates=["day"])
    table = table[table["day"] < "2026-01-01"]
    days = table.groupby("day")["euro_per_mwh"].agg(["mean", "min", "max"])
    places = [["year", "year"], ["map", "map"], ["curve", "hours"]]
    figure, axes = plt.subplot_mosaic(places, figsize=(10, 8), height_ratios=[3, 4, 3], layout="constrained")
    year, map_, curve, hours = axes.values()
    year.fill_between(days.index, days["min"], days["max"], color=USE, alpha=0.2, linewidth=0, label="lowest to highest")
    year.plot(days.index, days["mean"], color=USE, linewidth=1, label="mean of the day")
    year.axhline(0, color="black", linewidth=0.5)
    year.set_xlim(days.index[0], days.index[-1])
    year.set_ylabel("€/MWh")
    year.set_title("Day-ahead prices of 2025", loc="left", fontsize=10)
    year.legend(frameon=False, loc="upper center", ncols=2)
    hourly = table.assign(month=table["day"].dt.month, hour=table["hour"].astype(int))
    grid = hourly.pivot_table(index="hour", columns="month", values="euro_per_mwh", aggfunc="mean")
    image = map_.imshow(grid, aspect="auto", origin="lower", cmap="RdYlBu_r", vmin=-20, vmax=180)
    for hour in grid.index:
        for month in grid.columns:
            value = grid.loc[hour, month]
            map_.text(month - 1, hour, f"{value:.0f}", ha="center", va="center", fontsize=5.5, color="white" if value > 150 else "black")
    map_.set_xticks(np.arange(12), MONTHS)
    map_.set_yticks([0, 6, 12, 18, 23])
    map_.set_ylabel("hour of the day")
    map_.set_title("Mean by month and hour, €/MWh", loc="left", fontsize=10)
    figure.colorbar(image, ax=map_, pad=0.01)
    # Before October a price holds for an hour, then for a quarter of one.
    weights = np.where(table["day"] < "2025-10-01", 1.0, 0.25)
    order = np.argsort(-table["euro_per_mwh"].to_numpy())
    curve.step(weights[order].cumsum(), table["euro_per_mwh"].to_numpy()[order], color=USE, linewidth=1.2)
    curve.axhline(0, color="black", linewidth=0.5)
    curve.set_xlim(0, 8760)
    curve.set_xlabel("hours of the year at this price or a higher one")
    curve.set_ylabel("€/MWh")
    curve.set_title("Price duration curve", loc="left", fontsize=10)
    below = table.assign(month=table["day"].dt.month, hours=np.where(table["euro_per_mwh"] < 0, weights, 0))
    hours.bar(np.arange(12), below.groupby("month")["hours"].sum(), color=USE)
    hours.set_xticks(np.arange(12), MONTHS)
    hours.set_title("Hours below zero", loc="left", fontsize=10)
    save(figure, "market-year")


docs.mkdir(parents=True, exist_ok=True)
battery()
heat_pump()
regions()
market()
