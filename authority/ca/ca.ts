/**
 * The five CAs: what each signs, and the keys behind them.
 *
 * | name         | key      | signs                                                          |
 * | ssh-user     | Ed25519  | certificates of users, and those gateways show to nodes        |
 * | ssh-host     | Ed25519  | host certificates of gateways and nodes                        |
 * | recording    | Ed25519  | certificates of the keys that sign recordings                  |
 * | x509-user    | P-256    | client certificates of users, for kubectl and browsers         |
 * | x509-service | P-256    | certificates of mutual TLS between stages                      |
 *
 * In FIPS mode, and in tokens without Ed25519, the first three are P-256 too. A CA has one key, or two during a rotation
 * (rotation.ts); callers need not know which one signs. Keys are kept in a `KeyPlace`, which gives out signatures only.
 * Callers decide what to certify; this module only defines the certificate shapes. `LiveCa` follows the state store: after
 * each change everything is read again, and keys already open stay open. Tested in ca.test.ts and rotations.test.ts.
 */
import { X509Certificate, createHash, randomBytes } from 'node:crypto';
import type { CaPhase } from '#schemas/api/services/ca.js';
import type { CaTrust } from '#schemas/snapshot.js';
import { CLUSTER_NAMESPACE } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import type { ServiceName } from '#schemas/base/identity.js';
import { encodeCertificate, encodeUnsigned } from '#schemas/ssh/certificate.js';
import type { CertificateFields } from '#schemas/ssh/certificate.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { armorSshsig, encodeSshsig, sshsigSignedData } from '#schemas/ssh/signature.js';
import { caNames } from './names.js';
import type { CaName, SshCaName } from './names.js';
import { holderOf, newKeySigns } from './rotation.js';
import type { Holder } from './rotation.js';
import { sshBlob, sshSign } from './signer.js';
import type { CaAlgorithm, CaSigner } from './signer.js';
import { selfSign, serviceLeaf, userLeaf } from './x509.js';
import type { X509User, X509Validity } from './x509.js';

/** A key as stored in the state store. */
export interface CaKey {
  readonly name: CaName;
  readonly generation: number;
  readonly state: 'active' | 'next' | 'retired';
  readonly signer: 'sealed' | 'pkcs11';
  /** Public key line, or certificate in PEM for x509. */
  readonly public: string;
  readonly sealed: Uint8Array | null;
  /** ms since 1970. */
  readonly createdAt: number;
  readonly retiredAt: number | null;
}

/** A store of private CA keys: sealed in the state store, or in a token. */
export interface KeyPlace {
  readonly signer: CaKey['signer'];
  /** Generates a key; a token returns a key of this name left by a crash. Rejects with CA_SIGNER_UNAVAILABLE. */
  make(name: CaName, generation: number, wanted: CaAlgorithm): Promise<{ readonly signer: CaSigner; readonly sealed: Uint8Array | null }>;
  /** Rejects with SEAL_KEY_WRONG if the key cannot be unsealed, or CA_SIGNER_UNAVAILABLE if it cannot be reached. */
  open(key: CaKey): Promise<CaSigner>;
  /** Deletes a retired key completely. */
  destroy(key: CaKey): Promise<void>;
}

export interface KeyPlaces {
  /** Where the key of a new generation is generated. */
  forNew(name: CaName): KeyPlace;
  /** Throws CA_SIGNER_UNAVAILABLE if no such place is configured. */
  of(signer: CaKey['signer']): KeyPlace;
}

/** Every key that is not retired, and the phase of each rotation; a CA not listed is in standby. */
export interface CaState {
  readonly keys: readonly CaKey[];
  readonly phases: ReadonlyMap<CaName, CaPhase>;
}

