/**
 * The four CAs: what each signs, and the keys behind them.
 *
 * | name         | key               | signs                                                          |
 * | ssh-user     | Ed25519           | certificates of users, and those gateways show to nodes        |
 * | ssh-host     | Ed25519           | host certificates of gateways and nodes                        |
 * | recording    | Ed25519           | certificates of the keys that sign recordings                  |
 * | x509-service | ECDSA P-256       | certificates of mutual TLS between stages                      |
 *
 * Private keys are made at the first start, stored sealed (seal.ts), and live in this process inside a `CaSigner` that
 * gives out signatures only. A KMS or PKCS#11 token can stand behind the same interface: nothing else asks for a key.
 * What to certify is decided by the callers; this module only fixes the shapes. Tested in ca.test.ts.
 */
import 'reflect-metadata';
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign as signData } from 'node:crypto';
import type { webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension, BasicConstraintsExtension, ExtendedKeyUsage, ExtendedKeyUsageExtension,
  KeyUsageFlags, KeyUsagesExtension, PublicKey, SubjectAlternativeNameExtension, SubjectKeyIdentifierExtension, X509CertificateGenerator,
  X509Certificate,
} from '@peculiar/x509';
import { CLUSTER_NAMESPACE } from '#schemas/cluster.js';
import { StenoError } from '#schemas/errors.js';
import { formatServiceName } from '#schemas/identity.js';
import type { ServiceName } from '#schemas/identity.js';
import { encodeCertificate, encodeUnsigned } from '#schemas/ssh/certificate.js';
import type { CertificateFields } from '#schemas/ssh/certificate.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { armorSshsig, encodeSshsig, sshsigSignedData } from '#schemas/ssh/signature.js';
import { loadPrivateKey } from '#runtime/ssh/keys.js';
import type { Sealer } from './seal.js';

export const sshCaNames = ['ssh-user', 'ssh-host', 'recording'] as const;
export type SshCaName = (typeof sshCaNames)[number];
export type CaName = SshCaName | 'x509-service';
export const caNames: readonly CaName[] = [...sshCaNames, 'x509-service'];

/**
 * A key that signs. `sign` may be slow or remote; it fails with STORE_UNAVAILABLE when the key cannot be reached, and
 * then nothing was issued. The same data may be signed twice.
 */
export interface CaSigner {
  /** SSH public key blob, or SPKI in DER for x509. */
  readonly publicKey: Uint8Array;
  /** SSH signature blob, or `r ‖ s` (64 bytes) for x509. */
  sign(data: Uint8Array): Promise<Uint8Array>;
}

/** What the state store keeps of a CA. */
export interface StoredCa {
  readonly name: CaName;
  /** Public key line, or certificate in PEM for x509. */
  readonly public: string;
  readonly sealed: Uint8Array;
}

export interface Ca {
  /** Public key lines. */
  readonly sshUser: string;
  readonly sshHost: string;
  readonly recording: string;
  readonly servicePem: string;
  /** Signatures of the SSH user CA over a statement of this cluster (PROTOCOL.sshsig, armored), one by each key in force. */
  signStatement(statement: Uint8Array): Promise<readonly string[]>;
  issueSsh(ca: SshCaName, fields: Omit<CertificateFields, 'nonce' | 'signatureKey'>): Promise<Buffer>;
  /** PEM. Times are ms since 1970; x509 knows only seconds. `spkiPem` is P-256 or another key that Node's TLS takes. */
  issueService(name: ServiceName, spkiPem: string, validity: { readonly from: number; readonly until: number; readonly serial: bigint }): Promise<string>;
}

const SERVICE_CA_SUBJECT = 'CN=Steno service CA';
const SERVICE_CA_LIFE_MS = 20 * 365 * 86_400_000;
const ecdsaP256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** New keys for every CA, sealed; nothing is stored yet. `now`: ms since 1970. */
export async function createCas(sealer: Sealer, now: number): Promise<readonly StoredCa[]> {
  const ssh = sshCaNames.map((name): StoredCa => {
    const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const key = loadPrivateKey(pem);
    return { name, public: formatPublicLine(key.publicBlob, `steno ${name}`), sealed: sealer.seal(purpose(name), Buffer.from(pem)) };
  });
  const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const certificate = await selfSign(x509Signer(pem), now);
  return [...ssh, { name: 'x509-service', public: certificate, sealed: sealer.seal(purpose('x509-service'), Buffer.from(pem)) }];
}

/** Throws SEAL_KEY_WRONG when a key does not open, or does not belong to the public part beside it. */
export function openCas(stored: readonly StoredCa[], sealer: Sealer): Ca {
  const find = (name: CaName): StoredCa => {
    const found = stored.find((ca) => ca.name === name);
    if (found === undefined) throw new StenoError('SEAL_KEY_WRONG', `the CA ${name} is missing from the state store`);
    return found;
  };
  const sshSigner = (name: SshCaName): CaSigner => {
    const { public: line, sealed } = find(name);
    const signer = sealedSshSigner(sealer.open(purpose(name), sealed));
    if (formatPublicLine(signer.publicKey, `steno ${name}`) !== line) throw new StenoError('SEAL_KEY_WRONG', name);
    return signer;
  };
  const service = find('x509-service');
  const serviceSigner = x509Signer(sealer.open(purpose('x509-service'), service.sealed).toString());
  if (!Buffer.from(new X509Certificate(service.public).publicKey.rawData).equals(serviceSigner.publicKey)) throw new StenoError('SEAL_KEY_WRONG', 'x509-service');
  return composeCa({ 'ssh-user': sshSigner('ssh-user'), 'ssh-host': sshSigner('ssh-host'), recording: sshSigner('recording') }, serviceSigner, service.public);
}

