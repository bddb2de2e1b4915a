import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { roleSchema } from '#schemas/policy/role.js';
import { resourceKinds, resourceVerbs, sessionActions } from '#schemas/policy/role.js';
import { parseResources } from '#runtime/resources/document.js';
import { knownFields } from '#runtime/resources/known-fields.js';

const page = readFileSync(join(new URL('../../', import.meta.url).pathname, 'docs/roles.md'), 'utf8');
const examples = [...page.matchAll(/```yaml\n([^]*?)```/g)].map(([, text]) => text!);

describe('docs/roles.md', () => {
  it.each(examples.map((text) => [/name: (\S+)/.exec(text)![1]!, text]))('the example %s is a role', (name, text) => {
    expect(parseResources(text, name).length).toBeGreaterThan(0);
  });

  it('shows every field', () => {
    const paths = [
      [],
      ['allow'],
      ['deny'],
      ['recording'],
      ['recording', 'enhanced'],
      ['moderation'],
      ['port_forwarding'],
      ['deny', 'port_forwarding'],
      ...['sessions', 'kubernetes', 'request', 'approve', 'rules'].map((part) => ['allow', part, 0]),
    ];
    const fields = paths.flatMap((path) => knownFields(roleSchema, path));
    expect(fields.length).toBeGreaterThan(40);
    const shown = `${examples.join('\n')}\n${page}`;
    expect([...new Set(fields)].filter((field) => !new RegExp(`(^|[\\s{\`-])${field}:|\`${field}\``, 'm').test(shown))).toEqual([]);
  });

  it('names every action, kind and verb', () => {
    for (const word of [...sessionActions, ...resourceKinds, ...resourceVerbs]) expect(page).toContain(`\`${word}\``);
  });
});