export interface Ca {
  /** The public parts. */
  readonly trust: CaTrust;
  /** Signatures on a statement of this cluster to others (PROTOCOL.sshsig, armored), one per SSH user CA key trusted now. */
  signStatement(statement: Uint8Array, namespace?: string): Promise<readonly string[]>;
  issueSsh(ca: SshCaName, fields: Omit<CertificateFields, 'nonce' | 'signatureKey'>): Promise<Buffer>;
  /** PEM. */
  issueService(name: ServiceName, spkiPem: string, validity: X509Validity): Promise<string>;
  issueX509User(user: X509User, spkiPem: string, validity: X509Validity): Promise<string>;
}

/** The stored public part of a key, wherever the key is kept. */
async function publicOf(name: CaName, generation: number, signer: CaSigner, now: number): Promise<string> {
  switch (name) {
    case 'x509-user':
      return selfSign(`Steno user CA ${generation}`, signer, now);
    case 'x509-service':
      return selfSign(`Steno service CA ${generation}`, signer, now);
    default:
      return sshLine(name, signer);
  }
}

/** Generates a key, not stored yet. `now`: ms since 1970. */
export async function makeKey(
  places: KeyPlaces,
  name: CaName,
  generation: number,
  state: 'active' | 'next',
  sshAlgorithm: CaAlgorithm,
  now: number,
): Promise<CaKey> {
  const place = places.forNew(name);
  const { signer, sealed } = await place.make(name, generation, name.startsWith('x509-') ? 'p256' : sshAlgorithm);
  return {
    name,
    generation,
    state,
    signer: place.signer,
    public: await publicOf(name, generation, signer, now),
    sealed,
    createdAt: now,
    retiredAt: null,
  };
}

interface OpenCa {
  readonly active: { readonly key: CaKey; readonly signer: CaSigner };
  readonly next: { readonly key: CaKey; readonly signer: CaSigner } | undefined;
  readonly phase: CaPhase;
  /** Newest first. */
  readonly retired: readonly CaKey[];
}

/**
 * `opened`: signers by name and generation, kept across calls. Rejects with SEAL_KEY_WRONG if a key cannot be unsealed or
 * does not match its public part.
 */
export async function openCas({ keys, phases }: CaState, places: Pick<KeyPlaces, 'of'>, opened = new Map<string, CaSigner>()): Promise<Ca> {
  const cas = new Map<CaName, OpenCa>();
  const open = async (key: CaKey): Promise<{ key: CaKey; signer: CaSigner }> => {
    const id = `${key.name}/${key.generation}`;
    const signer = opened.get(id) ?? (await places.of(key.signer).open(key));
    if (!belongs(key, signer)) throw new StenoError('SEAL_KEY_WRONG', key.name);
    opened.set(id, signer);
    return { key, signer };
  };
  for (const name of caNames) {
    const own = keys.filter((key) => key.name === name).sort((a, b) => b.generation - a.generation);
    const active = own.find(({ state }) => state === 'active');
    if (active === undefined) throw new StenoError('SEAL_KEY_WRONG', `the CA ${name} is missing from the state store`);
    const next = own.find(({ state }) => state === 'next');
    cas.set(name, {
      active: await open(active),
      next: next === undefined ? undefined : await open(next),
      phase: phases.get(name) ?? 'standby',
      retired: own.filter(({ state }) => state === 'retired'),
    });
  }
  return composeCa(cas);
}

