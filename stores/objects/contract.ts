/**
 * The contract of an object store: immutable bytes under names.
 *
 * Steno's acknowledgements depend on `put`: once it resolves, the bytes survive a crash of the process or machine and a
 * power cut, as far as the disk or service keeps its promises. Every adapter passes `conformance.ts`.
 */
import { StenoError } from '#schemas/base/errors.js';

export interface ByteRange {
  /** First byte, from 0. */
  readonly offset: number;
  /** At most this many bytes; fewer are returned if the object ends first, none at or after its end. */
  readonly length: number;
}

export interface PutOptions {
  /**
   * Refuse to replace: if an object of the same name exists, the same bytes are success (so a retry is harmless) and
   * other bytes are STORE_CONFLICT. Exact if the engine can create exclusively (a directory, S3 with conditional
   * writes); on S3 servers that ignore `If-None-Match`, two simultaneous writers may both succeed, so a key must have
   * one writer at a time.
   */
  readonly ifAbsent?: boolean;
}

export interface ObjectEntry {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * Errors, the same for every operation:
 * - BAD_REQUEST: the key or range is invalid, which is the caller's fault.
 * - STORE_NOT_FOUND: the object does not exist.
 * - STORE_CONFLICT: `ifAbsent` was given, and the object exists with other bytes.
 * - STORE_UNAVAILABLE: the engine failed or did not answer. Whether a write was done is unknown; the same call
 *   may be repeated until it succeeds.
 *
 * A key may not also be the folder of another (`a` and `a/b`): a directory cannot hold both.
 */
export interface ObjectStore {
  /**
   * Writes one object. Durable when it resolves. Atomic: readers see the previous object (or none) or the complete new one,
   * whenever the writer dies. Idempotent. The bytes must not be changed during the call.
   */
  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<void>;
  /** Reads an object or a range of it into memory. */
  get(key: string, range?: ByteRange): Promise<Uint8Array>;
  /** Bytes. */
  size(key: string): Promise<number>;
  /**
   * Every object whose key begins with the prefix (any text, not only whole folders), in ascending order of
   * the key's bytes. Objects put or deleted meanwhile may or may not appear; no other is missed or repeated.
   */
  list(prefix: string): AsyncIterable<ObjectEntry>;
  /** Durable when it resolves. Deleting what does not exist is success. */
  delete(key: string): Promise<void>;
  /** Releases the adapter's resources. Later calls are refused. */
  close(): Promise<void>;
}

const maximumKeyLength = 512;
const keyPattern = /^[a-z0-9_-][a-z0-9._-]*(\/[a-z0-9_-][a-z0-9._-]*)*$/;
const prefixPattern = /^([a-z0-9_-][a-z0-9._-]*\/)*([a-z0-9_-][a-z0-9._-]*)?$/;

/**
 * Returns the key, or throws BAD_REQUEST. Segments of `[a-z0-9._-]` joined by `/`, at most 512 characters; no
 * segment is empty or begins with a dot, so `..`, absolute paths and hidden files cannot be written.
 */
export function checkKey(key: string): string {
  if (key.length > maximumKeyLength || !keyPattern.test(key)) {
    throw new StenoError('BAD_REQUEST', `not an object key: ${JSON.stringify(key.slice(0, 80))}`);
  }
  return key;
}

/** Returns the prefix, or throws BAD_REQUEST. A prefix is the beginning of a key, or ''. */
export function checkPrefix(prefix: string): string {
  if (prefix.length > maximumKeyLength || !prefixPattern.test(prefix)) {
    throw new StenoError('BAD_REQUEST', `not an object prefix: ${JSON.stringify(prefix.slice(0, 80))}`);
  }
  return prefix;
}

/** Returns the range, or throws BAD_REQUEST: integers from 0 to 2^53 - 1. */
export function checkRange(range: ByteRange): ByteRange {
  const { offset, length } = range;
  if (
    !Number.isSafeInteger(offset) ||
    !Number.isSafeInteger(length) ||
    offset < 0 ||
    length < 0 ||
    !Number.isSafeInteger(offset + length)
  ) {
    throw new StenoError('BAD_REQUEST', 'not a byte range');
  }
  return range;
}

/** The result of `read`, or null if the object does not exist. Other failures are thrown. */
export async function unlessMissing<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof StenoError && error.code === 'STORE_NOT_FOUND') return null;
    throw error;
  }
}
