import { describe, expect, it } from 'vitest';
import type { LogOutcome, Outcome } from '../verify/outcome.js';
import type { Checked } from './messages.js';
import { keysIn, trustOf } from './trust.js';

const good = { kind: 'verified', blocks: 3 } as Outcome;
const refused = (code: string, block: number | null) =>
  ({ kind: 'refused', code, message: 'it is altered', detail: 'here', block, goodUntil: 900 }) as const;
const checked = (recording: Outcome, log: LogOutcome | null = null, unfinished = false): Checked => ({ recording, log, unfinished });
const foreign = checked(refused('VERIFY_UNSIGNED', 1));

describe('trust', () => {
  it('needs a key of the reader to be more than consistent', () => {
    expect(trustOf(checked(good), null, []).kind).toBe('consistent');
    expect(trustOf(checked(good), checked(good), []).kind).toBe('verified');
    expect(trustOf(checked(good), foreign, []).kind).toBe('foreign');
  });

  it("is the reader's key's alone where the file came with another, or none", () => {
    expect(trustOf(foreign, null, []).kind).toBe('broken');
    expect(trustOf(foreign, checked(good), []).kind).toBe('verified');
    expect(trustOf(foreign, foreign, []).kind).toBe('broken');
  });

  it('is gone with one changed byte, and says where', () => {
    const altered = checked(refused('VERIFY_ALTERED', 7));
    for (const own of [null, altered]) expect(trustOf(altered, own, [])).toMatchObject({ kind: 'broken', until: 900 });
    expect(trustOf(altered, null, [])).toMatchObject({ title: 'The recording is broken, at block 7' });
    const log = checked(good, refused('VERIFY_ALTERED', 2));
    expect(trustOf(log, log, [])).toMatchObject({ title: 'The event log is broken, at block 2' });
    expect(trustOf(checked(refused('VERIFY_TRUNCATED', 4)), null, [])).toMatchObject({ title: 'The recording has no end, at block 4' });
  });

  it('is gone where the page around the recording was changed, whatever the key says', () => {
    expect(trustOf(checked(good), checked(good), ['a fault']).kind).toBe('broken');
  });

  it('an event log that is not closed yet is no fault, one that is withheld is', () => {
    const open = checked(good, refused('VERIFY_TRUNCATED', 3), true);
    expect(trustOf(open, null, []).kind).toBe('consistent');
    expect(trustOf(checked(good, refused('VERIFY_MISSING_PART', null), true), null, []).kind).toBe('broken');
  });
});

it('keys are found in what people paste', () => {
  const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEtO';
  const curve = 'ecdsa-sha2-nistp256 AAAAE2VjZHNh';
  expect(keysIn(key)).toEqual([key]);
  expect(keysIn(`# of the CA\n${key} recording\n\n${curve}\n${key}\n`)).toEqual([key, curve]);
  expect(keysIn(`* cert-authority,namespaces="steno-checkpoint" ${key}`)).toEqual([key]);
  for (const none of ['', 'hello', 'ssh-rsa AAAAB3', '-----BEGIN OPENSSH PRIVATE KEY-----', 'ssh-ed25519 <script>'])
    expect(keysIn(none)).toEqual([]);
});