/** The CAs over any signers. */
export function composeCa(ssh: Readonly<Record<SshCaName, CaSigner>>, service: CaSigner, servicePem: string): Ca {
  const line = (name: SshCaName): string => formatPublicLine(ssh[name].publicKey, `steno ${name}`);
  const root = new X509Certificate(servicePem);
  return {
    sshUser: line('ssh-user'),
    sshHost: line('ssh-host'),
    recording: line('recording'),
    servicePem,
    async signStatement(statement) {
      const signer = ssh['ssh-user'];
      const signature = await signer.sign(sshsigSignedData(CLUSTER_NAMESPACE, 'sha512', createHash('sha512').update(statement).digest()));
      return [armorSshsig(encodeSshsig({ publicKey: signer.publicKey, namespace: CLUSTER_NAMESPACE, hashAlgorithm: 'sha512', signature }))];
    },
    async issueSsh(name, fields) {
      const whole: CertificateFields = { ...fields, nonce: randomBytes(32), signatureKey: ssh[name].publicKey };
      return Buffer.from(encodeCertificate(whole, await ssh[name].sign(encodeUnsigned(whole))));
    },
    async issueService(name, spkiPem, { from, until, serial }) {
      const publicKey = new PublicKey(createPublicKey(spkiPem).export({ type: 'spki', format: 'der' }));
      const certificate = await X509CertificateGenerator.create({
        serialNumber: serialNumber(serial),
        subject: [{ CN: [formatServiceName(name)] }],
        issuer: root.subjectName,
        notBefore: new Date(from),
        notAfter: new Date(until),
        publicKey,
        ...signing(),
        extensions: [
          new BasicConstraintsExtension(false, undefined, true),
          new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
          new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
          new SubjectAlternativeNameExtension([{ type: 'url', value: `steno://${formatServiceName(name)}` }]),
          await SubjectKeyIdentifierExtension.create(publicKey),
          await AuthorityKeyIdentifierExtension.create(root.publicKey),
        ],
      }, signingCrypto(service));
      return `${certificate.toString('pem')}\n`;
    },
  };
}

function purpose(name: CaName): string {
  return `ca/${name}`;
}

function sealedSshSigner(pem: Buffer): CaSigner {
  const key = loadPrivateKey(pem.toString());
  return { publicKey: key.publicBlob, sign: (data) => Promise.resolve(key.sign(data)) };
}

function x509Signer(pem: string): CaSigner {
  const key = createPrivateKey(pem);
  return {
    publicKey: createPublicKey(key).export({ type: 'spki', format: 'der' }),
    sign: (data) => Promise.resolve(signData('sha256', data, { key, dsaEncoding: 'ieee-p1363' })),
  };
}

async function selfSign(signer: CaSigner, now: number): Promise<string> {
  const publicKey = new PublicKey(signer.publicKey as Buffer);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(0n),
    subject: SERVICE_CA_SUBJECT,
    issuer: SERVICE_CA_SUBJECT,
    notBefore: new Date(now - 60_000),
    notAfter: new Date(now + SERVICE_CA_LIFE_MS),
    publicKey,
    ...signing(),
    extensions: [
      // No intermediate CAs: a leaked service key cannot become one.
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(publicKey),
    ],
  }, signingCrypto(signer));
  return `${certificate.toString('pem')}\n`;
}

/** The generator wants a Web Crypto key; this one is a name only, since `signingCrypto` signs whatever the key. */
function signing(): { signingAlgorithm: typeof ecdsaP256; signingKey: webcrypto.CryptoKey } {
  return { signingAlgorithm: ecdsaP256, signingKey: { type: 'private', algorithm: ecdsaP256, extractable: false, usages: ['sign'] } as unknown as webcrypto.CryptoKey };
}

function signingCrypto(signer: CaSigner): webcrypto.Crypto {
  const subtle = { sign: async (_algorithm: unknown, _key: unknown, data: ArrayBuffer) => exactBuffer(await signer.sign(new Uint8Array(data))) };
  return { subtle, getRandomValues: globalThis.crypto.getRandomValues.bind(globalThis.crypto) } as unknown as webcrypto.Crypto;
}

function exactBuffer(bytes: Uint8Array): ArrayBuffer {
  const copy = new ArrayBuffer(bytes.length);
  new Uint8Array(copy).set(bytes);
  return copy;
}

/** 8 random bytes, then the store's serial: unpredictable, unique, and found again. In hex, positive, no leading zero. */
function serialNumber(serial: bigint): string {
  const bytes = randomBytes(8);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex') + serial.toString(16).padStart(16, '0');
}
