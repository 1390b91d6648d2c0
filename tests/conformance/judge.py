"""Judges what the suite wrote: python3 judge.py DIRECTORY SCENARIOS [--of-product]

Fails for a check that failed or warned, and when fewer than SCENARIOS scenarios ran. The extensions
that the program does not claim are left out. --of-product also leaves out what the suite itself calls
untestable for want of the fixture's tools.
"""

import json
import pathlib
import re
import sys

EXTENSIONS = ("tasks-", "sep-2640-")


def main():
    directory, expected = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    of_product = "--of-product" in sys.argv[3:]
    scenarios, passed, bad, untestable = 0, 0, [], 0
    for path in sorted(directory.glob("server-*/checks.json")):
        scenario = re.sub(r"^server-|-\d{4}-\d\d-\d\dT[\d-]+Z$", "", path.parent.name)
        if scenario.startswith(EXTENSIONS):
            continue
        scenarios += 1
        for check in json.loads(path.read_text()):
            if check["status"] not in ("FAILURE", "WARNING"):
                passed += check["status"] == "SUCCESS"
            elif of_product and (check.get("details") or {}).get("untestable"):
                untestable += 1
            else:
                bad.append(f"{scenario}: {check['id']}: {check.get('errorMessage')}")
    for line in bad:
        print(f"  {line}")
    print(f"  {scenarios} scenarios: {passed} checks passed, {len(bad)} failed or warned, {untestable} untestable")
    if scenarios < expected:
        print(f"  expected at least {expected} scenarios")
    sys.exit(bool(bad) or scenarios < expected)


main()
