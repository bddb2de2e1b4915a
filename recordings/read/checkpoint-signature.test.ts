import { expect, test } from 'vitest';
import { Recorder, RecordingAuthority } from '../testing/recorder.js';
import { certificateFault, checkpointFault } from './checkpoint-signature.js';

const authority = new RecordingAuthority();
const trusted = [authority.line];

test('a certificate that was verified once is refused after it expired, for another gateway, and when its CA is no longer trusted', () => {
  const { certificate } = authority.certify('gw-1', { from: 1_000, until: 2_000 });
  for (let again = 0; again < 2; again++) {
    expect(certificateFault(certificate, 'gw-1', trusted, 1_500_000)).toBeNull();
    expect(certificateFault(certificate, 'gw-1', trusted, 2_000_000)).toContain('ended');
    expect(certificateFault(certificate, 'gw-1', trusted, 900_000)).toContain('begins');
    expect(certificateFault(certificate, 'gw-2', trusted, 1_500_000)).toContain('gw-2');
    expect(certificateFault(certificate, 'gw-1', [new RecordingAuthority().line], 1_500_000)).toContain('CA');
  }
});

test('a certificate with any byte altered is refused although the original was verified', () => {
  const { certificate } = authority.certify('gw-1');
  expect(certificateFault(certificate, 'gw-1', trusted, 1_500_000)).toBeNull();
  for (let at = 0; at < certificate.length; at += 1) {
    const altered = Buffer.from(certificate);
    altered[at] = altered[at]! ^ 0x01;
    expect(certificateFault(altered, 'gw-1', trusted, 1_500_000), `byte ${at}`).not.toBeNull();
  }
});

test('a checkpoint with an altered number is refused although its certificate was verified', () => {
  const identity = authority.certify('gw-1');
  const recorder = new Recorder(identity).output(10, 'hello\r\n').close();
  const close = recorder.made.at(-1)!;
  if (close.kind === 'block') throw new Error('the session was not closed');
  const { checkpoint } = close;
  expect(checkpointFault(checkpoint, identity.certificate, trusted)).toBeNull();
  expect(checkpointFault({ ...checkpoint, bytes: checkpoint.bytes + 1 }, identity.certificate, trusted)).toContain('signature');
});
