import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { eventKinds, eventSources, kinds } from '#schemas/events/kinds.js';

const page = readFileSync(new URL('../../docs/events.md', import.meta.url), 'utf8');
const rows = [...page.matchAll(/^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$/gm)].map(([, name, second, third]) => [name, second, third]);

it('docs/events.md lists the existing kinds with their sources and meanings', () => {
  const listed = rows.slice(eventSources.length);
  expect(listed).toEqual(eventKinds.map((kind) => [kind, kinds[kind].sources.join(', '), kinds[kind].text]));
});

it('docs/events.md lists the existing sources', () => {
  const first = rows.slice(0, eventSources.length).map(([name]) => name);
  expect(first).toEqual([...eventSources]);
});
