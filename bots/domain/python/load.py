"""What demandlib says of households, by naive local time: one JSON object on standard output.

    python load.py YEAR HOLIDAYS    the data file of holidays
"""

import json
import sys

import pandas as pd
from demandlib import __version__, bdew

year = int(sys.argv[1])
holidays = [pd.Timestamp(date).date() for date in pd.read_csv(sys.argv[2])["date"] if date.startswith(str(year))]
times = pd.date_range(f"{year}-01-01", f"{year + 1}-01-01", freq="15min", inclusive="left")
h25 = bdew.H25(times, holidays=holidays)
h0 = bdew.ElecSlp(year, holidays=holidays).get_profiles("h0_dyn")["h0_dyn"]
json.dump({"demandlib": __version__, "holidays": len(holidays), "H25": h25.tolist(), "H0": h0.tolist()}, sys.stdout)
