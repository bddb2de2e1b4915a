/**
 * Objects in a bucket of S3 or of a server that speaks its protocol.
 *
 * The service guarantees that a PutObject is atomic and durable; no multipart upload is used, so nothing is left dangling.
 * Every put carries Content-MD5, so a body damaged on the way is refused. The newer checksum trailers are off unless the
 * service requires them, since simple servers do not support them.
 *
 * Limits: an object has at most 5 GiB. `ifAbsent` asks the service to create exclusively (`If-None-Match: *`); with a server
 * that does not support the condition, there is a window between the check and the put (see the contract).
 * Tested in `s3.test.ts` against a real server and by `conformance.ts`.
 */
import { createHash } from 'node:crypto';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { StenoError } from '#schemas/base/errors.js';
import { checkKey, checkPrefix, checkRange } from './contract.js';
import type { ByteRange, ObjectEntry, ObjectStore, PutOptions } from './contract.js';

export interface S3Options {
  readonly bucket: string;
  /** Literal prefix of every key: `steno/` makes a folder. Default ''. */
  readonly prefix?: string | undefined;
  /** For servers other than AWS. */
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  /** `host/bucket/key` instead of `bucket.host/key`; most servers other than AWS need this. */
  readonly forcePathStyle?: boolean | undefined;
  /** If omitted, the SDK looks in its usual places (environment, profile, instance role). */
  readonly credentials?:
    | {
        readonly accessKeyId: string;
        readonly secretAccessKey: string;
        readonly sessionToken?: string | undefined;
      }
    | undefined;
  /** Attempts of one call before STORE_UNAVAILABLE, 1 to 10; default 3. */
  readonly attempts?: number | undefined;
}

const connectionTimeoutMs = 5_000;
const requestTimeoutMs = 60_000;

