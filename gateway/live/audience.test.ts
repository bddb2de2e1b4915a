import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StreamFact } from '#schemas/recording/line.js';
import { joinModes } from '#schemas/policy/role.js';
import type { JoinMode } from '#schemas/policy/role.js';
import { encodeLine } from '#schemas/recording/line.js';
import type { AuditEntry, SessionRecorder } from '../recorder/recorder.js';
import { LiveSession } from '../sessions/live-session.js';
import { Audience } from './audience.js';
import { CommandKeys } from './commands.js';
import type { Participant } from './participant.js';
import { QUEUE_BYTES } from './participant.js';
import { TerminalInput } from './terminal-input.js';

/** A session that records what reaches its node, and participants that accept as much as the test allows. */
function scene() {
  const [toNode, facts, audits, notices]: [Buffer[], StreamFact[], AuditEntry[], string[]] = [[], [], [], []];
  const said: string[] = [];
  let lines = '';
  let room = Infinity;
  const recorder = {
    session: 's1',
    fact: (fact: StreamFact) => void facts.push(fact),
    gap: () => undefined,
    participant: () => undefined,
    marker: (text: string) => void said.push(text),
    typist: () => undefined,
    history: () => ({ lines: Buffer.from(lines), whole: true, held: Buffer.alloc(0) }),
  } as unknown as SessionRecorder;
  const about = {
    user: 'alice',
    node: 'web-1',
    login: 'root',
    kind: 'shell',
    labels: {},
    startedAt: 0,
    size: () => ({ cols: 80, rows: 24 }),
    command: '',
  } as const;
  const ended: string[] = [];
  const session = new LiveSession(
    recorder,
    {
      end: ({ code }) => void ended.push(code),
      notice: (words) => void notices.push(words),
      reopened: () => undefined,
      type: (bytes) => {
        const taken = Math.min(room, bytes.length);
        room -= taken;
        toNode.push(Buffer.from(bytes.subarray(0, taken)));
        return taken;
      },
    },
    about,
    () => undefined,
  );
  let emptied = 0;
  const audience = new Audience(session, about, {
    audit: (entry) => void audits.push(entry),
    now: () => performance.now(),
    clock: () => 1_000,
    changed: () => undefined,
    empty: () => void emptied++,
  });
  const print = (text: string): void => {
    lines += encodeLine(0, { code: 'o', data: text });
    session.shown(Buffer.from(text));
  };
  const join = (user: string, mode: JoinMode) => {
    const got = { text: '', room: 1 << 20, ended: null as readonly string[] | null };
    const participant = audience.join(
      { user, mode, source: '::1', roles: [], traits: {} },
      {
        size: { cols: 80, rows: 24 },
        get room() {
          return got.room;
        },
        send: (bytes) => {
          got.room -= bytes.length;
          got.text += bytes.toString();
        },
        close: (words) => (got.ended = words),
      },
    );
    const [keys, input] = [new CommandKeys(mode), new TerminalInput()];
    const press = (text: string): void => {
      for (const what of keys.take(input.push(Buffer.from(text))))
        if (typeof what === 'string') audience.command(participant, what);
        else audience.did(participant, what, () => undefined);
    };
    return { participant, got, press };
  };
  return {
    session,
    audience,
    print,
    join,
    ended,
    said,
    notices,
    facts,
    audits,
    typed: () => Buffer.concat(toNode).toString(),
    owner: (text: string) => void toNode.push(Buffer.from(text)),
    makeRoom: (bytes: number) => {
      room = bytes;
      audience.roomy();
    },
    emptied: () => emptied,
  };
}

