/** The page's verifier gives the same verdicts as `steno verify`. */
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fingerprint, generateKey, loadPrivateKey, verify } from '#runtime/ssh/keys.js';
import { openZstd } from '#runtime/zstd.js';
import { openVerifier } from '#runtime/ssh/verifier.js';
import { fingerprint as pageFingerprint, verifyInBrowser } from '../../viewer/web/verify/browser-verifier.js';
import { verifySignature } from '../../viewer/web/verify/signature.js';

const ecdsa = (namedCurve: string) =>
  loadPrivateKey(generateKeyPairSync('ec', { namedCurve }).privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
const keys = [
  ['ed25519', () => generateKey('ed25519')],
  ['P-256', () => ecdsa('P-256')],
  ['P-384', () => ecdsa('P-384')],
  ['P-521', () => ecdsa('P-521')],
] as const;

describe('signatures, in the page as in Node', () => {
  it.each(keys)('%s', (_, make) => {
    const [key, other] = [make(), make()];
    const data = Buffer.from('what was signed');
    // Several signatures: ECDSA integers are sometimes shorter.
    for (let i = 0; i < 20; i++) {
      const signature = key.sign(data);
      const bent = Buffer.from(signature);
      bent[bent.length - 1 - i]! ^= 1;
      const cases: readonly (readonly [blob: Uint8Array, signature: Uint8Array, data: Uint8Array])[] = [
        [key.publicBlob, signature, data],
        [key.publicBlob, bent, data],
        [other.publicBlob, signature, data],
        [key.publicBlob, signature, Buffer.from('what was not')],
        [key.publicBlob, signature.subarray(0, -1), data],
        [key.publicBlob, Buffer.concat([signature, Buffer.of(0)]), data],
        [key.publicBlob, new Uint8Array(0), data],
      ];
      expect(cases.map((each) => verifySignature(...each))).toEqual(cases.map((each) => verify(...each)));
      expect(verifySignature(...cases[0]!)).toBe(true);
    }
    expect(pageFingerprint(key.publicBlob)).toBe(fingerprint(key.publicBlob));
  });

  it('a key of an unsupported type is refused as such, not as a bad signature', () => {
    const rsa = loadPrivateKey(
      generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    );
    expect(() => verifySignature(rsa.publicBlob, rsa.sign(Buffer.from('x')), Buffer.from('x'))).toThrow(
      /ssh-rsa cannot be checked in a browser/,
    );
  });
});

describe.each([
  ['recordings', 'recording-1.cast.zst', 'recording-1.ca.pub'],
  ['event logs', 'events-1.events.zst', 'events-1.ca.pub'],
])('%s, in the page as by the command', (_, name, caName) => {
  const file = readFileSync(new URL(name, import.meta.url));
  const ca = readFileSync(new URL(caName, import.meta.url), 'utf8').trim();
  const stranger = `ssh-ed25519 ${generateKey('ed25519').publicBlob.toString('base64')}`;
  const flipped = (at: number): Buffer => {
    const copy = Buffer.from(file);
    copy[at]! ^= 1;
    return copy;
  };
  const cases: readonly (readonly [claim: string, file: Uint8Array, cas: readonly string[], code: string | null])[] = [
    ['as it was made', file, [ca], null],
    ['one of several authorities', file, [stranger, ca], null],
    ['another authority', file, [stranger], 'VERIFY_UNSIGNED'],
    ['cut off', file.subarray(0, file.length >> 1), [ca], 'VERIFY_TRUNCATED'],
    ['empty', new Uint8Array(0), [ca], 'RECORDING_MALFORMED'],
    ['a bit of the lines flipped', flipped(file.length >> 1), [ca], 'VERIFY_ALTERED'],
    ...Array.from({ length: 40 }, (_, i) => [`bit flipped at ${i}/40`, flipped(Math.floor((file.length * i) / 40)), [ca], 'any'] as const),
  ];

  it.each(cases)('%s', async (_, bytes, cas, code) => {
    const zstd = await openZstd();
    let told = 0;
    const verdict = verifyInBrowser(bytes, { cas, decompress: (frame) => zstd.decompress(frame), onBytes: (more) => void (told += more) });
    expect(verdict).toEqual((await openVerifier(cas))(bytes));
    if (code !== 'any') expect(verdict.ok ? null : verdict.code).toBe(code);
    if (verdict.ok) expect(told).toBeGreaterThan(2 * verdict.bytes);
  });
});
