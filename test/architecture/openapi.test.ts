/** The OpenAPI documents match the declared endpoints; `npm run docs:openapi` writes them. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { authorityEndpoints, authoritySchemas } from '#schemas/api/authority.js';
import { servedByViewers } from '#schemas/api/viewer.js';
import { openApi } from '#schemas/endpoint/openapi.js';

test.each([
  ['openapi.json', () => openApi('Steno authority', authorityEndpoints, authoritySchemas)],
  ['openapi-viewer.json', () => openApi('Steno viewer', servedByViewers, authoritySchemas)],
])('docs/%s matches the declarations of endpoints', (name, document) => {
  const stored: unknown = JSON.parse(readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8'));
  expect(stored).toEqual(JSON.parse(JSON.stringify(document())));
});
