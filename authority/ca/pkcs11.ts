/**
 * CA keys in a PKCS#11 token (OASIS PKCS #11 2.40, Edwards curves of 3.0): generated there, used there, and not extractable.
 *
 *     closed ──first use──► logged in ──any failure──► closed       the call is tried once more, on a new session
 *                               └── PIN refused ──► refused         for ever: tokens lock themselves after some tries
 *
 * A key is found by its public point, which is in the state store, so nothing else needs to be stored. A key left by a crash
 * between generation and storage stays unused in the token, under a label `steno <ca> <generation> …`. Ed25519 if the token
 * supports it, otherwise P-256. One session and one signature at a time; the token is the bottleneck anyway. Failures are
 * CA_SIGNER_UNAVAILABLE and name the token's own code. Tested in pkcs11.test.ts, on SoftHSM.
 */
import { X509Certificate, createHash, createPublicKey, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import pkcs11js from 'pkcs11js';
import type { Handle, Template } from 'pkcs11js';
import { StenoError } from '#schemas/base/errors.js';
import { parseAuthorizedLine, parsePublicKey } from '#schemas/ssh/public-key.js';
import type { Log } from '#runtime/log.js';
import type { CaKey, KeyPlace } from './ca.js';
import type { CaName } from './names.js';
import type { Token } from './places.js';
import type { CaAlgorithm, CaSigner } from './signer.js';
import { readSecretFile } from '#runtime/service/secret-file.js';
import type { SignerConfig } from './signer-config.js';

// PKCS #11 3.0 section 2.3, missing from the binding's constants.
const CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055;
const CKM_EDDSA = 0x1057;
const CKK_EC_EDWARDS = 0x40;
const CKR_PIN = new Set([0xa0, 0xa1, 0xa2, 0xa3, 0xa4]);
const CKR_ALREADY_INITIALIZED = 0x191;
const CKR_ALREADY_LOGGED_IN = 0x100;

interface Curve {
  readonly keyType: number;
  readonly make: number;
  readonly sign: number;
  /** CKA_EC_PARAMS. */
  readonly parameters: Buffer;
  /** DER bytes of the SPKI before the point. */
  readonly spkiHead: Buffer;
}
const curves: Readonly<Record<CaAlgorithm, Curve>> = {
  p256: {
    keyType: pkcs11js.CKK_EC,
    make: pkcs11js.CKM_EC_KEY_PAIR_GEN,
    sign: pkcs11js.CKM_ECDSA,
    parameters: Buffer.from('06082a8648ce3d030107', 'hex'),
    spkiHead: Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex'),
  },
  ed25519: {
    keyType: CKK_EC_EDWARDS,
    make: CKM_EC_EDWARDS_KEY_PAIR_GEN,
    sign: CKM_EDDSA,
    // PrintableString "edwards25519".
    parameters: Buffer.from('130c656477617264733235353139', 'hex'),
    spkiHead: Buffer.from('302a300506032b6570032100', 'hex'),
  },
};
const pointBytes: Readonly<Record<CaAlgorithm, number>> = { p256: 65, ed25519: 32 };

export function openToken(config: SignerConfig, { log }: { readonly log: Log }): Token & { close(): void } {
  const token = new TokenSession(config, log);
  const place: KeyPlace = {
    signer: 'pkcs11',
    async make(name, generation, wanted) {
      const algorithm = wanted === 'ed25519' && !(await token.run(({ mechanisms }) => mechanisms.has(CKM_EDDSA))) ? 'p256' : wanted;
      const publicKey = await token.run((session) => makeKeyPair(session, name, generation, algorithm));
      return { signer: signerOf(token, algorithm, publicKey), sealed: null };
    },
    async open(key) {
      const { algorithm, publicKey } = publicPart(key);
      return signerOf(token, algorithm, publicKey);
    },
    async destroy(key) {
      const { algorithm, publicKey } = publicPart(key);
      await token.run((session) => {
        const { api, handle } = session;
        const [own, pub] = [findPrivate(session, algorithm, publicKey), findPublic(session, algorithm, publicKey)];
        api.C_DestroyObject(handle, own);
        if (pub !== undefined) api.C_DestroyObject(handle, pub);
      });
    },
  };
  return { place, cas: config.cas, close: () => token.close() };
}

interface Session {
  readonly api: pkcs11js.PKCS11;
  readonly handle: Handle;
  readonly mechanisms: ReadonlySet<number>;
  /** Private keys by point. */
  readonly keys: Map<string, Handle>;
}

class TokenSession {
  readonly #config: SignerConfig;
  readonly #log: Log;
  #api: pkcs11js.PKCS11 | undefined;
  #session: Session | undefined;
  #refused = false;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(config: SignerConfig, log: Log) {
    this.#config = config;
    this.#log = log;
  }

  /** Runs calls one after the other; retries once if the session has broken. Rejects with CA_SIGNER_UNAVAILABLE. */
  run<T>(use: (session: Session) => T | Promise<T>): Promise<T> {
    const result = this.#queue.then(async () => {
      const fresh = this.#session === undefined;
      try {
        return await use(this.#connect());
      } catch (error) {
        this.#drop();
        if (fresh || error instanceof StenoError) throw unavailable(error);
        this.#log.warn({ err: error }, 'the session with the token broke; opening a new one');
      }
      try {
        return await use(this.#connect());
      } catch (error) {
        this.#drop();
        throw unavailable(error);
      }
    });
    this.#queue = result.catch(() => undefined);
    return result;
  }

  close(): void {
    this.#drop();
  }

  #connect(): Session {
    if (this.#session !== undefined) return this.#session;
    if (this.#refused) throw new StenoError('CA_SIGNER_UNAVAILABLE', 'the token refused the PIN; correct it and start again');
    const { module, token, pin_file } = this.#config;
    const api = this.#api ?? this.#load(module);
    const slot = api.C_GetSlotList(true).find((candidate) => api.C_GetTokenInfo(candidate).label.trimEnd() === token);
    if (slot === undefined) throw new StenoError('CA_SIGNER_UNAVAILABLE', `the token ${JSON.stringify(token)} was not found`);
    const pin = readSecretFile(pin_file, 'CA_SIGNER_CONFIG');
    const handle = api.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
    try {
      api.C_Login(handle, pkcs11js.CKU_USER, pin);
    } catch (error) {
      const code = (error as { code?: number }).code ?? 0;
      if (CKR_PIN.has(code)) this.#refused = true;
      if (code !== CKR_ALREADY_LOGGED_IN) throw error;
    }
    this.#session = { api, handle, mechanisms: new Set(api.C_GetMechanismList(slot)), keys: new Map() };
    return this.#session;
  }

  #load(module: string): pkcs11js.PKCS11 {
    const api = new pkcs11js.PKCS11();
    api.load(module);
    try {
      api.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK });
    } catch (error) {
      if ((error as { code?: number }).code !== CKR_ALREADY_INITIALIZED) throw error;
    }
    this.#api = api;
    return api;
  }

  /** Unloads the library too: some notice a reinserted token only after reinitialization. */
  #drop(): void {
    const api = this.#api;
    this.#session = undefined;
    this.#api = undefined;
    for (const step of [() => api?.C_Finalize(), () => api?.close()]) {
      try {
        step();
      } catch {
        // The session was already broken.
      }
    }
  }
}

