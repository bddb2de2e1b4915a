/** Conformance of event stores for patterns over sessions, compared with plain TypeScript: part of `conformance.ts`. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { commandShape, liftOf } from '#schemas/events/patterns.js';
import type { AlikeSession, Patterns } from '#schemas/events/patterns.js';
import type { AuditRow, EventRow, FindingRow, SessionRow } from '#schemas/events/rows.js';
import { TRIAGE_EVENT } from '#schemas/events/triage.js';
import type { EventStore } from './contract.js';
import { exampleAuditRow, exampleEventRow, exampleFindingRow, exampleSession, exampleSessionRow } from './examples.js';

const HOUR = 3_600_000;
/** No other test of the suite has sessions at that time. */
const start = Date.UTC(2032, 5, 7);
const pick = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const texts = pick(
  ...[
    'ls -la',
    '/usr/bin/curl -s http://203.0.113.9',
    'curl http://198.51.100.1',
    'sudo systemctl restart app',
    'systemctl restart db',
    'cat /etc/shadow',
  ],
  ...[
    '-bash',
    '',
    'git pull',
    'git push origin',
    'sudo -u root id',
    '\tvi  x',
    'é',
    './a.sh run',
    'x'.repeat(200),
    "o'brien 'x'",
    'tar xz\\t',
  ],
);

interface World {
  readonly sessions: readonly SessionRow[];
  readonly events: readonly EventRow[];
  readonly findings: readonly FindingRow[];
  readonly audit: readonly AuditRow[];
}

function worldOf(run: number): fc.Arbitrary<World> {
  const ids = Array.from({ length: 7 }, (_, n) => exampleSession(20_000 + run * 16 + n));
  const user = pick(`ann-p${run}`, `bob-p${run}`);
  const sessions = fc.tuple(
    ...ids.map((session) =>
      fc
        .record({ user, node: pick('web-1', 'db-1'), command: fc.oneof(fc.constant(''), texts), hour: fc.integer({ min: 0, max: 200 }) })
        .map(({ hour, ...row }): SessionRow => exampleSessionRow({ session, started_at: start + hour * HOUR, ...row })),
    ),
  );
  return sessions.chain((rows) => {
    const one = fc.record({ row: pick(...rows), offset: fc.integer({ min: 0, max: 5 }) });
    const event = fc
      .record({ where: one, name: texts, kind: pick('exec', 'exec', 'shell', 'file') })
      .map(({ where: { row, offset }, ...rest }, i?: number): EventRow => {
        const { session, user: who, node, login, started_at: at } = row;
        return exampleEventRow({
          ...{ session, user: who, node, login, at: at + offset * 1000, offset_ms: offset * 1000, index: i ?? 0 },
          ...(rest as Partial<EventRow>),
        });
      });
    const finding = fc.record({ where: one, tier: pick('alert', 'session', 'signal', ''), state: pick('open', 'open', 'suppressed') });
    const decision = fc.record({
      of: fc.nat(4),
      state: pick('dismissed', 'resolved', 'open'),
      version: fc.integer({ min: 1, max: 3 }),
      ok: fc.boolean(),
    });
    return fc.record({
      events: fc.array(event, { maxLength: 30 }).map((all) =>
        all.map((row, index) => ({
          ...row,
          index,
          ...(index % 4 === 0 ? ({ source: 'recording', emitter: '' } as const) : ({ source: 'kernel', emitter: 'agent/x' } as const)),
        })),
      ),
      findings: fc.array(finding, { maxLength: 5 }).map((all) =>
        all.map(({ where: { row, offset }, tier, state }, n) =>
          exampleFindingRow({
            id: `p-${run}-${n}`,
            session: row.session,
            user: row.user,
            node: row.node,
            at: row.started_at + offset * 1000,
            state: state as 'open',
            data: JSON.stringify({ tier }),
          }),
        ),
      ),
      audit: fc.uniqueArray(decision, { maxLength: 4, selector: ({ of, version }) => `${of} ${version}` }).map((all) =>
        all.map(({ of, state, version, ok }, n) =>
          exampleAuditRow({
            id: `p-${run}-a${n}`,
            event: TRIAGE_EVENT,
            target: `p-${run}-${of}`,
            outcome: ok ? 'success' : 'failure',
            at: start,
            data: JSON.stringify({ state, version, reason: '' }),
          }),
        ),
      ),
      sessions: fc.constant(rows),
    });
  });
}

/** By session, the time at which each command first ran. */
function commandsOf(world: World, sessions: readonly SessionRow[]): ReadonlyMap<string, ReadonlyMap<string, number>> {
  const all = new Map<string, Map<string, number>>();
  const add = (session: string, text: string, at: number): void => {
    const command = commandShape(text);
    if (command === '') return;
    const of = all.get(session) ?? all.set(session, new Map()).get(session)!;
    of.set(command, Math.min(of.get(command) ?? Infinity, at));
  };
  for (const row of sessions) {
    add(row.session, row.command, row.started_at);
    for (const event of world.events)
      if (event.session === row.session && (event.kind === 'shell' || (event.kind === 'exec' && event.source === 'kernel')))
        add(row.session, event.name, event.at);
  }
  return all;
}

