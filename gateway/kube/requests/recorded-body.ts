/**
 * What is recorded of the body of a request that changes something, where roles say `recording.bodies: writes`.
 *
 *     JSON of at most 64 KiB      as it is, but for what is redacted
 *     anything else               its type, size and SHA-256: protobuf and CBOR name no fields, YAML and compressed bodies are not read
 *
 * Redacted are the values of Secrets always, and of the resources that roles list in `recording.redact`: whatever stands in `data`, `stringData`
 * and `binaryData`, in any spelling of these words, each `value` of a JSON patch, and annotations, in which `kubectl apply` and others keep a
 * copy of all of it. Names of keys stay. Of such a body there is no digest either, since short values can be guessed by one; of what is not JSON
 * there is only type and size then. The body passes on as it came. Tested in recorded-body.test.ts and ../bodies.test.ts.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { isMarked } from '#schemas/policy/kubernetes.js';
import type { KubeRequest } from '#schemas/policy/kubernetes.js';
import { MARKER, holdsValues } from '../filter/values.js';

export const MAX_RECORDED_BODY = 65_536;
/** Of what is written: markers may be longer than what they stand for. */
const MAX_WRITTEN = 98_304;
const MAX_DEPTH = 100;

/** In the event of the request. */
export interface RecordedBody {
  readonly type: string;
  readonly bytes: number;
  /** Lower-case hex; left out where something is redacted. */
  readonly sha256?: string;
  /** The JSON, redacted. */
  readonly json?: unknown;
  /** Why there is no JSON. */
  readonly omitted?: 'too large' | 'too deep' | 'encoded' | 'not JSON' | 'cut off' | 'credential';
  readonly redacted?: true;
}

/** A body as it passes: nothing beyond the limit is kept. */
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
    // A review of a token holds the token.
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

/** Of Secrets, and of resources with a pattern. */
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

/** Whether brackets are open within more than `MAX_DEPTH` others: whoever writes or reads it may do so by recursion. */
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

/** A Secret sent elsewhere than to its own resource, which the API server refuses. */
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

/** Keys stay. */
function valuesHidden(value: unknown): unknown {
  return isObject(value) ? mapped(value, (_, each) => hidden(each)) : hidden(value);
}

/** That a value is taken away is no value. */
function hidden(value: unknown): unknown {
  return value === null || value === undefined ? value : MARKER;
}

function mapped(object: Readonly<Record<string, unknown>>, change: (key: string, value: unknown) => unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(key, value)]));
}
