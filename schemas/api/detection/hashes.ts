/**
 * Lists of known-good executables by SHA-256. `steno hashes import|ls|rm`.
 *
 * A list is uploaded in pieces, since it exceeds the limit of a body, and is in force once its import is finished:
 *
 *     piece 1, 2, ... n (in any order, repeatable) ──► finish ──► in force; replaces the previous import of that name
 */
import { z } from 'zod';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';
import { base64, list, moment, name, record } from '../../endpoint/fields.js';

/** Length of a SHA-256, in bytes. */
export const HASH_BYTES = 32;
/** Hashes per piece: 171 KB of base64, below the authority's limit for a body. */
export const PIECE_HASHES = 4_000;
/** Most hashes over all lists: an analyzer holds them in memory, 32 bytes each. */
export const MAX_HASHES = 500_000;
export const MAX_PIECES = MAX_HASHES / PIECE_HASHES;
export const MAX_LISTS = 50;

/** Chosen by the client: distinguishes the pieces of one import from those of another with the same name. */
const importId = z.string().regex(/^[0-9a-f]{16}$/, 'is not the id of an import');
const piece = z.int().min(1).max(MAX_PIECES);
const params = z.strictObject({ name });

const hashList = record({
  name: z.string(),
  count: z.int(),
  /** SHA-256 over the hashes as bytes, in ascending order; depends only on the hashes, not on the file. */
  digest: z.string(),
  /** Name of the file that was imported. */
  file: z.string(),
  created_by: z.string(),
  created_at: moment,
});
export type HashList = z.output<typeof hashList>;

export const listHashLists = endpoint({
  method: 'GET',
  path: '/v1/hash-lists',
  summary: 'Show the lists of known-good executables, without their hashes.',
  admits: ['rule:list'],
  event: 'hashes.list',
  params: noParams,
  body: noBody,
  answer: list(hashList),
  errors: [],
});

export const putHashPiece = endpoint({
  method: 'PUT',
  path: '/v1/hash-lists/:name/pieces',
  summary:
    'Upload one piece of an import of known-good hashes. Nothing is in force before the import is finished; an unfinished import is deleted after a day.',
  admits: ['rule:create', 'rule:update'],
  event: 'hashes.piece',
  params,
  /** `hashes`: concatenated bytes of SHA-256, ascending; every piece but the last is full. */
  body: z.strictObject({ import: importId, piece, hashes: base64(44, Math.ceil((PIECE_HASHES * HASH_BYTES) / 3) * 4) }),
  answer: noAnswer,
  errors: ['TOO_MANY'],
});

export const finishHashImport = endpoint({
  method: 'POST',
  path: '/v1/hash-lists/:name',
  summary: 'Put an import of known-good hashes in force, replacing the list of the same name.',
  admits: ['rule:create', 'rule:update'],
  event: 'hashes.import',
  params,
  body: z.strictObject({ import: importId, pieces: piece, file: z.string().max(255) }),
  answer: hashList,
  errors: ['NOT_FOUND', 'TOO_MANY'],
});

export const deleteHashList = endpoint({
  method: 'DELETE',
  path: '/v1/hash-lists/:name',
  summary: 'Remove a list of known-good executables.',
  admits: ['rule:delete'],
  event: 'hashes.remove',
  params,
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

export const readHashLists = endpoint({
  method: 'POST',
  path: '/v1/hash-set',
  summary: 'Show every list of known-good hashes in force. `version` is that of the rules, which changes with any list.',
  admits: ['analyzer'],
  event: 'hashes.read_set',
  params: noParams,
  body: noBody,
  answer: record({ version: z.int(), lists: list(record({ name: z.string(), import: z.string(), pieces: z.int() })) }),
  errors: [],
});

export const readHashPiece = endpoint({
  method: 'POST',
  path: '/v1/hash-set/piece',
  summary: 'Get one piece of a list in force.',
  admits: ['analyzer'],
  event: 'hashes.read_piece',
  params: noParams,
  body: z.strictObject({ name, import: importId, piece }),
  answer: record({ hashes: z.string() }),
  errors: ['NOT_FOUND'],
});

export const hashEndpoints = [listHashLists, putHashPiece, finishHashImport, deleteHashList, readHashLists, readHashPiece] as const;
