import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Snapshot } from './snapshot.js';
import { WatchReader, applyDelta, diffSnapshots, formatWatch, nodeIn, ordered, parseWatch } from './watch.js';
import { anySnapshot, emptySnapshot } from './testing/snapshots.js';

const versioned = (snapshot: Snapshot, version: number): Snapshot => ordered({ ...snapshot, version });

describe('a delta', () => {
  test('turns any snapshot into any other, through JSON', () => {
    fc.assert(
      fc.property(anySnapshot, anySnapshot, (one, other) => {
        const [before, after] = [versioned(one, 1), versioned(other, 2)];
        const delta = diffSnapshots(before, after);
        if (delta === null) return expect({ ...before, version: 2 }).toEqual(after);
        expect(applyDelta(before, JSON.parse(JSON.stringify(delta)) as typeof delta)).toEqual(after);
      }),
    );
  });

  test('does not exist between snapshots that differ only in their version', () => {
    fc.assert(
      fc.property(anySnapshot, (any) => {
        expect(diffSnapshots(versioned(any, 1), versioned(JSON.parse(JSON.stringify(any)) as Snapshot, 2))).toBeNull();
      }),
    );
  });

  test('leaves unchanged lists alone', () => {
    const before = versioned(emptySnapshot, 1);
    const after = applyDelta(before, { kind: 'delta', from: 1, version: 2, put: {}, set: {}, gone: {}, values: { cluster: 'east' } });
    expect(after.nodes).toBe(before.nodes);
    expect(after.roles).toBe(before.roles);
    expect(after.cluster).toBe('east');
  });

  test('for another version is refused', () => {
    expect(() =>
      applyDelta(versioned(emptySnapshot, 3), { kind: 'delta', from: 2, version: 4, put: {}, set: {}, gone: {}, values: {} }),
    ).toThrow();
  });

  test('carries unknown fields whole, and ignores unknown lists', () => {
    const before = versioned(emptySnapshot, 1);
    const after = { ...versioned(emptySnapshot, 2), pods: [{ name: 'a' }] } as Snapshot;
    const delta = diffSnapshots(before, after)!;
    expect(applyDelta(before, delta)).toEqual(after);
    expect(applyDelta(before, { ...delta, values: {}, put: { pods: [{ name: 'a' }] } as never })).toEqual({ ...before, version: 2 });
  });
});

describe('a reader', () => {
  const stream = '0123456789abcdef';
  const role = { kind: 'role', name: 'a' };
  const snapshot = versioned({ ...emptySnapshot, roles: [role] as never }, 5);

  test('continues from its position, and requests everything after a message that does not follow', () => {
    const reader = new WatchReader();
    expect(parseWatch(formatWatch(reader.position))).toEqual({ kind: 'deltas', from: null });
    reader.take({ kind: 'snapshot', stream, snapshot });
    expect(parseWatch(formatWatch(reader.position))).toEqual({ kind: 'deltas', from: { stream, version: 5 } });
    expect(reader.take({ kind: 'resumed', stream, version: 5 })).toBeNull();
    expect(() => reader.take({ kind: 'delta', from: 6, version: 7, put: {}, set: {}, gone: {}, values: {} })).toThrow();
    expect(reader.position).toBeNull();
    // The previous snapshot remains valid.
    expect(reader.snapshot).toEqual(snapshot);
    expect(() => reader.take({ kind: 'delta', from: 5, version: 7, put: {}, set: {}, gone: {}, values: {} })).toThrow();
  });

  test('accepts plain snapshots of an older authority, and never offers to continue from one', () => {
    const reader = new WatchReader();
    reader.take({ kind: 'snapshot', stream, snapshot });
    expect(reader.take({ ...snapshot, version: 9 })?.version).toBe(9);
    expect(reader.position).toBeNull();
  });

  test('keeps equal lists as the same objects, so that data cached for them stays valid', () => {
    const reader = new WatchReader();
    const first = reader.take({ kind: 'snapshot', stream, snapshot })!;
    const again = JSON.parse(JSON.stringify(snapshot)) as Snapshot;
    expect(reader.take({ kind: 'snapshot', stream: 'fedcba9876543210', snapshot: again })!.roles).toBe(first.roles);
    expect(reader.take({ kind: 'snapshot', stream, snapshot: { ...again, roles: [] } })!.roles).toEqual([]);
  });
});

test.each([undefined, '', '1', '3', '20', 'x'])('the header %j requests plain snapshots', (header) => {
  expect(parseWatch(header)).toEqual({ kind: 'plain' });
});

test.each(['2', '2 ', '2 x 1', '2 0123456789abcdef', '2 0123456789abcdef -1', '2 0123456789abcdef 1 1'])(
  'the header %j requests deltas from the beginning',
  (header) => expect(parseWatch(header)).toEqual({ kind: 'deltas', from: null }),
);

test('a node is found by name, in any order of nodes', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.constantFrom('a', 'b', 'B', 'é', 'node-10', 'node-9')), fc.boolean(), (names, inOrder) => {
      const nodes = names.map((name) => ({ name })) as unknown as Snapshot['nodes'];
      const list = inOrder ? ordered({ ...emptySnapshot, nodes }).nodes : nodes;
      for (const name of names) expect(nodeIn(list, name)?.name).toBe(name);
      expect(nodeIn(list, 'none')).toBeUndefined();
    }),
  );
});
