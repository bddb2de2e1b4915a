/** Writes docs/openapi.json from the declared endpoints: `npm run docs:openapi`. */
import { writeFileSync } from 'node:fs';
import { openApi } from '#schemas/api/openapi.js';

writeFileSync(new URL('../../../docs/openapi.json', import.meta.url), `${JSON.stringify(openApi(), null, 2)}\n`);