function composeCa(cas: ReadonlyMap<CaName, OpenCa>): Ca {
  const signs = (name: CaName, holder: Holder): OpenCa['active'] => {
    const { active, next, phase } = cas.get(name)!;
    return next !== undefined && newKeySigns(phase, holder) ? next : active;
  };
  /** The current signing key comes first, for readers that use only one. */
  const trusted = (name: CaName): readonly string[] => {
    const { active, next } = cas.get(name)!;
    return [active.key.public, ...(next === undefined ? [] : [next.key.public])];
  };
  const serviceHolder = ({ kind }: ServiceName): Holder => (kind === 'authority' ? 'server' : 'client');
  return {
    trust: {
      ssh_user_ca: trusted('ssh-user'),
      ssh_host_ca: trusted('ssh-host'),
      recording_ca: trusted('recording'),
      recording_ca_retired: cas.get('recording')!.retired.map((key) => key.public),
      x509_user_ca: trusted('x509-user'),
      service_ca: trusted('x509-service'),
      signing: {
        ssh_host: signs('ssh-host', 'server').key.public,
        recording: signs('recording', 'server').key.public,
        service: signs('x509-service', 'client').key.public,
        authority: signs('x509-service', 'server').key.public,
      },
    },
    signStatement(statement, namespace = CLUSTER_NAMESPACE) {
      const { active, next } = cas.get('ssh-user')!;
      const signed = sshsigSignedData(namespace, 'sha512', createHash('sha512').update(statement).digest());
      return Promise.all(
        [active, ...(next === undefined ? [] : [next])].map(async ({ signer }) =>
          armorSshsig(
            encodeSshsig({ publicKey: sshBlob(signer), namespace, hashAlgorithm: 'sha512', signature: await sshSign(signer, signed) }),
          ),
        ),
      );
    },
    async issueSsh(name, fields) {
      const { signer } = signs(name, holderOf[name]);
      const whole: CertificateFields = { ...fields, nonce: randomBytes(32), signatureKey: sshBlob(signer) };
      return Buffer.from(encodeCertificate(whole, await sshSign(signer, encodeUnsigned(whole))));
    },
    issueService(name, spkiPem, validity) {
      const { key, signer } = signs('x509-service', serviceHolder(name));
      return serviceLeaf(key.public, signer, name, spkiPem, validity);
    },
    issueX509User(user, spkiPem, validity) {
      const { key, signer } = signs('x509-user', 'client');
      return userLeaf(key.public, signer, user, spkiPem, validity);
    },
  };
}

function belongs(key: CaKey, signer: CaSigner): boolean {
  if (key.name === 'x509-user' || key.name === 'x509-service') return new X509Certificate(key.public).publicKey.equals(signer.publicKey);
  return sshLine(key.name, signer) === key.public;
}

function sshLine(name: SshCaName, signer: CaSigner): string {
  return formatPublicLine(sshBlob(signer), `steno ${name}`);
}

/** The current CAs; call `refresh` after every change. */
export class LiveCa implements Ca {
  readonly #read: () => Promise<CaState>;
  readonly #places: Pick<KeyPlaces, 'of'>;
  readonly #opened = new Map<string, CaSigner>();
  #now: Ca;

  static async open(read: () => Promise<CaState>, places: Pick<KeyPlaces, 'of'>): Promise<LiveCa> {
    const opened = new Map<string, CaSigner>();
    return new LiveCa(read, places, opened, await openCas(await read(), places, opened));
  }

  private constructor(read: () => Promise<CaState>, places: Pick<KeyPlaces, 'of'>, opened: Map<string, CaSigner>, first: Ca) {
    this.#read = read;
    this.#places = places;
    this.#opened = opened;
    this.#now = first;
  }

  get trust(): CaTrust {
    return this.#now.trust;
  }

  /** If this rejects, the previous state stays in use. */
  async refresh(): Promise<void> {
    this.#now = await openCas(await this.#read(), this.#places, this.#opened);
  }

  signStatement(...args: Parameters<Ca['signStatement']>): Promise<readonly string[]> {
    return this.#now.signStatement(...args);
  }

  issueSsh(...args: Parameters<Ca['issueSsh']>): Promise<Buffer> {
    return this.#now.issueSsh(...args);
  }

  issueService(...args: Parameters<Ca['issueService']>): Promise<string> {
    return this.#now.issueService(...args);
  }

  issueX509User(...args: Parameters<Ca['issueX509User']>): Promise<string> {
    return this.#now.issueX509User(...args);
  }
}
