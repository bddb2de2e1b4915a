"""Verdicts of pySigma, by its SQLite backend. Reads {"rules": [yaml], "events": [{field: value}]} from standard input, writes one list of
the numbers of matched events for each rule, or what pySigma or SQLite said of it."""
import json
import re
import sqlite3
import sys

from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection


def stored(text):
    return int(text) if text is not None and re.fullmatch("0|[1-9][0-9]{0,15}", text) else text


request = json.load(sys.stdin)
columns = sorted({name for event in request["events"] for name in event} | set(request["columns"]))
database = sqlite3.connect(":memory:")
database.create_function("REGEXP", 2, lambda pattern, text: text is not None and re.search(pattern, str(text)) is not None, deterministic=True)
# Sigma ignores case and compares a number with its digits; where the backend writes `=`, the table must do both.
database.execute("CREATE TABLE logs (number INTEGER, %s)" % ", ".join('"%s" COLLATE NOCASE' % name for name in columns))
database.executemany(
    "INSERT INTO logs VALUES (%s)" % ", ".join("?" * (len(columns) + 1)),
    [[number] + [stored(event.get(name)) for name in columns] for number, event in enumerate(request["events"])],
)
answers = []
for rule in request["rules"]:
    try:
        (query,) = sqliteBackend().convert(SigmaCollection.from_yaml(rule))
        found = database.execute(query.replace("SELECT *", "SELECT number", 1) + " ORDER BY number").fetchall()
        answers.append([number for (number,) in found])
    except Exception as error:  # Whatever it says is an answer, which the test compares.
        answers.append("%s: %s" % (type(error).__name__, error))
json.dump(answers, sys.stdout)
