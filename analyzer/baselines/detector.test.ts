import { describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow, SessionRow } from '#schemas/events/rows.js';
import { exampleSessionRow } from '#stores/events/examples.js';
import type { Detection, Observation } from '../detection/detector.js';
import { BaselineDetector } from './detector.js';
import type { Past } from './profile.js';

const DAY = 86_400_000;
const UNTIL = 20_800 * DAY;
const START = UNTIL + 9 * 3_600_000;

function pastOf(sessions: number, change: Partial<Past['user']> = {}): Past {
  const acts = new Map([
    ['program', new Map([['ls', sessions], ['cat', sessions], ['systemctl', sessions - 2]])],
    ['command', new Map([['systemctl restart', sessions]])],
  ] as const);
  return {
    until: UNTIL,
    days: 90,
    user: {
      acts,
      truncated: new Set(),
      sessions: Array.from({ length: sessions }, (_, i) => ({
        started_at: UNTIL - (i + 1) * DAY + 9 * 3_600_000, node: `web-${i % 2}`, login: 'deploy', measured: { bytes_in: 2_000 + i, bytes_out: 50_000, duration: 600_000, files: 10 },
      })),
      ...change,
    },
    roles: [],
    peers: { where: 'nodes with env=prod', people: 14, truncated: new Set(), acts: new Map([['program', new Map([['vim', 9], ['tcpdump', 2]])]]) },
  };
} // prettier-ignore

const session = exampleSessionRow({ user: 'ann', node: 'web-1', login: 'deploy', started_at: START, labels: { env: 'prod' } });
let index = 0;
const exec = (path: string, name = path): EventRow => ({
  session: session.session, source: 'kernel', emitter: 'agent/a', block: 1, index: index++, at: START + index, offset_ms: index, kind: 'exec', user: 'ann', node: 'web-1', login: 'deploy', ...noFacts, path, name,
}); // prettier-ignore

async function found(past: Past, rows: readonly EventRow[], change: Partial<SessionRow> = {}): Promise<readonly Detection[]> {
  const opened = await new BaselineDetector({ before: async () => past }).open(session);
  const of = { ...session, ...change };
  const observations: readonly Observation[] = [
    { kind: 'start', session: of },
    ...rows.map((row): Observation => ({ kind: 'event', row })),
    { kind: 'end', session: { ...of, ended_at: of.started_at + 600_000, state: 'ended' } },
  ];
  return observations.flatMap((one) => opened.take(one));
}
const said = (all: readonly Detection[]): readonly string[] => all.map(({ rule, reason }) => `${rule.id}: ${reason}`);