/** Opens an existing bucket. Errors: BAD_REQUEST, STORE_UNAVAILABLE (also if there is no such bucket). */
export async function openS3Store(options: S3Options): Promise<ObjectStore> {
  const prefix = checkPrefix(options.prefix ?? '');
  const attempts = options.attempts ?? 3;
  if (!Number.isInteger(attempts) || attempts < 1 || attempts > 10) throw new StenoError('BAD_REQUEST', 'attempts: 1 to 10');
  const { credentials } = options;
  const client = new S3Client({
    region: options.region ?? 'us-east-1',
    forcePathStyle: options.forcePathStyle ?? false,
    maxAttempts: attempts,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: connectionTimeoutMs, requestTimeout: requestTimeoutMs, throwOnRequestTimeout: true },
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    ...(credentials === undefined
      ? {}
      : {
          credentials: {
            accessKeyId: credentials.accessKeyId,
            secretAccessKey: credentials.secretAccessKey,
            ...(credentials.sessionToken === undefined ? {} : { sessionToken: credentials.sessionToken }),
          },
        }),
  });
  const store = new S3Store(client, options.bucket, prefix);
  try {
    await store.probe();
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

class S3Store implements ObjectStore {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  #closed = false;

  constructor(client: S3Client, bucket: string, prefix: string) {
    this.#client = client;
    this.#bucket = bucket;
    this.#prefix = prefix;
  }

  /** Detects a wrong bucket, address or credential at the start rather than at the first recording. */
  async probe(): Promise<void> {
    try {
      await this.#client.send(new ListObjectsV2Command({ Bucket: this.#bucket, Prefix: this.#prefix, MaxKeys: 1 }));
    } catch (error) {
      throw translate(error, `bucket ${this.#bucket}`);
    }
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    const name = this.#name(key);
    try {
      if (options.ifAbsent !== true) return await this.#send(name, bytes, false);
      if (await this.#exists(name, key, bytes)) return;
      try {
        await this.#send(name, bytes, true);
      } catch (error) {
        // 412: created meanwhile, by another writer or by an earlier attempt whose response was lost. 409: being created.
        if ((status(error) === 412 || status(error) === 409) && (await this.#exists(name, key, bytes))) return;
        // 501: the server does not support the condition.
        if (status(error) !== 501) throw error;
        await this.#send(name, bytes, false);
      }
    } catch (error) {
      throw translate(error, key);
    }
  }

  async get(key: string, range?: ByteRange): Promise<Uint8Array> {
    const name = this.#name(key);
    if (range !== undefined) checkRange(range);
    try {
      if (range?.length === 0) {
        await this.size(key);
        return new Uint8Array();
      }
      const { Body } = await this.#client.send(
        new GetObjectCommand({
          Bucket: this.#bucket,
          Key: name,
          ...(range === undefined ? {} : { Range: `bytes=${range.offset}-${range.offset + range.length - 1}` }),
        }),
      );
      if (Body === undefined) return new Uint8Array();
      const bytes = await Body.transformToByteArray();
      // A server may answer an impossible range, or a range it does not support, with the whole object.
      if (range !== undefined && bytes.length > range.length) throw new StenoError('STORE_UNAVAILABLE', 'the server ignores ranges');
      return bytes;
    } catch (error) {
      // The range begins at or after the end, as every range of an empty object does.
      if (range !== undefined && status(error) === 416) return new Uint8Array();
      throw translate(error, key);
    }
  }

  async size(key: string): Promise<number> {
    const name = this.#name(key);
    try {
      const { ContentLength } = await this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: name }));
      return ContentLength ?? 0;
    } catch (error) {
      throw translate(error, key);
    }
  }

  async *list(prefix: string): AsyncIterable<ObjectEntry> {
    checkPrefix(prefix);
    this.#requireOpen();
    let token: string | undefined;
    do {
      const page = await this.#client
        .send(
          new ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix: this.#prefix + prefix,
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
        )
        .catch((error: unknown) => {
          throw translate(error, prefix);
        });
      for (const { Key, Size } of page.Contents ?? []) {
        if (Key !== undefined) yield { key: Key.slice(this.#prefix.length), size: Size ?? 0 };
      }
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async delete(key: string): Promise<void> {
    const name = this.#name(key);
    try {
      await this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: name }));
    } catch (error) {
      const translated = translate(error, key);
      if (translated.code !== 'STORE_NOT_FOUND') throw translated;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#client.destroy();
  }

  async #send(name: string, bytes: Uint8Array, exclusive: boolean): Promise<void> {
    await this.#client.send(
      new PutObjectCommand({
        Bucket: this.#bucket,
        Key: name,
        Body: bytes,
        ContentLength: bytes.length,
        ContentMD5: createHash('md5').update(bytes).digest('base64'),
        ...(exclusive ? { IfNoneMatch: '*' } : {}),
      }),
    );
  }

  /** Whether the object exists with these bytes; throws STORE_CONFLICT if it has others. */
  async #exists(name: string, key: string, bytes: Uint8Array): Promise<boolean> {
    try {
      const { ContentLength } = await this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: name }));
      if (ContentLength !== bytes.length) throw new StenoError('STORE_CONFLICT', key);
      const { Body } = await this.#client.send(new GetObjectCommand({ Bucket: this.#bucket, Key: name }));
      const existing = Body === undefined ? new Uint8Array() : await Body.transformToByteArray();
      if (!Buffer.from(existing.buffer, existing.byteOffset, existing.byteLength).equals(bytes))
        throw new StenoError('STORE_CONFLICT', key);
      return true;
    } catch (error) {
      if (status(error) === 404) return false;
      throw error;
    }
  }

  #name(key: string): string {
    checkKey(key);
    this.#requireOpen();
    return this.#prefix + key;
  }

  #requireOpen(): void {
    if (this.#closed) throw new StenoError('STORE_UNAVAILABLE', 'the object store is closed');
  }
}

function status(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
}

/** The SDK's message may quote the request, so only the service's code and status are kept. */
function translate(error: unknown, key: string): StenoError {
  if (error instanceof StenoError) return error;
  // A missing bucket must not look like missing objects.
  const bucketGone = error instanceof S3ServiceException && error.name === 'NoSuchBucket';
  if (status(error) === 404 && !bucketGone) return new StenoError('STORE_NOT_FOUND', key, { cause: error });
  const reason =
    error instanceof S3ServiceException ? `${error.name} ${status(error) ?? ''}`.trim() : error instanceof Error ? error.name : 'failed';
  return new StenoError('STORE_UNAVAILABLE', `${reason}: ${key}`, { cause: error });
}
