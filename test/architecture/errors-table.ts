/** Makes the table of docs/errors.md from the catalogue. `node dist/test/architecture/errors-table.js` writes it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { errorCatalogue } from '#schemas/base/errors.js';
import type { ErrorEntry } from '#schemas/base/errors.js';

const start = '<!-- table: made by npm run docs:errors -->\n';
const end = '<!-- end of table -->\n';

export function errorsTable(): string {
  const rows = Object.entries<ErrorEntry>(errorCatalogue).map(
    ([code, { message, fix, exit, status, retryable }]) =>
      `| \`${code}\` | ${message} | ${fix} | ${exit} | ${status} | ${retryable ? 'yes' : 'no'} |\n`,
  );
  return `${start}| code | what happened | what to do | exit | HTTP | may succeed later |\n|---|---|---|---|---|---|\n${rows.join('')}${end}`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const file = 'docs/errors.md';
  const page = readFileSync(file, 'utf8');
  writeFileSync(file, page.slice(0, page.indexOf(start)) + errorsTable() + page.slice(page.indexOf(end) + end.length));
}
