/** Writes docs/openapi.json and docs/openapi-viewer.json from the declared endpoints: `npm run docs:openapi`. */
import { writeFileSync } from 'node:fs';
import { authorityEndpoints, authoritySchemas } from '#schemas/api/authority.js';
import { servedByViewers } from '#schemas/api/viewer.js';
import { openApi } from '#schemas/endpoint/openapi.js';

const write = (name: string, document: object): void =>
  writeFileSync(new URL(`../../../docs/${name}`, import.meta.url), `${JSON.stringify(document, null, 2)}\n`);
write('openapi.json', openApi('Steno authority', authorityEndpoints, authoritySchemas));
write('openapi-viewer.json', openApi('Steno viewer', servedByViewers, authoritySchemas));