function unavailable(error: unknown): StenoError {
  if (error instanceof StenoError) return error;
  return new StenoError('CA_SIGNER_UNAVAILABLE', error instanceof Error ? error.message : String(error), { cause: error });
}

function makeKeyPair({ api, handle }: Session, name: CaName, generation: number, algorithm: CaAlgorithm): KeyObject {
  const { make, keyType, parameters } = curves[algorithm];
  const id = randomBytes(16);
  const label = `steno ${name} ${generation} ${id.toString('hex').slice(0, 8)}`;
  const common: Template = [
    { type: pkcs11js.CKA_TOKEN, value: true },
    { type: pkcs11js.CKA_ID, value: id },
    { type: pkcs11js.CKA_LABEL, value: label },
    { type: pkcs11js.CKA_KEY_TYPE, value: keyType },
  ];
  const { publicKey } = api.C_GenerateKeyPair(
    handle,
    { mechanism: make },
    [
      ...common,
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PUBLIC_KEY },
      { type: pkcs11js.CKA_VERIFY, value: true },
      { type: pkcs11js.CKA_EC_PARAMS, value: parameters },
    ],
    [
      ...common,
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY },
      { type: pkcs11js.CKA_PRIVATE, value: true },
      { type: pkcs11js.CKA_SENSITIVE, value: true },
      { type: pkcs11js.CKA_EXTRACTABLE, value: false },
      { type: pkcs11js.CKA_SIGN, value: true },
    ],
  );
  const [attribute] = api.C_GetAttributeValue(handle, publicKey, [{ type: pkcs11js.CKA_EC_POINT }]);
  return keyFromPoint(algorithm, attribute!.value as Buffer);
}

