"""Writes the ten legal holidays of Belgium from 2000 to 2099, from the package `holidays`.

    python holidays_be.py FILE
"""

import pathlib
import sys

import holidays

# The package lists the Sundays of Easter and Pentecost too, which the law of 4 January 1974 does not.
SUNDAYS = {"Easter Sunday", "Pentecost"}

lines = ["date,name"]
for year in range(2000, 2100):
    days = holidays.country_holidays("BE", years=year, language="en_US")
    for day in sorted(days):
        names = [name for name in days.get_list(day) if name not in SUNDAYS]
        if names:
            lines.append(f"{day.isoformat()},{' and '.join(names)}")
pathlib.Path(sys.argv[1]).write_text("\n".join(lines) + "\n")
