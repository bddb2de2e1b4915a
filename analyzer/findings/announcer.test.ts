import fc from 'fast-check';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { announcedFinding } from '#schemas/api/detection/suppressions.js';
import type { AnnouncedFinding } from '#schemas/api/detection/suppressions.js';
import { StenoError } from '#schemas/base/errors.js';
import { exampleFindingRow } from '#stores/events/examples.js';
import { Announcer, announcedOf } from './announcer.js';

const log = pino({ level: 'silent' });
const row = (id: string) => exampleFindingRow({ id, data: JSON.stringify({ title: 't', reason: 'r'.repeat(900), tier: 7 }) });

test('whatever fails and however often, each finding is noted at least once before its session may be marked, and none is noted that was not told', async () => {
  const failure = fc.constantFrom('ok', 'away', 'lost answer', 'refused');
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 90 }), fc.array(failure, { maxLength: 12 }), async (count, failures) => {
      const noted = new Set<string>();
      const left = [...failures];
      const send = async (findings: readonly AnnouncedFinding[]): Promise<void> => {
        await new Promise((resolve) => setImmediate(resolve));
        expect(findings.length).toBeLessThanOrEqual(30);
        expect(JSON.stringify(findings).length).toBeLessThan(70_000);
        const how = left.shift() ?? 'ok';
        // The authority always refuses batches that contain this finding.
        if (findings.some(({ id }) => id === 'f3') && failures.includes('refused')) throw new StenoError('BAD_REQUEST', 'f3');
        if (how === 'away') throw new StenoError('NOT_RUNNING');
        for (const { id } of findings) noted.add(id);
        if (how === 'lost answer') throw new StenoError('NOT_RUNNING');
      };
      const announcer = new Announcer({ send, log, firstRetryMs: 1 });
      const ids = Array.from({ length: count }, (_, i) => `f${i}`);
      const outcomes = await Promise.allSettled(ids.map((id) => announcer.tell(row(id)).then(() => expect(noted.has(id)).toBe(true))));
      const lost = ids.filter((_, i) => outcomes[i]!.status === 'rejected');
      expect(lost).toEqual(failures.includes('refused') && count > 3 ? ['f3'] : []);
      expect(announcer.counts).toMatchObject({ waiting: 0, dropped: 0, told: count - lost.length });
      await announcer.close();
    }),
    { numRuns: 60 },
  );
}, 60_000);

test('a close lets go of what waits, and resolves nothing that was not noted', async () => {
  let tried = (): void => undefined;
  const once = new Promise<void>((resolve) => (tried = resolve));
  const send = (): Promise<never> => {
    tried();
    return Promise.reject(new StenoError('NOT_RUNNING'));
  };
  const announcer = new Announcer({ send, log, firstRetryMs: 1 });
  const told = Promise.allSettled([announcer.tell(row('a')), announcer.tell(row('b'))]);
  await once;
  await announcer.close();
  expect((await told).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await expect(announcer.tell(row('c'))).rejects.toMatchObject({ code: 'DRAINING' });
});

test('what is told of any row is what the authority takes', () => {
  const wild = fc.record({ title: fc.anything(), reason: fc.string({ maxLength: 5_000 }), advice: fc.string(), tier: fc.anything() });
  fc.assert(
    fc.property(wild, (data) => {
      expect(announcedFinding.safeParse(announcedOf(exampleFindingRow({ data: JSON.stringify(data) }))).success).toBe(true);
    }),
  );
});
