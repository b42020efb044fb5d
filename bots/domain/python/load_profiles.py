"""Writes the household profiles of BDEW as data files, from the tables that demandlib carries.

    python load_profiles.py DIRECTORY    writes h25.csv and h0.csv there

Rows are the quarter-hours of a day, columns the kinds of days. Values are kWh of a quarter-hour before the day's dynamic
factor, of a year of about 1,000,000 kWh (H25) and 1,000 kWh (H0), as BDEW published them.
"""

import pathlib
import sys

import demandlib.bdew
import pandas as pd

SOURCE = pathlib.Path(demandlib.bdew.__file__).parent / "bdew_data"
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
KINDS = {"WT": "workday", "SA": "saturday", "FT": "sunday"}
SEASONS = ["winter", "summer", "transition"]


def h25():
    table = pd.read_csv(SOURCE / "h25.csv", header=[0, 1], index_col=0)
    months = list(dict.fromkeys(month for month, _ in table.columns))
    assert (table.shape, months[2]) == ((96, 36), "März")
    return {
        f"{MONTHS[number]}_{name}": table[(month, kind)].tolist()
        for number, month in enumerate(months)
        for kind, name in KINDS.items()
    }


def h0():
    table = pd.read_csv(SOURCE / "selp_series.csv")
    columns = {}
    for season in SEASONS:
        for name, weekdays in {"workday": range(1, 6), "saturday": [6], "sunday": [7]}.items():
            days = [
                table[(table["period"] == season) & (table["weekday"] == day)]["h0"].tolist()
                for day in weekdays
            ]
            assert all(day == days[0] and len(day) == 96 for day in days), "one profile for all workdays"
            columns[f"{season}_{name}"] = days[0]
    return columns


def write(path, columns):
    lines = ["quarter_hour," + ",".join(columns)]
    for quarter in range(96):
        values = (f"{column[quarter]:g}" for column in columns.values())
        lines.append(f"{quarter // 4:02d}:{quarter % 4 * 15:02d}," + ",".join(values))
    path.write_text("\n".join(lines) + "\n")


directory = pathlib.Path(sys.argv[1])
write(directory / "h25.csv", h25())
write(directory / "h0.csv", h0())