describe('baselines', () => {
  it('tell with the numbers what hardly anybody does, and what only this user never did', async () => {
    const rows = [exec('/usr/bin/tcpdump'), exec('/usr/bin/vim'), exec('/bin/ls'), exec('/usr/bin/tcpdump'), exec('/opt/nmap')];
    expect(said(await found(pastOf(60), rows))).toEqual([
      'steno/rare-program: third person of 14 to run tcpdump on nodes with env=prod; ann never did in 60 sessions of 90 days',
      'steno/first-program: ann never ran vim in 60 sessions of 90 days; about 0.6 % of what this user does is new',
      'steno/rare-program: first person of 14 to run nmap on nodes with env=prod; ann never did in 60 sessions of 90 days',
    ]);
  });

  it('say nothing of a user with little history, or who does new things all the time', async () => {
    expect(await found(pastOf(9), [exec('/opt/nmap')])).toEqual([]);
    const tried = new Map([['program', new Map(Array.from({ length: 50 }, (_, i) => [`p${i}`, 1] as const))]] as const);
    expect(said(await found(pastOf(60, { acts: tried }), [exec('/usr/bin/vim')]))).toEqual([]);
    expect(await found(pastOf(60, { truncated: new Set(['program']) }), [exec('/opt/nmap')])).toEqual([]);
  });

  describe('of people with the same roles', () => {
    const role = (where: string, people: number, programs: Readonly<Record<string, number>>, truncated = false): Past['roles'][number] => ({
      where,
      people,
      acts: new Map([['program', new Map(Object.entries(programs))]]),
      truncated: new Set(truncated ? ['program' as const] : []),
      sessions: [],
    });
    const during = 'ann never did in 60 sessions of 90 days';

    it.each<[string, Past['roles'], readonly string[]]>([
      ['a program that a role hardly uses', [role('dba', 12, { psql: 12, vim: 1 })], [`steno/rare-for-role-program: second person of 12 with the role dba to run vim, though 9 of 14 on nodes with env=prod did; ${during}`]],
      ['one that is usual for another role', [role('dba', 12, { vim: 1 }), role('dev', 20, { vim: 15 })], ['steno/first-program']],
      ['one that is usual for none', [role('dba', 12, {}), role('dev', 20, { vim: 2 })], [`steno/rare-for-role-program: third person of 20 with the role dev to run vim, though 9 of 14 on nodes with env=prod did, nor is it usual for their other roles; ${during}`]],
      ['one that anybody of a small role used', [role('dba', 12, {}), role('oncall', 2, { vim: 1 })], ['steno/first-program']],
      ['one that nobody of a small role used', [role('dba', 12, {}), role('oncall', 2, {})], ['steno/rare-for-role-program: first person of 12 with the role dba']],
      ['a role with few people alone', [role('oncall', 4, {})], ['steno/first-program']],
      ['a role of which not everything is known', [role('dba', 12, {}, true)], ['steno/first-program']],
      ['what of such a role is known', [role('dba', 12, { vim: 1 }, true)], ['steno/rare-for-role-program']],
    ])('%s', async (_, roles, expected) => {
      const all = said(await found({ ...pastOf(60), roles }, [exec('/usr/bin/vim'), exec('/bin/ls')]));
      expect(all).toHaveLength(expected.length);
      for (const [i, text] of expected.entries()) expect(all[i]).toContain(text);
    }); // prettier-ignore

    it('what is rare on such nodes stays one finding', async () => {
      const past = { ...pastOf(60), roles: [role('dba', 12, {})] };
      expect((await found(past, [exec('/opt/nmap')])).map(({ rule }) => rule.id)).toEqual(['steno/rare-program']);
    });

    it('a user who is new is compared with them, and with nobody else', async () => {
      const past = { ...pastOf(3), roles: [role('dba', 12, { psql: 12, vim: 8 })] };
      const rows = [exec('/opt/nmap'), exec('/usr/bin/vim'), exec('/bin/ls'), exec('/usr/bin/psql')];
      expect(said(await found(past, rows, { node: 'db-9', login: 'root', bytes_in: 900 << 20 }))).toEqual([
        'steno/rare-for-role-program: first person of 12 with the role dba to run nmap; ann never did in 3 sessions of 90 days',
      ]);
      const nobody = { ...past, user: { sessions: [], acts: new Map(), truncated: new Set<never>() } };
      expect(said(await found(nobody, [exec('/opt/nmap'), exec('/usr/bin/psql')]))).toEqual([
        'steno/rare-for-role-program: first person of 12 with the role dba to run nmap; ann never did in 0 sessions of 90 days',
      ]);
    });
  });

  describe('of hours and amounts of people with the same roles', () => {
    const role = (where: string, people: number, sessions: number, hour: number, bytes = 2_000): Past['roles'][number] => ({
      ...{ where, people, acts: new Map(), truncated: new Set<never>() },
      sessions: Array.from({ length: sessions }, (_, i) => ({
        started_at: UNTIL - (i + 1) * DAY + hour * 3_600_000,
        measured: { bytes_in: bytes + i, bytes_out: 50_000, duration: 600_000 },
      })),
    });
    const at = (hour: number): Partial<SessionRow> => ({ started_at: UNTIL + hour * 3_600_000, bytes_in: 0 });
    const large: Partial<SessionRow> = { ...at(9), bytes_in: 40 << 20 };
    const hourIs =
      'steno/unusual-for-role-hour: none of 40 sessions of 12 people with the role dba in 90 days began within an hour of 03:00 UTC (3.6 % if all hours were alike)';
    const amountIs =
      'steno/unusual-for-role-bytes_in: 40 MiB sent to the node; half of 40 sessions of 12 people with the role dba come to 2 KiB or less, and the largest to 2 KiB';
    it.each<[string, Past['roles'], Partial<SessionRow>, readonly string[]]>([
      ['an hour at which nobody of a role began', [role('dba', 12, 40, 9)], at(3), [hourIs]],
      ['one at which somebody of another role did', [role('dba', 12, 40, 9), role('oncall', 2, 1, 3)], at(3), []],
      ['one at which nobody of a small role did', [role('dba', 12, 40, 9), role('oncall', 2, 1, 9)], at(3), [hourIs]],
      ['a role with few people, or few sessions, alone', [role('oncall', 4, 40, 9), role('dba', 12, 10, 9)], at(3), []],
      ['the usual hour', [role('dba', 12, 40, 9)], at(9), []],
      ['an amount far from that of a role', [role('dba', 12, 40, 9)], large, [amountIs]],
      ['one that is usual for another role', [role('dba', 12, 40, 9), role('backup', 9, 40, 9, 30 << 20)], large, []],
      ['one that a small role had before', [role('dba', 12, 40, 9), role('backup', 1, 1, 9, 50 << 20)], large, []],
      ['one of which too little is known', [role('dba', 12, 19, 9)], large, []],
    ])('%s', async (_, roles, change, expected) => {
      expect(said(await found({ ...pastOf(3), roles }, [], change))).toEqual(expected);
      // A user with enough history is compared with that history.
      expect(said(await found({ ...pastOf(60), roles }, [], change)).filter((text) => text.includes('for-role'))).toEqual([]);
    }); // prettier-ignore
  });

  it('tell of a node, a login and an hour that are new', async () => {
    expect(said(await found(pastOf(60), [], { node: 'db-1', login: 'root', started_at: START - 6 * 3_600_000 }))).toEqual([
      'steno/first-node: ann never used db-1 in 60 sessions of 90 days, but 2 other nodes',
      'steno/first-login: ann never used the login root in 60 sessions of 90 days, but deploy',
      "steno/unusual-hour: none of ann's 60 sessions of 90 days began within an hour of 03:00 UTC (0.7 % if all hours were alike)",
    ]);
  });

  it('tell of amounts far from the median', async () => {
    expect(said(await found(pastOf(60), [], { bytes_in: 40 << 20, bytes_out: 60_000 }))).toEqual([
      "steno/unusual-bytes_in: 40 MiB sent to the node; half of ann's 60 sessions come to 2 KiB or less, and the largest to 2 KiB",
    ]);
  });

  it('are bounded and counted', async () => {
    const detector = new BaselineDetector({ before: async () => pastOf(60) });
    const opened = await detector.open(session);
    const all = Array.from({ length: 30 }, (_, i) => opened.take({ kind: 'event', row: exec(`/opt/n${i}`) })).flat();
    expect([all.length, detector.beyond]).toEqual([20, 10]);
  });
});