function expectedOf(world: World, sessions: readonly SessionRow[]): Patterns {
  const found = new Map<string, number>();
  for (const finding of world.findings) {
    const decisions = world.audit
      .filter(({ target, outcome }) => target === finding.id && outcome === 'success')
      .map(({ data }) => JSON.parse(data) as { state: string; version: number });
    const said = decisions.toSorted((a, b) => b.version - a.version)[0]?.state ?? finding.state;
    const { tier } = JSON.parse(finding.data) as { tier: string };
    if (tier === 'signal' || said === 'dismissed' || said === 'suppressed' || !sessions.some(({ session }) => session === finding.session))
      continue;
    found.set(finding.session, Math.min(found.get(finding.session) ?? Infinity, finding.at));
  }
  const commands = commandsOf(world, sessions);
  const incidents = found.size;
  const calm = sessions.length - incidents;
  const counted = [...new Set([...commands.values()].flatMap((of) => [...of.keys()]))].map((command) => {
    const with_ = [...commands].filter(([, of]) => of.has(command));
    const before = with_
      .filter(([session, of]) => found.has(session) && of.get(command)! <= found.get(session)!)
      .map(([session]) => session);
    const others = with_.filter(([session]) => !found.has(session)).length;
    const lift = liftOf({ before: before.length, incidents, others, calm });
    return { command, before: before.length, others, lift, sessions: before.toSorted().toReversed().slice(0, 3) };
  });
  const groups = <K extends string>(keyOf: (row: SessionRow) => K): { key: K; sessions: number; incidents: number }[] =>
    [...new Set(sessions.map(keyOf))].map((key) => {
      const of = sessions.filter((row) => keyOf(row) === key);
      return { key, sessions: of.length, incidents: of.filter(({ session }) => found.has(session)).length };
    });
  const text = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  return {
    ...{ sessions: sessions.length, incidents, known: commands.size },
    commands: counted
      .filter(({ before }) => before >= 2)
      .sort((a, b) => b.lift - a.lift || b.before - a.before || text(a.command, b.command)),
    nodes: groups(({ node }) => node)
      .map(({ key, ...rest }) => ({ node: key, ...rest }))
      .sort((a, b) => b.incidents - a.incidents || b.sessions - a.sessions || text(a.node, b.node)),
    hours: groups(({ started_at: at }) => `${new Date(at).getUTCDay() || 7} ${new Date(at).getUTCHours()}`)
      .map(({ key, ...rest }) => ({ day: Number(key.split(' ')[0]), hour: Number(key.split(' ')[1]), ...rest }))
      .sort((a, b) => a.day - b.day || a.hour - b.hour),
  };
}

function alikeOf(world: World, of: string, sessions: readonly SessionRow[]): readonly AlikeSession[] {
  const names = (all: ReturnType<typeof commandsOf>, session: string): readonly string[] => [...(all.get(session)?.keys() ?? [])];
  const mine = names(commandsOf(world, world.sessions), of);
  const theirs = commandsOf(world, sessions);
  return sessions
    .filter(({ session }) => session !== of)
    .map(({ session }) => {
      const other = names(theirs, session);
      const shared = mine.filter((command) => other.includes(command)).sort();
      return { session, shared: shared.length, either: new Set([...mine, ...other]).size, commands: shared.slice(0, 8) };
    })
    .filter(({ shared }) => shared >= 2)
    .sort((a, b) => b.shared / b.either - a.shared / a.either || b.shared - a.shared || (a.session < b.session ? 1 : -1));
}

export function patternsConformance(opened: () => EventStore): void {
  describe('patterns over sessions', () => {
    test('match the rows of visible sessions, and of no others', async () => {
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 0, max: 0x7fff_ffff }), async (seed) => {
          run += 1;
          const [world] = fc.sample(worldOf(run), { numRuns: 1, seed }) as [World];
          const store = opened();
          await store.insert('sessions', world.sessions, `patterns ${run} sessions`);
          await store.insert('events', world.events, `patterns ${run} events`);
          await store.insert('events', world.events.slice(0, 5), `patterns ${run} events again`);
          await store.insert('findings', world.findings, `patterns ${run} findings`);
          await store.insert('audit', world.audit, `patterns ${run} audit`);
          const span = { from: start, to: start + 1_000 * HOUR, tiers: ['alert', 'session'] } as const;
          const { tiers: _, ...rest } = span;
          for (const user of [`ann-p${run}`, `bob-p${run}`]) {
            const own = world.sessions.filter((row) => row.user === user);
            const visible = { kind: 'equal', a: { kind: 'user', marked: null }, b: { kind: 'text', text: user } } as const;
            for (const scope of [{ user }, { visible }]) {
              expect(await store.patterns({ ...span, ...scope })).toEqual(expectedOf(world, own));
              const [of] = world.sessions;
              expect(await store.alikeSessions({ ...rest, ...scope, session: of!.session })).toEqual(alikeOf(world, of!.session, own));
            }
          }
        }),
        { numRuns: 8 },
      );
    }, 120_000);

    test('a time without sessions has none', async () => {
      const nothing = { sessions: 0, incidents: 0, known: 0, commands: [], nodes: [], hours: [] };
      expect(await opened().patterns({ from: 0, to: 1, tiers: ['alert'] })).toEqual(nothing);
      expect(await opened().alikeSessions({ from: 0, to: 1, session: exampleSession(1) })).toEqual([]);
    });
  });

  test.each([
    ['/usr/bin/curl -s x', 'curl'],
    ['sudo systemctl restart app', 'systemctl restart'],
    ['  git   pull', 'git pull'],
    ['git pull-request x', 'git pull-request'],
    ['cat /etc/shadow', 'cat'],
    ['-bash', ''],
    ['', ''],
    ['VAR=1 x', 'VAR'],
  ])('the shape of %j is %j', (text, shape) => {
    expect(commandShape(text)).toBe(shape);
  });
}
