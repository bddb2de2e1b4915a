/** Who signed a checkpoint, with a signature that is a hash over key and message; with real keys in test/vectors and test/verify. */
import { expect, test } from 'vitest';
import { join, sha256 } from '../testing/signed-recording.js';
import { encodeBase64 } from '../ssh/base64.js';
import { encodeCertificate, encodeUnsigned } from '../ssh/certificate.js';
import type { CertificateFields } from '../ssh/certificate.js';
import { encodePublicKey } from '../ssh/public-key.js';
import { sshsigSignedData } from '../ssh/signature.js';
import { SshWriter } from '../ssh/wire.js';
import { checkpointFault } from './checkpoint-check.js';
import { checkpointText } from './checkpoint.js';
import type { Checkpoint } from './checkpoint.js';

const ed25519 = (fill: number): Uint8Array =>
  encodePublicKey({ kind: 'ed25519', type: 'ssh-ed25519', point: new Uint8Array(32).fill(fill) });
const [ca, key, other] = [ed25519(1), ed25519(2), ed25519(3)] as const;
const ecdsa = encodePublicKey({
  kind: 'ecdsa',
  type: 'ecdsa-sha2-nistp256',
  curve: 'nistp256',
  point: Uint8Array.from({ length: 65 }, (_, i) => (i === 0 ? 4 : i)),
});

const sign = (signer: Uint8Array, data: Uint8Array): Uint8Array => {
  const digest = sha256(signer, data);
  return new SshWriter().utf8('ssh-ed25519').string(join(digest, digest)).bytes();
};
const parts = {
  sha512: sha256,
  verify: (blob: Uint8Array, signature: Uint8Array, data: Uint8Array): boolean =>
    encodeBase64(sign(blob, data)) === encodeBase64(signature),
};

const SIGNED_AT = 1_763_800_000;
const usual: CertificateFields = {
  nonce: new Uint8Array(32),
  publicKey: key,
  serial: 1n,
  kind: 'user',
  keyId: 'gateway=gw-1',
  principals: ['gw-1'],
  validAfter: BigInt(SIGNED_AT - 60),
  validBefore: BigInt(SIGNED_AT + 60),
  criticalOptions: new Map(),
  extensions: new Map(),
  signatureKey: ca,
};
const certified = (change: Partial<CertificateFields> = {}, signer = ca): Uint8Array => {
  const fields = { ...usual, ...change };
  return encodeCertificate(fields, sign(signer, encodeUnsigned(fields)));
};

const checkpoint: Checkpoint = {
  session: '01kanar9g0dtjvf0yq516zc20n',
  gateway: 'gw-1',
  counter: 42,
  block: 17,
  bytes: 81_920,
  at: 61_250,
  time: SIGNED_AT * 1000 + 123,
  head: '9f'.repeat(32),
  end: 'open',
};
const signed = (change: Partial<Checkpoint> = {}, signer = key, namespace = 'steno-checkpoint'): Checkpoint & { signature: string } => {
  const whole = { ...checkpoint, ...change };
  const digest = sha256(new TextEncoder().encode(checkpointText(whole)));
  return { ...whole, signature: encodeBase64(sign(signer, sshsigSignedData(namespace, 'sha512', digest))) };
};
const fault = (given: Checkpoint & { signature: string }, certificate: Uint8Array, cas: readonly Uint8Array[] = [ca]): string | null =>
  checkpointFault(given, certificate, cas, parts);

test('a checkpoint that the recording key of its gateway signed is good, under any of the trusted CAs', () => {
  expect(fault(signed(), certified())).toBeNull();
  expect(fault(signed(), certified(), [other, ca])).toBeNull();
});

const unacceptable = /^the recording certificate is not acceptable: ./;
test.each<[string, Checkpoint & { signature: string }, Uint8Array, RegExp]>([
  ['of a CA that is not trusted', signed(), certified({ signatureKey: other }, other), unacceptable],
  ['that names the CA and was signed by somebody else', signed(), certified({}, other), unacceptable],
  ['of another gateway', signed(), certified({ principals: ['gw-2'] }), unacceptable],
  ['of a host', signed(), certified({ kind: 'host' }), unacceptable],
  ['that had ended when the checkpoint was signed', signed({ time: (SIGNED_AT + 60) * 1000 }), certified(), unacceptable],
  ['that began long after', signed({ time: (SIGNED_AT - 91) * 1000 }), certified(), unacceptable],
  ['of more than one gateway', signed(), certified({ principals: ['gw-1', 'gw-2'] }), /not that of a recording key/],
  ['of a key of another kind', signed({}, ecdsa), certified({ publicKey: ecdsa }), /not that of a recording key/],
  ['of a key that did not sign', signed({}, other), certified(), /signature does not match/],
  ['that is a plain key', signed(), key, /key type|certificate/i],
  ['that is nothing', signed(), new Uint8Array(0), /certificate/i],
])('a checkpoint with a certificate %s is refused', (_claim, given, certificate, why) => {
  expect(fault(given, certificate)).toMatch(why);
});

test('a checkpoint is refused when any of its figures was changed, or it was signed for another purpose', () => {
  const good = signed();
  const changes: readonly Partial<Checkpoint>[] = [
    { session: '01kanar9g0dtjvf0yq516zc20m' },
    { counter: 43 },
    { block: 18 },
    { bytes: 1 },
    { at: 0 },
    { time: checkpoint.time + 1 },
    { head: '00'.repeat(32) },
    { end: 'complete' },
  ];
  for (const change of changes) expect(fault({ ...good, ...change }, certified())).toMatch(/signature does not match/);
  expect(fault(signed({}, key, 'file'), certified())).toMatch(/signature does not match/);
  for (const signature of ['', 'AAAA', 'not base64', `${good.signature}\n`])
    expect(fault({ ...good, signature }, certified())).toMatch(/signature does not match/);
});

test('what a verifier throws is a refusal, and nothing is thrown', () => {
  const broken = {
    ...parts,
    sha512: (): Uint8Array => {
      throw new Error('no such digest');
    },
  };
  expect(checkpointFault(signed(), certified(), [ca], broken)).toBe('the recording certificate cannot be read');
});
