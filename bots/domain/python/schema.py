"""Checks files of homes against the schema: a JSON array on standard output, for each file its number of mistakes.

    python schema.py SCHEMA FILE...
"""

import json
import pathlib
import sys

import jsonschema

schema = json.loads(pathlib.Path(sys.argv[1]).read_text())
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
files = [json.loads(pathlib.Path(path).read_text()) for path in sys.argv[2:]]
json.dump([len(list(validator.iter_errors(homes))) for homes in files], sys.stdout)