/** Resolves once the condition holds; waits for turns of the event loop, not for a time. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

const settled = async (participant: Participant): Promise<void> => until(() => participant.following);

describe('the participants of a session', () => {
  it('receive the current screen, and later output once', async () => {
    const { print, join } = scene();
    print('before\r\n');
    const bob = join('bob', 'observer');
    print('meanwhile\r\n');
    await settled(bob.participant);
    print('after\r\n');
    await until(() => bob.got.text.includes('after'));
    for (const word of ['before', 'meanwhile', 'after']) expect(bob.got.text.split(word)).toHaveLength(2);
    expect(bob.got.text).toContain('you watch alice (root@web-1)');
  });

  it('lose queued output when they fall behind, and receive the screen once they read again; nobody else notices', async () => {
    const { print, join } = scene();
    const [slow, quick] = [join('slow', 'observer'), join('quick', 'observer')];
    await Promise.all([settled(slow.participant), settled(quick.participant)]);
    slow.got.room = 0;
    const before = slow.got.text.length;
    for (let row = 0; row < 2_000; row++) {
      print(`row ${row} ${'.'.repeat(60)}\r\n`);
      if (row % 50 === 0) await until(() => quick.got.text.includes(`row ${row} `));
    }
    await until(() => quick.got.text.includes('row 1999 '));
    expect(slow.participant.following).toBe(false);
    expect(slow.got.text).toHaveLength(before);
    slow.got.room = 1 << 20;
    slow.participant.flush();
    await until(() => slow.got.text.includes('row 1999 '));
    expect(slow.got.text.length - before).toBeLessThan(QUEUE_BYTES);
  });

  it('receive output a few at a time, in the order in which the session showed it, however many there are', async () => {
    const { print, join, session } = scene();
    const people = Array.from({ length: 60 }, (_, i) => join(`o${i}`, 'observer'));
    await Promise.all(people.map(({ participant }) => settled(participant)));
    const have = (words: string): number => people.filter(({ got }) => got.text.includes(words)).length;
    print('first ');
    // No participant has it in the turn in which the session’s user receives it.
    expect(have('first')).toBe(0);
    const steps: number[] = [];
    await until(() => {
      steps.push(have('first'));
      // Output that arrives while earlier output is being sent.
      if (steps.at(-1)! > 0 && steps.at(-2) === 0) print('second ');
      return have('second') === people.length;
    });
    expect(Math.max(...steps.slice(1).map((count, i) => count - steps[i]!))).toBeLessThanOrEqual(16);
    for (const { got } of people) expect(got.text).toMatch(/first second $/);
    // A flood is not gathered, and output that is left when the session ends is sent before the last message.
    print('x'.repeat(20_000));
    print('last');
    session.leave();
    for (const { got } of people) expect([got.text.endsWith('last'), got.ended]).toEqual([true, ['steno: session s1 has ended']]);
  });

  it('are told why the session is over', async () => {
    const { session, join, emptied } = scene();
    const bob = join('bob', 'observer');
    session.leave();
    expect(bob.got.ended).toEqual(['steno: session s1 has ended']);
    expect(emptied()).toBe(1);
  });

  it('type into it as peers, as much as it accepts', () => {
    const { join, typed, makeRoom, audience } = scene();
    const bob = join('bob', 'peer');
    makeRoom(4);
    let again = 0;
    expect(audience.type(bob.participant, Buffer.from('abcdef'), () => again++)).toBe(4);
    makeRoom(10);
    expect([again, typed()]).toEqual([1, 'abcd']);
  });

  it('resume as moderators what another moderator paused, and the session shows both', () => {
    const { session, join, notices, facts } = scene();
    const [carol, dave] = [join('carol', 'moderator'), join('dave', 'moderator')];
    carol.press('p');
    expect(session.gate.open).toBe(false);
    dave.press('p');
    dave.press('r');
    expect(session.gate.open).toBe(true);
    carol.press('r');
    expect(facts).toEqual([
      { fact: 'input_gate', state: 'closed', reason: '', by: 'carol' },
      { fact: 'input_gate', state: 'open', reason: '', by: 'dave' },
    ]);
    expect(notices.slice(-2)).toEqual(['carol paused this session, and what you type is discarded', 'dave resumed this session']);
  });

  it('end a session as moderators by pressing one key twice', () => {
    const { join, ended } = scene();
    const [carol, dave] = [join('carol', 'moderator'), join('dave', 'moderator')];
    carol.press('t');
    dave.press('t');
    expect(ended).toEqual([]);
    dave.press('t');
    expect(ended).toEqual(['ENDED_BY_MODERATOR']);
  });

  it('never send anything to the node as observers, however many there are, and whatever their terminals answer', async () => {
    const junk = fc.constantFrom(
      'rm -rf /\r',
      '\x1b[24;80R',
      '\x1b[?1;2c',
      '\x1b]11;rgb:0/0/0\x07',
      '\x1b[I',
      '\x1b[<0;1;1M',
      '\x1b',
      '\x1dq',
      '\x0c',
      'zzz',
    );
    const step = fc.oneof(
      fc.record({ kind: fc.constant('owner' as const), text: fc.string({ maxLength: 8 }) }),
      fc.record({ kind: fc.constant('print' as const), text: fc.constantFrom('x\r\n', '\x1b[6n\x1b[c', '\x1b]11;?\x07', '\x1b[2J') }),
      fc.record({ kind: fc.constant('press' as const), who: fc.nat(3), text: junk }),
      fc.record({ kind: fc.constant('join' as const) }),
      fc.record({ kind: fc.constant('leave' as const), who: fc.nat(3) }),
      fc.record({ kind: fc.constant('stall' as const), who: fc.nat(3), room: fc.constantFrom(0, 10, 1 << 20) }),
      fc.record({ kind: fc.constant('turn' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { join, print, owner, typed, audience, session } = scene();
        const people = [join('o0', 'observer')];
        for (const one of steps) {
          const person = 'who' in one ? people[one.who % people.length]! : people[0]!;
          switch (one.kind) {
            case 'owner':
              owner(one.text);
              break;
            case 'print':
              print(one.text);
              break;
            case 'press':
              if (!person.participant.gone) person.press(one.text);
              break;
            case 'join':
              people.push(join(`o${people.length}`, 'observer'));
              break;
            case 'leave':
              audience.leave(person.participant, null);
              break;
            case 'stall':
              person.got.room = one.room;
              person.participant.flush();
              break;
            case 'turn':
              await new Promise((resolve) => setImmediate(resolve));
          }
        }
        expect(typed()).toBe(steps.flatMap((one) => (one.kind === 'owner' ? [one.text] : [])).join(''));
        expect(session.gate.open).toBe(true);
        session.leave();
      }),
      { numRuns: 200 },
    );
  });

  it('under a lock that demands a moderator let input reach the node exactly while a moderator is there', () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('join' as const),
        user: fc.constantFrom('alice', 'bob', 'carol'),
        mode: fc.constantFrom(...joinModes),
      }),
      fc.record({ kind: fc.constant('leave' as const), who: fc.nat(5) }),
      fc.record({ kind: fc.constant('lock' as const), on: fc.boolean() }),
      fc.record({ kind: fc.constant('freeze' as const), on: fc.boolean() }),
      fc.record({ kind: fc.constant('type' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { join, audience, session, notices, typed } = scene();
        const there: { readonly user: string; readonly mode: JoinMode; readonly participant: Participant }[] = [];
        let [locked, frozen, typedOpen] = [false, false, 0];
        for (const one of steps) {
          switch (one.kind) {
            case 'join': {
              // As in the gateway, the last participant who leaves removes the audience, and the next one makes a new one.
              session.watcher ??= audience;
              there.push({ user: one.user, mode: one.mode, participant: join(one.user, one.mode).participant });
              break;
            }
            case 'leave': {
              const [gone] = there.splice(one.who % (there.length + 1), 1);
              if (gone !== undefined) audience.leave(gone.participant, null);
              break;
            }
            case 'lock':
              session.requireModerator(one.on ? 'finding' : null);
              locked = one.on;
              break;
            case 'freeze':
              if (one.on) session.gate.close('incident');
              else session.gate.reopen();
              frozen = one.on;
              break;
            case 'type':
              if (session.type('bob', Buffer.from('x')) === 1 && session.gate.open) typedOpen += 1;
          }
          const moderated = there.some(({ user, mode }) => mode === 'moderator' && user !== 'alice');
          expect(session.gate.open).toBe(!frozen && (!locked || moderated));
          expect(session.awaitsModerator).toBe(locked && !moderated);
        }
        expect(typed()).toBe('x'.repeat(typedOpen));
        if (steps.some((one) => one.kind === 'lock' && one.on && !frozen) && session.awaitsModerator)
          expect(notices.some((words) => words.includes('steno join s1 --mode moderator'))).toBe(true);
        session.leave();
      }),
      { numRuns: 500 },
    );
  });

  it.each(joinModes)('leave audit rows when they join and leave as %s', (mode) => {
    const { join, audience, audits, session } = scene();
    const bob = join('bob', mode);
    audience.leave(bob.participant, null);
    session.leave();
    expect(audits.map(({ event, actor, session: id, data }) => [event, actor, id, data])).toEqual([
      ['session.joined', 'bob', 's1', `{"mode":"${mode}","of":"alice"}`],
      ['session.left', 'bob', 's1', `{"mode":"${mode}","of":"alice"}`],
    ]);
  });
});
