/** docs/openapi.json is what the declared endpoints say; `npm run docs:openapi` writes it. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { authorityEndpoints, authoritySchemas } from '#schemas/api/authority.js';
import { openApi } from '#schemas/endpoint/openapi.js';

test('docs/openapi.json is what the declarations of endpoints say', () => {
  const stored: unknown = JSON.parse(readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8'));
  expect(stored).toEqual(JSON.parse(JSON.stringify(openApi('Steno authority', authorityEndpoints, authoritySchemas))));
});
