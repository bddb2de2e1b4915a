/** Writes docs/openapi.json from the declared endpoints: `npm run docs:openapi`. */
import { writeFileSync } from 'node:fs';
import { authorityEndpoints, authoritySchemas } from '#schemas/api/authority.js';
import { openApi } from '#schemas/endpoint/openapi.js';

writeFileSync(
  new URL('../../../docs/openapi.json', import.meta.url),
  `${JSON.stringify(openApi('Steno authority', authorityEndpoints, authoritySchemas), null, 2)}\n`,
);
