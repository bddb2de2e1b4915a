import { join } from 'node:path';
import { Linter } from 'eslint';
import { expect, test } from 'vitest';

const root = new URL('../../', import.meta.url).pathname;
const { default: config } = (await import(join(root, 'eslint.config.mjs'))) as { readonly default: readonly Linter.Config[] };
const boundaries = config.find(({ plugins }) => plugins?.['steno'] !== undefined)!;
const linter = new Linter({ cwd: root });
const faults = (file: string, code: string): readonly string[] =>
  linter
    .verify(code, [{ files: ['**/*.ts'], plugins: boundaries.plugins!, rules: boundaries.rules! }], { filename: join(root, file) })
    .map(({ message }) => message);

test.each([
  ['gateway/gateway.ts', "import { a } from '#stores/events/contract.js';", 'gateway/ does not import stores/'],
  ['gateway/ssh/server/jump.ts', "export * from '../../../ingest/main.js';", 'gateway/ does not import ingest/'],
  ['viewer/web/parts/api.ts', "import { a } from '../../api/http/guard.js';", 'viewer/web/ does not import viewer/api/'],
  ['schemas/uplink.ts', "const a = await import('#runtime/log.js');", 'schemas/ does not import runtime/'],
  ['recordings/read/block.ts', "export { a } from '#runtime/zstd.js';", null],
  ['cli/main.ts', "import { a } from '../viewer/api/main.js';", null],
  ['gateway/gateway.ts', "import { a } from './spool/spool.js';", null],
  ['gateway/gateway.ts', "import pino from 'pino';", null],
])('%s: %s', (file, code, fault) => {
  expect(faults(file, code)).toEqual(fault === null ? [] : [`${fault}: see its tsconfig.json`]);
});
