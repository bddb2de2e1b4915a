import { describe, expect, it } from 'vitest';
import { formatSessionJoin, parseSessionJoin, participantModes } from './session-join.js';

const session = '01jdv3k5m8q2w7x9y4z6a0b1c2';

describe('the address of a live session', () => {
  it.each(participantModes)('is parsed as it is formatted, as %s', (mode) => {
    expect(parseSessionJoin(formatSessionJoin({ session, mode }))).toEqual({ session, mode });
    const invitation = 'i-0123456789abcdef';
    expect(parseSessionJoin(formatSessionJoin({ session, mode, invitation }))).toEqual({ session, mode, invitation });
  });

  it('means an observer if it names no mode', () => {
    expect(parseSessionJoin(`join.${session}`)).toEqual({ session, mode: 'observer' });
  });

  it.each([
    '',
    'join',
    'join.',
    'join.x',
    `join.${session}.nobody`,
    `join.${session}.i-0123456789abcdef`,
    `join.${session}.peer.i-0123456789abcde`,
    `join.${session}.peer.i-0123456789abcdef0`,
    `join.${session}.peer.i-0123456789abcdeo`,
    `join.${session}.peer.`,
    `join.${session}.`,
    `join.${session}@web-1`,
    `JOIN.${session}`,
    `join.${session}\n`,
    ` join.${session}`,
    `join.${session}0`,
  ])('is not %j', (name) => expect(parseSessionJoin(name)).toBeNull());
});
