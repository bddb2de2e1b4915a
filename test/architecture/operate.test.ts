import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { memberFields, serviceFields } from '#runtime/service/config.js';
import { analyzerConfig } from '../../analyzer/config.js';
import { authorityConfig } from '../../authority/config.js';
import { gatewayConfig } from '../../gateway/config.js';
import { ingestConfig } from '../../ingest/config.js';
import { viewerConfig } from '../../viewer/api/config.js';

const page = readFileSync(new URL('../../docs/operate.md', import.meta.url), 'utf8');

/** Fields of the table under a heading, in its order. */
function documented(heading: string): readonly string[] {
  const section = page.split(`\n### ${heading}\n`)[1]?.split('\n##')[0] ?? '';
  return [...section.matchAll(/^\| `([a-z_.]+)` \|/gm)].map(([, field]) => field!);
}

function fields(schema: z.ZodObject, at = ''): readonly string[] {
  return Object.entries(schema.shape).flatMap(([field, inner]) => {
    let bare = inner as z.ZodType;
    while (bare instanceof z.ZodOptional || bare instanceof z.ZodDefault || bare instanceof z.ZodPrefault)
      bare = bare.unwrap() as z.ZodType;
    return bare instanceof z.ZodObject ? fields(bare, `${at}${field}.`) : [`${at}${field}`];
  });
}

const service = fields(z.strictObject(serviceFields));
const member = fields(z.strictObject(memberFields));
const own = (schema: z.ZodObject, without: readonly string[]): readonly string[] =>
  fields(schema).filter((field) => !without.includes(field));

describe('docs/operate.md', () => {
  it.each([
    ['Every service', service],
    ['gateway, ingest, viewer, analyzer', member.filter((field) => !service.includes(field))],
    ['gateway', own(gatewayConfig, member)],
    ['ingest', own(ingestConfig, member)],
    ['viewer', own(viewerConfig, member)],
    ['analyzer', own(analyzerConfig, member)],
    ['authority', own(authorityConfig, service)],
  ])('explains every field of: %s', (heading, expected) => {
    expect(documented(heading)).toEqual(expected);
  });
});
