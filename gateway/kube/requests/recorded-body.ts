/**
 * Records the body of a request that changes something, if roles say `recording.bodies: writes`.
 *
 *     JSON of at most 64 KiB      recorded, with redactions
 *     anything else               type, size and SHA-256: protobuf and CBOR name no fields, YAML and compressed bodies are not parsed
 *
 * The values of Secrets are always redacted, and the values of resources that roles list in `recording.redact`: the content of `data`,
 * `stringData` and `binaryData`, in any spelling of these words, each `value` of a JSON patch, and annotations, in which `kubectl apply`
 * and other tools keep a copy of the whole object. Names of keys are kept. A redacted body has no digest, since short values could be
 * guessed from it; if such a body is not JSON, only its type and size are recorded. The body itself passes unchanged. Tested in
 * recorded-body.test.ts and ../bodies.test.ts.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { isMarked } from '#schemas/policy/kubernetes.js';
import type { KubeRequest } from '#schemas/policy/kubernetes.js';
import { MARKER, holdsValues } from '../filter/values.js';

export const MAX_RECORDED_BODY = 65_536;
/** Limit for the recorded JSON: markers may be longer than the values they replace. */
const MAX_WRITTEN = 98_304;
const MAX_DEPTH = 100;

/** Part of the request's event. */
export interface RecordedBody {
  readonly type: string;
  readonly bytes: number;
  /** Lower-case hex; absent if anything is redacted. */
  readonly sha256?: string;
  /** The JSON, redacted. */
  readonly json?: unknown;
  /** The reason why there is no JSON. */
  readonly omitted?: 'too large' | 'too deep' | 'encoded' | 'not JSON' | 'cut off' | 'credential';
  readonly redacted?: true;
}

/** Copies a body as it passes, up to the limit. */
export class BodyCopy {
  readonly #hash: Hash = createHash('sha256');
  #chunks: Buffer[] = [];
  #bytes = 0;

  add(chunk: Buffer): void {
    this.#hash.update(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes <= MAX_RECORDED_BODY) this.#chunks.push(chunk);
    else this.#chunks = [];
  }

  /** `redact`: patterns of resources. Call once. */
  recorded(
    request: KubeRequest,
    { type, encoding, whole }: { readonly type: string; readonly encoding: string | undefined; readonly whole: boolean },
    redact: readonly string[],
  ): RecordedBody {
    const bytes = this.#bytes;
    const size = { type: type.slice(0, 128), bytes };
    const digest = this.#hash.digest('hex');
    // A TokenReview contains the token.
    if (request.group === 'authentication.k8s.io' && request.resource === 'tokenreviews')
      return { ...size, omitted: 'credential', redacted: true };
    const byRequest = isRedacted(request, redact);
    const without = (omitted: NonNullable<RecordedBody['omitted']>): RecordedBody => ({
      ...size,
      omitted,
      ...(byRequest ? { redacted: true } : whole ? { sha256: digest } : {}),
    });
    if (!whole) return without('cut off');
    if (encoding !== undefined && encoding !== 'identity') return without('encoded');
    if (bytes > MAX_RECORDED_BODY) return without('too large');
    const text = Buffer.concat(this.#chunks);
    if (isTooDeep(text)) return without('too deep');
    const parsed = jsonIn(text);
    if (parsed === undefined) return without('not JSON');
    const hides = byRequest || holdsSecret(parsed);
    const json = hides ? redacted(parsed) : parsed;
    if (!isWritable(json)) return hides ? { ...size, omitted: 'too large', redacted: true } : without('too large');
    return { ...size, ...(hides ? { redacted: true } : { sha256: digest }), json };
  }
}

/** Whether the request is about Secrets, or about a resource that matches a pattern. */
function isRedacted(request: KubeRequest, patterns: readonly string[]): boolean {
  return (request.group === '' && request.resource === 'secrets') || isMarked(request, patterns);
}

function jsonIn(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch {
    return undefined;
  }
}

function isWritable(json: unknown): boolean {
  return Buffer.byteLength(JSON.stringify(json)) <= MAX_WRITTEN;
}

/** Whether brackets are nested more than `MAX_DEPTH` deep: code that writes or reads the JSON may be recursive. */
function isTooDeep(text: Buffer): boolean {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const byte = text[at]!;
    if (quoted) {
      if (byte === 0x5c) at += 1;
      else if (byte === 0x22) quoted = false;
    } else if (byte === 0x22) quoted = true;
    else if (byte === 0x5b || byte === 0x7b) depth += 1;
    else if (byte === 0x5d || byte === 0x7d) depth -= 1;
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether the body is or contains a Secret that was sent to another resource, which the API server refuses. */
function holdsSecret(body: unknown): boolean {
  return isObject(body) && (body['kind'] === 'Secret' || (Array.isArray(body['items']) && body['items'].some(holdsSecret)));
}

function redacted(body: unknown): unknown {
  // A JSON patch.
  if (Array.isArray(body))
    return body.map((step) =>
      isObject(step) ? mapped(step, (key, value) => (key.toLowerCase() === 'value' ? hidden(value) : value)) : MARKER,
    );
  if (!isObject(body)) return MARKER;
  return mapped(body, (key, value) => {
    if (holdsValues(key)) return valuesHidden(value);
    if (key.toLowerCase() === 'metadata' && isObject(value))
      return mapped(value, (name, part) => {
        if (name.toLowerCase() === 'annotations') return valuesHidden(part);
        return name.toLowerCase() === 'managedfields' ? hidden(part) : part;
      });
    if (key.toLowerCase() === 'items' && Array.isArray(value)) return value.map(redacted);
    return value;
  });
}

/** Replaces values, keeps keys. */
function valuesHidden(value: unknown): unknown {
  return isObject(value) ? mapped(value, (_, each) => hidden(each)) : hidden(value);
}

/** Null, which removes a value, is not itself a value. */
function hidden(value: unknown): unknown {
  return value === null || value === undefined ? value : MARKER;
}

function mapped(object: Readonly<Record<string, unknown>>, change: (key: string, value: unknown) => unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(key, value)]));
}
