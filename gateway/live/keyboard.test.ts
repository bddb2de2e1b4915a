import { expect, it } from 'vitest';
import type { SessionRecorder } from '../recorder/recorder.js';
import { LiveSession } from '../sessions/live-session.js';
import { Keyboard } from './keyboard.js';
import { Participant } from './participant.js';

function scene() {
  const [notices, told, audits, typed]: [string[], string[], object[], string[]] = [[], [], [], []];
  const recorder = { session: 's1', fact: () => undefined, gap: () => undefined, typist: () => undefined } as unknown as SessionRecorder;
  const session = new LiveSession(
    recorder,
    {
      end: () => undefined,
      notice: (words) => void notices.push(words),
      reopened: () => undefined,
      type: (bytes) => {
        typed.push(bytes.toString());
        return bytes.length;
      },
    },
    null,
    () => undefined,
  );
  const keyboard = new Keyboard(session, {
    audit: (_participant, data) => void audits.push(data),
    tell: ({ facts }, words) => void told.push(`${facts.user}: ${words}`),
  });
  const link = { size: { cols: 80, rows: 24 }, room: 0, send: () => undefined, close: () => undefined };
  const someone = (user: string, mode: 'peer' | 'owner'): Participant =>
    new Participant({ user, mode, source: '::1', roles: [], traits: {} }, 0, link, () => undefined);
  const [alice, bob, carol] = [someone('alice', 'owner'), someone('bob', 'peer'), someone('carol', 'peer')];
  const types = (who: Participant): boolean => keyboard.lets(who) && session.type(who.facts.user, Buffer.from(who.facts.user)) > 0;
  return { keyboard, session, notices, told, audits, typed, alice, bob, carol, types };
}

it('a peer with the keyboard types alone until the owner takes it back', () => {
  const { keyboard, session, notices, told, audits, typed, alice, bob, carol, types } = scene();
  expect([types(bob), types(carol)]).toEqual([true, true]);
  keyboard.hand(alice, [bob, carol]);
  expect([types(bob), types(carol), types(carol), session.gate.open]).toEqual([true, false, false, false]);
  expect(told).toEqual(['carol: steno: bob has the keyboard, and what you type is discarded']);
  keyboard.hand(alice, [bob, carol]);
  expect([types(bob), types(carol)]).toEqual([false, true]);
  keyboard.take(alice);
  expect([types(bob), types(carol), session.gate.open]).toEqual([true, true, true]);
  expect(typed).toEqual(['bob', 'carol', 'bob', 'carol', 'bob', 'carol']);
  expect(audits).toEqual([{ keyboard: 'handed', to: 'bob' }, { keyboard: 'handed', to: 'carol' }, { keyboard: 'taken' }]);
  expect(notices).toContain('bob has the keyboard, and what you type is discarded; Ctrl-] takes it back');
  expect(notices.at(-1)).toBe('you have the keyboard again');
});

it('the keyboard returns when the peer leaves', () => {
  const { keyboard, session, alice, bob, carol, types } = scene();
  keyboard.hand(alice, [bob]);
  keyboard.left(carol);
  expect(session.gate.open).toBe(false);
  keyboard.left(bob);
  expect([session.gate.open, types(carol)]).toEqual([true, true]);
});

it('the owner refuses peers, and permits them again', () => {
  const { keyboard, session, alice, bob, carol, types } = scene();
  keyboard.hand(alice, [bob]);
  keyboard.refuse(alice);
  expect([types(bob), types(carol), session.gate.open]).toEqual([false, false, true]);
  keyboard.refuse(alice);
  expect([types(bob), types(carol)]).toEqual([true, true]);
});

it('a freeze or a pause stops everybody, whoever has the keyboard', () => {
  const { keyboard, session, typed, alice, bob } = scene();
  keyboard.hand(alice, [bob]);
  session.gate.close('', 'pause', 'carol');
  session.type('bob', Buffer.from('lost'));
  session.gate.reopen('pause', 'carol');
  session.type('bob', Buffer.from('kept'));
  expect(typed).toEqual(['kept']);
  keyboard.take(alice);
  expect(session.gate.open).toBe(true);
});

it('the keyboard cannot be handed over when nobody can take it', () => {
  const { keyboard, told, session, alice } = scene();
  keyboard.hand(alice, []);
  keyboard.take(alice);
  expect(told).toEqual(['alice: steno: nobody is here who could type', 'alice: steno: nobody else has the keyboard']);
  expect(session.gate.open).toBe(true);
});
