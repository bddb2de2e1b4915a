import { expect, it } from 'vitest';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { kernelKinds } from '#schemas/kernel/kernel.js';
import { exampleKernelEvent } from '#schemas/testing/recordings.js';
import { describe } from './describe.js';

const event = (kind: string, more: Partial<KernelEventInfo> = {}): KernelEventInfo => exampleKernelEvent({ kind, ...more });

it('a file that matters and was read says so; another is an opening like any', () => {
  expect(describe(event('file', { name: 'open', reason: 'read', path: '/etc/shadow', data: { matters: 'credentials' } }))).toBe(
    'read      /etc/shadow  credentials',
  );
  expect(describe(event('file', { name: 'open', reason: 'read,write', path: '/etc/shadow', data: { matters: 'credentials' } }))).toBe(
    'open      /etc/shadow  read,write',
  );
  expect(
    describe(event('file', { name: 'open', reason: 'read', path: '/etc/shadow', outcome: 'EACCES', data: { matters: 'credentials' } })),
  ).toContain('EACCES');
});

it('a gap says how many, why, and from when to when; one without an end says that', () => {
  expect(describe(event('gap', { name: 'ring_full', count: 5, data: { first_ms: 1_000, last_ms: 2_500, signed: true } }))).toBe(
    'gap       5 events missing: came faster than they were read 0:01.000 to 0:02.500  ring_full',
  );
  expect(describe(event('gap', { name: 'the thread ended', data: { first_ms: 1_000, signed: true } }))).toBe(
    'gap       events are missing from here on from 0:01.000  the thread ended',
  );
});

it('is one line that moves no terminal, whatever the texts hold', () => {
  const hostile = 'a\n\u001b[2J\u202e\u0085b';
  for (const kind of [...kernelKinds, 'later']) {
    const line = describe(
      event(kind, {
        path: hostile,
        name: hostile,
        reason: hostile,
        outcome: hostile,
        address: '::1',
        port: 1,
        data: { argv: [hostile], matters: hostile, from: hostile, why: hostile },
      }),
    );
    expect(line, kind).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  }
});
