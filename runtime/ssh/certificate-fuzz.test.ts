/**
 * Mutants of certificates that ssh-keygen issued: each is refused, or equals the certificate that the CA signed. Any bytes are
 * parsed or refused with CERT_GARBLED, and a parsed certificate is encoded to the same bytes.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { encodeUnsigned, parseCertificate } from '#schemas/ssh/certificate.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { parsePublicKey } from '#schemas/ssh/public-key.js';
import { mutate, mutation } from '../testing/mutations.js';
import type { Mutation } from '../testing/mutations.js';
import { verify } from './keys.js';
import { makeKeyFiles, readPublicFile, sshKeygen, temporaryFolder } from './openssh-oracle.js';

const folder = temporaryFolder();
afterAll(folder.remove);
let samples: readonly Buffer[];
let trusted: readonly Buffer[];

beforeAll(() => {
  const cas = [
    makeKeyFiles(folder.path, 'ca-ed25519', 'ed25519'),
    makeKeyFiles(folder.path, 'ca-rsa', 'rsa', 2048),
    makeKeyFiles(folder.path, 'ca-ecdsa', 'ecdsa', 256),
  ];
  trusted = cas.map(({ blob }) => blob);
  samples = cas.flatMap((ca, i) =>
    ([['ed25519'], ['rsa', 2048], ['ecdsa', 384]] as const).map(([type, bits], j) => {
      const key = makeKeyFiles(folder.path, `user-${i}-${j}`, type, bits);
      sshKeygen([
        '-q',
        '-s',
        ca.path,
        '-I',
        'ann',
        '-n',
        'ann,root',
        '-V',
        '-1m:+52w',
        '-O',
        'source-address=127.0.0.1/32',
        '-O',
        'extension:user@steno=ann',
        `${key.path}.pub`,
      ]);
      return readPublicFile(`${key.path}-cert.pub`);
    }),
  );
});

function read(blob: Uint8Array): SshCertificate | undefined {
  try {
    return parseCertificate(blob);
  } catch (error) {
    expect(error).toBeInstanceOf(StenoError);
    expect(error).toMatchObject({ code: 'CERT_GARBLED' });
    return undefined;
  }
}

const mutant = (sample: number, list: readonly Mutation[]): Buffer => mutate(samples[sample]!, list, samples, []);

const admitted = (certificate: SshCertificate): boolean =>
  checkCertificate(certificate, { kind: 'user', now: Date.now() / 1000, trusted, principal: 'ann', sourceAddress: '127.0.0.1', verify }).ok;

describe('a mutant of a real certificate', () => {
  test('is refused, or equals the signed certificate', () => {
    for (const sample of samples) expect(admitted(parseCertificate(sample))).toBe(true);
    const signed = new Set(samples.map((sample) => Buffer.from(parseCertificate(sample).signed).toString('hex')));
    fc.assert(
      fc.property(fc.nat(8), fc.array(mutation, { minLength: 1, maxLength: 4 }), (sample, list) => {
        const certificate = read(mutant(sample, list));
        if (certificate !== undefined && admitted(certificate)) expect(signed).toContain(Buffer.from(certificate.signed).toString('hex'));
      }),
      { numRuns: 6_000, interruptAfterTimeLimit: 15_000 },
    );
  });

  test('with any single bit flipped is refused', () => {
    const sample = samples[0]!;
    for (let bit = 0; bit < sample.length * 8; bit += 1) {
      const copy = Buffer.from(sample);
      copy[bit >> 3]! ^= 1 << (bit & 7);
      const certificate = read(copy);
      expect(certificate !== undefined && admitted(certificate)).toBe(false);
    }
  });

  test('truncated anywhere is refused', () => {
    for (let length = 0; length < samples[0]!.length; length += 1) expect(read(samples[0]!.subarray(0, length))).toBeUndefined();
  });
});

test('a parsed certificate is encoded to the same bytes', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.tuple(fc.nat(8), fc.array(mutation, { maxLength: 3 })).map(([sample, list]) => mutant(sample, list)),
      ),
      (blob) => {
        const certificate = read(blob);
        if (certificate === undefined) return;
        parsePublicKey(certificate.publicKey);
        const again = encodeUnsigned(certificate);
        // The reserved field may hold anything and is not kept; all other fields are.
        if (again.length === certificate.signed.length) expect(Buffer.from(again)).toEqual(Buffer.from(certificate.signed));
        else expect(certificate.signed.length).toBeGreaterThan(again.length);
      },
    ),
    { numRuns: 4_000, interruptAfterTimeLimit: 10_000 },
  );
});
