/** Cases: sessions, moments, findings and searches that belong together. `steno cases`, the page "Cases". */
import { z } from 'zod';
import { actTakesReason, caseActs, caseChanges, caseItemKinds, caseStates } from '../../documents/case.js';
import { endpoint, noAnswer, noBody, noParams, relayedSignedIn } from '../../endpoint/endpoint.js';
import { list, moment, name, record } from '../../endpoint/fields.js';
import { findingIdPattern } from '../../events/rows.js';
import { MAX_SEARCH } from '../../search/parse.js';
import { noteText, offsetField, sessionId } from './notes.js';

export const MAX_CASES = 10_000;
export const MAX_ITEMS = 500;

const caseId = z.string().regex(/^c-[0-9a-z]{10}$/, 'is not the id of a case');
const itemId = z.string().regex(/^i-[0-9a-z]{12}$/, 'is not the id of something in a case');
const title = z
  .string()
  .max(200)
  .refine((text) => text.trim() !== '', 'is blank');
const summary = z.string().max(8192);
const reason = z.string().max(4096);

export const caseHead = record({
  id: z.string(),
  title: z.string(),
  state: z.enum(caseStates),
  assignee: z.string().nullable(),
  created_by: z.string(),
  created_at: moment,
  updated_at: moment,
  /** Who asked to close it, and why; null unless it is closing or closed. */
  closing: record({ by: z.string(), at: moment, reason: z.string() }).nullable(),
  /** Who signed it off. */
  signed: record({ by: z.string(), at: moment }).nullable(),
  /** Number of items. */
  items: z.int(),
});
export type CaseHead = z.output<typeof caseHead>;

const caseItem = record({
  id: z.string(),
  kind: z.enum(caseItemKinds),
  /** '' for a finding and a search. */
  session: z.string(),
  /** Session time in ms, for a moment. */
  offset: z.number().nullable(),
  /** Id, for a finding. */
  finding: z.string(),
  /** The query, for a search. */
  query: z.string(),
  note: z.string(),
  added_by: z.string(),
  added_at: moment,
});
export type CaseItem = z.output<typeof caseItem>;

const caseEntry = record({ at: moment, by: z.string(), kind: z.enum(caseChanges), text: z.string() });
export type CaseEntry = z.output<typeof caseEntry>;

const caseBook = record({
  head: caseHead,
  summary: z.string(),
  /** In the order in which they were added. */
  items: list(caseItem),
  /** Oldest first. */
  history: list(caseEntry),
});
export type CaseBook = z.output<typeof caseBook>;

const added = { note: noteText.default('') };
const newCaseItem = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('session'), session: sessionId, ...added }),
  z.strictObject({ kind: z.literal('moment'), session: sessionId, offset: offsetField, ...added }),
  z.strictObject({ kind: z.literal('finding'), finding: z.string().regex(findingIdPattern, 'is not the id of a finding'), ...added }),
  z.strictObject({
    kind: z.literal('search'),
    query: z
      .string()
      .max(MAX_SEARCH)
      .refine((text) => text.trim() !== '', 'is blank'),
    ...added,
  }),
]);
export type NewCaseItem = z.output<typeof newCaseItem>;

const params = z.strictObject({ name: caseId });
const update = ['case:update', 'viewer'] as const;

export const createCase = endpoint({
  method: 'POST',
  path: '/v1/cases',
  summary: 'Open a case.',
  admits: ['case:create', 'viewer'],
  relayed: { ...relayedSignedIn, bodyLimit: 65_536 },
  event: 'case.create',
  params: noParams,
  body: z.strictObject({ title, summary: summary.default('') }),
  answer: caseHead,
  errors: ['TOO_MANY'],
});

export const updateCase = endpoint({
  method: 'POST',
  path: '/v1/cases/:name',
  summary: 'Change the title, summary or assignee of a case; only while it is open.',
  admits: update,
  relayed: { ...relayedSignedIn, bodyLimit: 65_536 },
  event: 'case.update',
  params,
  body: z
    .strictObject({ title: title.optional(), summary: summary.optional(), assignee: name.nullable().optional() })
    .refine((fields) => Object.values(fields).some((value) => value !== undefined), 'changes nothing'),
  answer: caseHead,
  errors: ['NOT_FOUND', 'CASE_STATE', 'USER_UNKNOWN'],
});

export const decideCase = endpoint({
  method: 'POST',
  path: '/v1/cases/:name/state',
  summary: 'Investigate, close, sign off, return or reopen a case. The user who asked to close it cannot sign it off.',
  admits: update,
  relayed: { ...relayedSignedIn, bodyLimit: 32_768 },
  event: 'case.state',
  params,
  body: z
    .strictObject({ act: z.enum(caseActs), reason: reason.default('') })
    .refine(({ act, reason: said }) => !actTakesReason(act) || said.trim() !== '', { path: ['reason'], message: 'say why' }),
  answer: caseHead,
  errors: ['NOT_FOUND', 'CASE_STATE', 'CASE_SELF_SIGN'],
});

export const addCaseItems = endpoint({
  method: 'POST',
  path: '/v1/cases/:name/items',
  summary: 'Add sessions, moments, findings and searches to a case; existing items are not added again.',
  admits: update,
  relayed: { ...relayedSignedIn, bodyLimit: 262_144 },
  event: 'case.add',
  params,
  body: z.strictObject({ items: z.array(newCaseItem).min(1).max(50) }),
  answer: list(caseItem),
  errors: ['NOT_FOUND', 'CASE_STATE', 'TOO_MANY'],
});

export const removeCaseItem = endpoint({
  method: 'POST',
  path: '/v1/cases/:name/items/:item/removal',
  summary: 'Remove an item from a case; the history keeps a record of it.',
  admits: update,
  relayed: relayedSignedIn,
  event: 'case.remove',
  params: z.strictObject({ name: caseId, item: itemId }),
  body: z.strictObject({ reason: z.string().max(1024).default('') }),
  answer: noAnswer,
  errors: ['NOT_FOUND', 'CASE_STATE'],
});

export const listCaseHeads = endpoint({
  method: 'GET',
  path: '/v1/case-heads',
  summary: 'List all cases, the last changed first. For viewers, which show them to users who may read cases.',
  admits: ['viewer'],
  event: 'case.list',
  params: noParams,
  body: noBody,
  answer: list(caseHead),
  errors: [],
});

export const readCase = endpoint({
  method: 'GET',
  path: '/v1/case-books/:name',
  summary: 'Show a case with all its items. For viewers, which show the parts that the reader may see.',
  admits: ['viewer'],
  event: 'case.read',
  params,
  body: noBody,
  answer: caseBook,
  errors: ['NOT_FOUND'],
});

export const caseEndpoints = [createCase, updateCase, decideCase, addCaseItems, removeCaseItem, listCaseHeads, readCase] as const;
