/**
 * `npm run test:fast`: the tests that need no root, no other program, and no server or database of ours, run from the
 * sources. They take a minute on two cores; run them after every change and on every version of Node.js.
 */
// @ts-check
import { spawnSync } from 'node:child_process';
import { join, relative } from 'node:path';
import { needsOf, root, testFiles } from './needs.mjs';

/** Folders and files whose tests start a server, an event store, or processes or threads of their own. */
const serving = [
  /^test\//,
  /^ingest\//,
  /^viewer\/api\//,
  /^stores\/(objects|events)\//,
  /^recordings\/render\/(animation|picture-png)\./,
  /^analyzer\/(clickhouse\/|lineage\/|sigma\/corpus)/,
  /^authority\/[^/]+$/,
  /^gateway\/(spool|tunnel)\//,
  /^runtime\/(uplink|tunnel)\//,
  /^runtime\/job-thread\./,
  /^authority\/(access|audit|certificates|directory|http|inventory|people\/(bots|login|users)|webhooks)\//,
  /^authority\/power\/viewer-power/,
  /^authority\/ca\/(rotations|seal-store)\./,
  /^authority\/people\/sso\/(connectors|oidc)/,
];

const files = testFiles()
  .filter((file) => needsOf(file).length === 0)
  .filter((file) => !serving.some((pattern) => pattern.test(relative(root, file))));
// Absolute paths: vitest matches any part of a path, so `agent/x.test.ts` would also select `test/agent/x.test.ts`.
const { status } = spawnSync(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...files, ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(status ?? 1);
