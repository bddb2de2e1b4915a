/** docs/versions.md states the versions that the code has. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { RECORDING_FORMAT } from '#schemas/recording/line.js';
import { MANIFEST_VERSION } from '#schemas/recording/layout.js';
import { OFFLINE_FORMAT } from '#schemas/offline/page.js';
import { TUNNEL_VERSION } from '#schemas/tunnel.js';
import { UPLINK_VERSIONS } from '#schemas/uplink.js';
import { migrations as eventSteps } from '#stores/events/migrations/migrate.js';
import { migrations as stateSteps } from '#stores/state/migrate.js';

const root = new URL('../../', import.meta.url).pathname;
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

it('docs/versions.md states the version of every format and protocol', () => {
  const stated = Object.fromEntries(
    [...read('docs/versions.md').matchAll(/^\| ([^|]+?) \| (\d+) \|/gm)].map(([, what, version]) => [
      what!.replace(/ \(.*/, ''),
      Number(version),
    ]),
  );
  const { info } = JSON.parse(read('docs/openapi.json')) as { info: { version: string } };
  expect(stated).toEqual({
    'recording format': RECORDING_FORMAT,
    'manifest of a sealed recording': MANIFEST_VERSION,
    'self-verifying HTML page': OFFLINE_FORMAT,
    uplink: Math.max(...UPLINK_VERSIONS),
    tunnel: TUNNEL_VERSION,
    'HTTP API': Number(info.version),
    'schema of the state store': Math.max(...Object.keys(stateSteps).map((name) => Number(name.slice(0, 4)))),
    'schema of the event store': eventSteps.length,
  });
});

it('the changelog has the version of the package first', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  expect(/^## (\S+?),? /m.exec(read('CHANGELOG.md'))?.[1]).toBe(version);
});