function signerOf(token: TokenSession, algorithm: CaAlgorithm, publicKey: KeyObject): CaSigner {
  return {
    algorithm,
    publicKey,
    sign: (data) =>
      token.run(async (session) => {
        const { api, handle } = session;
        api.C_SignInit(handle, { mechanism: curves[algorithm].sign }, findPrivate(session, algorithm, publicKey));
        const input = algorithm === 'p256' ? createHash('sha256').update(data).digest() : Buffer.from(data);
        const signature = await api.C_SignAsync(handle, input, Buffer.alloc(128));
        if (signature.length !== 64)
          throw new StenoError('CA_SIGNER_UNAVAILABLE', `the token signed with ${signature.length} bytes instead of 64`);
        return new Uint8Array(signature);
      }),
  };
}

function findPrivate(session: Session, algorithm: CaAlgorithm, publicKey: KeyObject): Handle {
  const { api, handle, keys } = session;
  const point = pointOf(algorithm, publicKey).toString('hex');
  const known = keys.get(point);
  if (known !== undefined) return known;
  const found = findPublic(session, algorithm, publicKey);
  if (found === undefined) throw new StenoError('CA_SIGNER_UNAVAILABLE', 'the key of a CA is not in the token');
  const [id] = api.C_GetAttributeValue(handle, found, [{ type: pkcs11js.CKA_ID }]);
  const [own] = find(session, [
    { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY },
    { type: pkcs11js.CKA_ID, value: id!.value as Buffer },
  ]);
  if (own === undefined) throw new StenoError('CA_SIGNER_UNAVAILABLE', 'the private key of a CA is not in the token');
  keys.set(point, own);
  return own;
}

function findPublic(session: Session, algorithm: CaAlgorithm, publicKey: KeyObject): Handle | undefined {
  const point = pointOf(algorithm, publicKey);
  // PKCS #11 2.40 requires an OCTET STRING wrapper; some tokens store the bare point.
  for (const value of [Buffer.concat([Buffer.of(4, point.length), point]), point]) {
    const [found] = find(session, [
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PUBLIC_KEY },
      { type: pkcs11js.CKA_EC_POINT, value },
    ]);
    if (found !== undefined) return found;
  }
  return undefined;
}

function find({ api, handle }: Session, template: Template): readonly Handle[] {
  api.C_FindObjectsInit(handle, template);
  try {
    return api.C_FindObjects(handle, 4);
  } finally {
    api.C_FindObjectsFinal(handle);
  }
}

function keyFromPoint(algorithm: CaAlgorithm, value: Buffer): KeyObject {
  const length = pointBytes[algorithm];
  const point = value.length === length + 2 && value[0] === 4 && value[1] === length ? value.subarray(2) : value;
  if (point.length !== length) throw new StenoError('CA_SIGNER_UNAVAILABLE', 'the token returned no public point');
  return createPublicKey({ key: Buffer.concat([curves[algorithm].spkiHead, point]), format: 'der', type: 'spki' });
}

function pointOf(algorithm: CaAlgorithm, publicKey: KeyObject): Buffer {
  return publicKey.export({ type: 'spki', format: 'der' }).subarray(curves[algorithm].spkiHead.length);
}

function publicPart(key: CaKey): { readonly algorithm: CaAlgorithm; readonly publicKey: KeyObject } {
  if (key.public.startsWith('-----BEGIN')) {
    return { algorithm: 'p256', publicKey: new X509Certificate(key.public).publicKey };
  }
  const parsed = parsePublicKey(parseAuthorizedLine(key.public).blob);
  if (parsed.kind === 'ed25519') return { algorithm: 'ed25519', publicKey: keyFromPoint('ed25519', Buffer.from(parsed.point)) };
  if (parsed.kind === 'ecdsa' && parsed.curve === 'nistp256')
    return { algorithm: 'p256', publicKey: keyFromPoint('p256', Buffer.from(parsed.point)) };
  throw new StenoError('SEAL_KEY_WRONG', `${key.name} has a key type that no token here supports`);
}
