import { expect, test } from 'vitest';
import { eventKinds, eventSources, kindPattern, kinds, kindsOf, storedKind } from './kinds.js';

test('every kind has a source, and a name of the general form', () => {
  for (const kind of eventKinds) {
    expect(kind).toMatch(kindPattern);
    expect(kinds[kind].sources.length).toBeGreaterThan(0);
  }
});

test.each(eventSources)('%s: its kinds are stored under their names, all others as unknown with the name', (source) => {
  const own = kindsOf(source);
  for (const name of [...eventKinds, 'later', 'constructor', 'to_string'])
    expect(storedKind(source, name)).toEqual(
      (own as readonly string[]).includes(name) ? { kind: name, raw_kind: '' } : { kind: 'unknown', raw_kind: name },
    );
});
