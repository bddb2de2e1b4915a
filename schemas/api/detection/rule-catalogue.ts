/** Every rule that an analyzer evaluates, built-in ones included, with its hits and its cost. `steno rules ls`, and the page of rules. */
import { z } from 'zod';
import { responseActions } from '../../documents/response-policy.js';
import { endpoint, noAnswer, noBody, noParams, relayedSignedIn } from '../../endpoint/endpoint.js';
import { list, moment, record, texts } from '../../endpoint/fields.js';
import { severities, tiers } from '../../events/rows.js';

/** Rules per report, so that it fits the authority's limit for a body even with the longest texts. */
export const REPORTED_RULES = 100;
/** The most rules that an analyzer evaluates, including built-in ones. */
export const MAX_CATALOGUE = 25_000;

const technique = z.string().regex(/^T[0-9]{4}(\.[0-9]{3})?$/, 'is not a technique of ATT&CK');
const count = z.int().min(0);

export const catalogueFacts = z.strictObject({
  title: z.string().min(1).max(256),
  severity: z.enum(severities),
  tier: z.enum(tiers),
  techniques: z.array(technique).max(64),
  /** The detector that evaluates it: `sigma`, `correlation`, `baseline`, `honey`, ... */
  detector: z.string().min(1).max(64),
  /** Where its definition is: the code of Steno, a file that the analyzer reads, or the authority. */
  origin: z.enum(['program', 'file', 'kept']),
  /** Sessions, events and screen lines that the detector was given since the analyzer started; in the answer, of all analyzers. */
  observations: count,
  /** Milliseconds of evaluation since the analyzer started, estimated from a sample. */
  cost_ms: z.number().min(0).max(Number.MAX_SAFE_INTEGER),
  /** Number of rules that share `cost_ms`, the cost of their whole detector; 1: the cost is this rule's alone. */
  cost_shared_by: z.int().min(1).max(MAX_CATALOGUE),
});
export type CatalogueFacts = z.output<typeof catalogueFacts>;

const reported = z.strictObject({ id: z.string().min(1).max(1024), version: z.int().min(1), hits: count, ...catalogueFacts.shape });
export type CatalogueReport = z.output<typeof reported>;

const catalogueRule = record({
  id: z.string(),
  version: z.int(),
  title: z.string(),
  severity: z.enum(severities),
  tier: z.enum(tiers),
  techniques: texts,
  detector: z.string(),
  origin: catalogueFacts.shape.origin,
  hits: z.int(),
  observations: z.int(),
  cost_ms: z.number(),
  cost_shared_by: z.int(),
  /** Responses to a finding under this authority's policy: the first whose roles match applies. */
  responses: list(record({ action: z.enum(responseActions), roles: texts.nullable() })),
  at: moment,
});
export type CatalogueRule = z.output<typeof catalogueRule>;

export const showCatalogue = endpoint({
  method: 'GET',
  path: '/v1/rule-catalogue',
  summary: 'List every rule that the analyzers evaluate, built-in ones included, with its hits and cost since the analyzers started.',
  admits: ['rule:list', 'viewer'],
  event: 'rule.catalogue',
  params: noParams,
  body: noBody,
  answer: record({
    /** Responses are only recorded, not taken. */
    dry_run: z.boolean(),
    rules: list(catalogueRule),
  }),
  errors: [],
  relayed: relayedSignedIn,
});

export const reportCatalogue = endpoint({
  method: 'PUT',
  path: '/v1/rule-catalogue',
  summary: 'Report the rules that the calling analyzer evaluates. `begins`: forget its earlier reports.',
  admits: ['analyzer'],
  event: 'rule.report_catalogue',
  params: noParams,
  body: z.strictObject({ begins: z.boolean(), rules: z.array(reported).max(REPORTED_RULES) }),
  answer: noAnswer,
  errors: ['TOO_MANY'],
});

export const catalogueEndpoints = [showCatalogue, reportCatalogue] as const;
