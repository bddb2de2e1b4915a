import { describe, expect, it } from 'vitest';
import type { Gap, StreamFact } from '#schemas/recording/line.js';
import { InputGate } from './input-gate.js';

function gate(): { gate: InputGate; lines: (StreamFact | Gap)[]; notices: string[]; reopened: number[]; at: { ms: number } } {
  const [lines, notices, reopened, at]: [(StreamFact | Gap)[], string[], number[], { ms: number }] = [[], [], [], { ms: 0 }];
  const input = new InputGate(
    { fact: (fact) => void lines.push(fact), gap: (gap) => void lines.push(gap) },
    { notice: (words) => void notices.push(words), reopened: () => void reopened.push(at.ms), now: () => at.ms },
  );
  return { gate: input, lines, notices, reopened, at };
}

describe('the input gate of a session', () => {
  it('is open at first, and opening it again writes nothing', () => {
    const { gate: input, lines, notices } = gate();
    expect(input.open).toBe(true);
    expect(input.reopen()).toBe(false);
    expect([lines, notices]).toEqual([[], []]);
  });

  it('records when it closes and when it opens, and tells the user both times', () => {
    const { gate: input, lines, notices, reopened } = gate();
    expect(input.close('incident 7')).toBe(true);
    expect(input.open).toBe(false);
    expect(input.close('another reason')).toBe(false);
    expect(input.reopen()).toBe(true);
    expect(lines).toEqual([
      { fact: 'input_gate', state: 'closed', reason: 'incident 7' },
      { fact: 'input_gate', state: 'open', reason: '' },
    ]);
    expect(notices).toEqual(['this session is frozen, and what you type is discarded: incident 7', 'this session is no longer frozen']);
    expect(reopened).toHaveLength(1);
  });

  it('records discarded input once each time it closes, without the amount', () => {
    const { gate: input, lines } = gate();
    for (const _ of [1, 2]) {
      input.close('');
      for (let key = 0; key < 20; key++) input.discard();
      input.reopen();
    }
    const gaps = lines.filter((line) => 'reason' in line && line.reason === 'input_discarded');
    expect(gaps).toEqual([
      { reason: 'input_discarded', stream: 'in' },
      { reason: 'input_discarded', stream: 'in' },
    ]);
  });

  it('opens only when nothing holds it closed, no matter what closed it last', () => {
    const { gate: input, lines, notices } = gate();
    expect(input.close('', 'pause', 'carol')).toBe(true);
    expect(input.close('incident 7')).toBe(true);
    expect(input.reopen()).toBe(true);
    expect(input.open).toBe(false);
    expect(input.reopen()).toBe(false);
    expect(input.reopen('pause', 'dave')).toBe(true);
    expect(input.open).toBe(true);
    expect(lines).toEqual([
      { fact: 'input_gate', state: 'closed', reason: '', by: 'carol' },
      { fact: 'input_gate', state: 'closed', reason: 'incident 7' },
      { fact: 'input_gate', state: 'open', reason: '', by: 'dave' },
    ]);
    expect(notices.at(-1)).toBe('dave resumed this session');
  });

  it('reminds a user who types, at most every five seconds', () => {
    const { gate: input, notices, at } = gate();
    input.close('');
    for (at.ms = 0; at.ms < 12_000; at.ms += 100) input.discard();
    expect(notices).toHaveLength(3);
  });
});
