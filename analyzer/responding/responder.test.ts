import { describe, expect, it } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import type { FindingRow } from '#schemas/events/rows.js';
import { openLog } from '#runtime/log.js';
import type { ResponseRequest } from '#runtime/service/authority-client.js';
import { exampleFindingRow, exampleSessionRow } from '#stores/events/examples.js';
import { Responder } from './responder.js';

const log = openLog('test', 'silent');
const data = JSON.stringify({ title: 't', tier: 'alert', reason: 'ran it' });
const finding = (more: Partial<FindingRow> = {}): FindingRow => exampleFindingRow({ at: Date.now(), data, ...more });
const live = exampleSessionRow({ state: 'live', roles: ['dev'] });

/** An authority that answers as specified, and a promise for the n-th call. */
function authority(answer: (call: number) => Error | null = () => null) {
  const calls: (ResponseRequest & { readonly id: string })[] = [];
  let waiting: (() => void)[] = [];
  return {
    calls,
    called: async (count: number): Promise<void> => {
      while (calls.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
    },
    respond: async (id: string, body: ResponseRequest) => {
      calls.push({ id, ...body });
      for (const wake of waiting.splice(0)) wake();
      waiting = [];
      const error = answer(calls.length);
      if (error !== null) throw error;
      return { kind: 'taken', action: 'freeze', lock: 'l', expires_at: 1 } as const;
    },
  };
}

describe('findings on their way to the authority', () => {
  it('are told with what decides', async () => {
    const told = authority();
    const responder = new Responder({ authority: told, log, clock: Date.now });
    responder.tell(finding({ id: 'f1', rule: 'r1' }), live);
    await told.called(1);
    expect(told.calls[0]).toMatchObject({
      id: 'f1',
      rule: 'r1',
      title: 't',
      tier: 'alert',
      reason: 'ran it',
      roles: ['dev'],
      session: live.session,
    });
    responder.close();
  });

  it('are told again until there is an answer', async () => {
    const told = authority((call) => (call < 3 ? new StenoError('NOT_RUNNING') : null));
    const responder = new Responder({ authority: told, log, clock: Date.now });
    responder.tell(finding(), live);
    await told.called(3);
    responder.close();
    expect(told.calls).toHaveLength(3);
  });

  it('of sessions that are over, of no session, and of long ago are not told', async () => {
    const told = authority();
    const responder = new Responder({ authority: told, log, clock: Date.now });
    responder.tell(finding(), { ...live, state: 'ended' });
    responder.tell(finding(), null);
    responder.tell(finding({ at: Date.now() - 700_000 }), live);
    responder.tell(finding({ id: 'last' }), live);
    await told.called(1);
    expect(told.calls.map(({ id }) => id)).toEqual(['last']);
    responder.close();
  });

  it('that are refused for good are not told again', async () => {
    const told = authority((call) => (call === 1 ? new StenoError('BAD_REQUEST') : null));
    const responder = new Responder({ authority: told, log, clock: Date.now });
    responder.tell(finding({ id: 'bad' }), live);
    await told.called(1);
    responder.tell(finding({ id: 'good' }), live);
    await told.called(2);
    expect(told.calls.map(({ id }) => id)).toEqual(['bad', 'good']);
    responder.close();
  });
});
