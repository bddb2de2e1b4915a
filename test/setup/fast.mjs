/**
 * `npm run test:fast`: the tests that need neither root, nor another program, nor a server or database of ours, from the
 * sources. A minute on two cores; what to run after every change, and on every version of Node.js.
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
  /^recordings\/render\/picture-png/,
  /^analyzer\/(clickhouse\/|lineage\/|sigma\/corpus)/,
  /^authority\/[^/]+$/,
  /^gateway\/(spool|tunnel)\//,
  /^runtime\/(uplink|tunnel)\//,
  /^authority\/(access|audit|certificates|directory|http|inventory|people\/(bots|login|users)|webhooks)\//,
  /^authority\/power\/viewer-power/,
  /^authority\/ca\/(rotations|seal-store)\./,
  /^authority\/people\/sso\/(connectors|oidc)/,
];

const files = testFiles()
  .filter((file) => needsOf(file).length === 0)
  .filter((file) => !serving.some((pattern) => pattern.test(relative(root, file))));
// Whole paths: vitest takes each name for a part of a path, and `agent/x.test.ts` would bring `test/agent/x.test.ts` along.
const { status } = spawnSync(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...files, ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(status ?? 1);
