import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { exampleRow } from '../cases/example-row.js';
import { RuleMatcher } from '../matching/matcher.js';
import { always } from '../predicate/predicate.js';
import { sourceOf, sources } from './log-source.js';

const page = readFileSync(new URL('../../docs/rules.md', import.meta.url), 'utf8');
const table = (mark: string): readonly (readonly string[])[] =>
  page
    .slice(page.indexOf(`<!-- ${mark} -->`))
    .split('\n\n')[0]!
    .split('\n')
    .slice(3)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
const words = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word!);

const row = (facts: Partial<EventRow>): EventRow => ({
  session: '', source: 'kernel', emitter: 'agent/a', block: 0, index: 0, at: 0, offset_ms: 0, kind: 'exec', user: '', node: '', login: '', ...noFacts, outcome: 'success', ...facts,
}); // prettier-ignore

describe('log sources', () => {
  it('are those of docs/rules.md, of the same kinds', () => {
    expect(table('sources').map(([name, kinds]) => [words(name!)[0], words(kinds!)])).toEqual(
      sources.map(({ name, kinds }) => [name, kinds]),
    );
  });

  it('have the fields of docs/rules.md', () => {
    for (const { name, fields } of sources) {
      const documented = table('fields').flatMap(([where = '', field = '']) => {
        const here =
          where === 'all but `auditd`'
            ? name !== 'auditd'
            : words(where).some((of) => of === name || (of === 'file_*' && name.startsWith('file_')));
        const [first = '', last] = words(field);
        const range = /^a(\d+)$/.exec(last ?? '');
        return !here ? [] : range === null ? [first] : Array.from({ length: Number(range[1]) + 1 }, (_, i) => `a${i}`);
      });
      expect(documented.sort(), name).toEqual(Object.keys(fields).sort());
    }
  });

  it.each<[string, Partial<EventRow>, string[]]>([
    ['a program', { kind: 'exec', path: '/bin/sh' }, ['process_creation', 'auditd']],
    ['a command that the gateway recorded', { kind: 'exec', source: 'recording' }, []],
    ['an execution that failed', { kind: 'file', name: 'execute', outcome: 'ENOENT' }, []],
    ['a new file', { kind: 'file', name: 'create', reason: 'write,create' }, ['file_event', 'file_access', 'auditd']],
    ['a file that is read', { kind: 'file', name: 'open', reason: 'read' }, ['file_access', 'auditd']],
    [
      'a file that is written anew',
      { kind: 'file', name: 'open', reason: 'write,create,truncate' },
      ['file_event', 'file_access', 'auditd'],
    ],
    ['a file that could not be opened', { kind: 'file', name: 'open', reason: 'read', outcome: 'EACCES' }, ['auditd']],
    ['a rename', { kind: 'file', name: 'rename' }, ['file_event', 'file_rename', 'auditd']],
    ['a removal', { kind: 'file', name: 'unlink' }, ['file_delete', 'auditd']],
    ['a mode', { kind: 'file', name: 'chmod' }, ['file_change', 'auditd']],
    ['a connection', { kind: 'connect', name: 'tcp', outcome: 'in_progress' }, ['network_connection']],
    ['a socket on this machine', { kind: 'connect', name: 'unix' }, []],
    ['a name', { kind: 'dns', name: 'example.org' }, ['dns_query']],
  ])('take %s as they should', (_, facts, names) => {
    const matcher = new RuleMatcher(sources.map((scope) => ({ scope, predicate: always })));
    const matched = matcher.match(row(facts)).map((i) => sources[i]!.name);
    expect([...matched].sort()).toEqual([...names].sort());
  });

  it('a rule without a product is about Linux as well, and one of another product is not', () => {
    expect(sourceOf({ product: undefined, category: 'process_creation', service: undefined })).toBe(sources[0]);
    expect(sourceOf({ product: 'linux', category: undefined, service: 'auditd' })).toBe(sources.at(-1));
    expect(sourceOf({ product: 'windows', category: 'process_creation', service: undefined })).toHaveProperty('missing');
    expect(sourceOf({ product: 'linux', category: 'process_creation', service: 'auditd' })).toHaveProperty('missing');
  });

  it('root is who has the effective user id 0, whatever the real one', () => {
    const processes = sources[0]!;
    const user = processes.fields['User']!;
    if (user.kind !== 'cases') throw new TypeError('User is a field of cases');
    const matcher = new RuleMatcher([{ scope: processes, predicate: user.of[0]!.when }]);
    const isRoot = (data: unknown): boolean => matcher.match(row({ data: JSON.stringify(data) })).length > 0;
    expect([{ uid: 0 }, { uid: 1000 }, { uid: 1000, euid: 0 }, { uid: 0, euid: 1000 }, {}].map(isRoot)).toEqual([
      true,
      false,
      true,
      false,
      false,
    ]);
    expect(isRoot(JSON.parse(exampleRow(processes, { User: 'root' }).data))).toBe(true);
  });
});
