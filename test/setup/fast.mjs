/**
 * The test files that need no root, no other program, and no server or database of ours: `npm run test:fast`, a project of
 * vitest.config.ts. Files of a worker share its modules, so a file leaves nothing behind in them, in `process.env`, or in the
 * working directory.
 */
// @ts-check
import { relative } from 'node:path';
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

/** Paths from the root. @returns {string[]} */
export const fastFiles = () =>
  testFiles()
    .filter((file) => needsOf(file).length === 0)
    .map((file) => relative(root, file))
    .filter((path) => !serving.some((pattern) => pattern.test(path)));
