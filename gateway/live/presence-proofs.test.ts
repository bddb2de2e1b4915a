/** Participants who have to prove at intervals that they are there. The test sets the time. */
import { describe, expect, it } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { Participant } from './participant.js';
import { PresenceProofs } from './presence-proofs.js';

class Time {
  at = 0;
  #waiting: { readonly at: number; readonly callback: () => void }[] = [];
  readonly after = (ms: number, callback: () => void): (() => void) => {
    const one = { at: this.at + ms, callback };
    this.#waiting.push(one);
    return () => void (this.#waiting = this.#waiting.filter((other) => other !== one));
  };
  get waiting(): number {
    return this.#waiting.length;
  }
  /** Handlers of settled promises run before this returns. */
  async pass(ms: number): Promise<void> {
    const end = this.at + ms;
    for (;;) {
      const [next] = this.#waiting.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#waiting = this.#waiting.filter((one) => one !== next);
      this.at = next.at;
      next.callback();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.at = end;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function scene(intervalMs = 600_000) {
  const time = new Time();
  const told: string[] = [];
  const changes: boolean[] = [];
  let asked = 0;
  let answer: { readonly yes: () => void; readonly no: (error: Error) => void } | null = null;
  let signal: AbortSignal | undefined;
  const proofs = new PresenceProofs(intervalMs, {
    now: () => time.at,
    after: time.after,
    tell: (_, words) => void told.push(words),
    changed: (_, missing) => void changes.push(missing),
  });
  const facts = { user: 'carol', mode: 'moderator', source: '192.0.2.1', roles: [], traits: {} } as const;
  const link = {
    size: { cols: 80, rows: 24 },
    room: 0,
    send: () => undefined,
    close: () => undefined,
    prove: (shown: (url: string) => void, stopped: AbortSignal) => {
      asked += 1;
      signal = stopped;
      shown(`https://steno.invalid/confirm#${asked}`);
      return new Promise<void>((yes, no) => (answer = { yes, no }));
    },
  };
  const carol = new Participant(facts, 0, link, () => undefined);
  proofs.joined(carol);
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return {
    ...{ time, told, changes, proofs, carol },
    asked: () => asked,
    aborted: () => signal?.aborted === true,
    confirm: () => {
      answer!.yes();
      return settle();
    },
    refuse: () => {
      answer!.no(new StenoError('SESSION_UNCONFIRMED', 'nobody confirmed it in time'));
      return settle();
    },
  };
}

describe('a participant who has to prove presence', () => {
  it('is asked a minute before each interval ends, and stays while they prove it', async () => {
    const { time, told, proofs, carol, confirm, asked, changes } = scene();
    await time.pass(539_999);
    expect(asked()).toBe(0);
    for (let i = 1; i <= 3; i += 1) {
      await time.pass(i === 1 ? 1 : 540_000);
      expect(asked()).toBe(i);
      expect(told.at(-1)).toContain(`https://steno.invalid/confirm#${i}`);
      await confirm();
      expect(told.at(-1)).toMatch(/confirmed/);
    }
    await time.pass(500_000);
    expect(proofs.missing(carol)).toBe(false);
    expect(changes).toEqual([]);
  });

  it('is missing when they do not, and present again once they do', async () => {
    const { time, told, proofs, carol, confirm, refuse, asked, changes } = scene();
    await time.pass(540_000);
    await refuse();
    expect(told.at(-1)).toMatch(/nobody confirmed it in time.*press v/);
    expect(proofs.missing(carol)).toBe(false);
    await time.pass(60_000);
    expect(proofs.missing(carol)).toBe(true);
    expect(changes).toEqual([true]);
    // Questions do not repeat forever.
    await time.pass(10 * 600_000);
    expect(asked()).toBe(1);
    proofs.prove(carol);
    expect(asked()).toBe(2);
    await confirm();
    expect(proofs.missing(carol)).toBe(false);
    expect(changes).toEqual([true, false]);
    await time.pass(540_000);
    expect(asked()).toBe(3);
  });

  it('is missing until a late proof arrives', async () => {
    const { time, proofs, carol, confirm, changes } = scene();
    await time.pass(600_000);
    expect(proofs.missing(carol)).toBe(true);
    await confirm();
    expect(changes).toEqual([true, false]);
  });

  it('is asked one question at a time, and shown the same address again', async () => {
    const { time, proofs, carol, told, asked } = scene();
    await time.pass(540_000);
    proofs.prove(carol);
    expect(asked()).toBe(1);
    expect(told.filter((words) => words.includes('confirm#1'))).toHaveLength(2);
  });

  it('may prove it early, which begins a new interval', async () => {
    const { time, proofs, carol, confirm, asked } = scene();
    await time.pass(300_000);
    proofs.prove(carol);
    await confirm();
    await time.pass(539_999);
    expect(asked()).toBe(1);
    await time.pass(1);
    expect(asked()).toBe(2);
  });

  it('leaves neither question nor timer behind', async () => {
    const { time, proofs, carol, aborted, changes, confirm } = scene();
    await time.pass(540_000);
    proofs.left(carol);
    expect(aborted()).toBe(true);
    expect(time.waiting).toBe(0);
    await confirm();
    expect(time.waiting).toBe(0);
    expect(changes).toEqual([]);
    expect(proofs.missing(carol)).toBe(false);
  });
});
