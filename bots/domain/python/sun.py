"""What pvlib says of the sun and of a clear sky, set as our models are: one JSON object on standard output.

Positions are apparent ones (with refraction) in the middle of every quarter-hour of 2025. Clear skies are Ineichen's with
Linke turbidity 3 at sea level, without the Perez enhancement, brought to each plane by the isotropic model.
"""

import json
import sys

import pandas as pd
import pvlib

PLACES = {"Knokke": (51.35, 3.25), "Antwerpen": (51.20, 4.40), "Arlon": (49.70, 5.80)}
PLANES = [(0, 180), (35, 180), (35, 110), (40, 250), (25, 20), (90, 180)]

times = pd.date_range("2025-01-01", "2026-01-01", freq="15min", tz="UTC", inclusive="left") + pd.Timedelta("450s")
told = {"pvlib": pvlib.__version__, "start": int(times[0].timestamp()) - 450, "places": []}
for latitude, longitude in PLACES.values():
    position = pvlib.solarposition.get_solarposition(times, latitude, longitude, altitude=0, temperature=15)
    air_mass = pvlib.atmosphere.get_relative_airmass(position["apparent_zenith"])
    beyond = pvlib.irradiance.get_extra_radiation(times)
    sky = pvlib.clearsky.ineichen(
        position["apparent_zenith"], air_mass, 3, altitude=0, dni_extra=beyond, perez_enhancement=False
    )
    planes = []
    for tilt, azimuth in PLANES:
        on_plane = pvlib.irradiance.get_total_irradiance(
            tilt, azimuth, position["apparent_zenith"], position["azimuth"],
            sky["dni"], sky["ghi"], sky["dhi"], albedo=0.25, model="isotropic",
        )["poa_global"]
        days = (on_plane.fillna(0) / 4).groupby(times.date).sum()
        planes.append({"tilt": tilt, "azimuth": azimuth, "wh_per_day": [round(wh, 3) for wh in days]})
    told["places"].append({
        "latitude": latitude,
        "longitude": longitude,
        "elevation": [round(degrees, 5) for degrees in position["apparent_elevation"]],
        "azimuth": [round(degrees, 5) for degrees in position["azimuth"]],
        "planes": planes,
    })
json.dump(told, sys.stdout)
