/** Detection rules stored by the authority: `steno rules add|ls|show|enable|disable|rm`. */
import { z } from 'zod';
import { ruleDocument, ruleId, ruleOrigin, ruleStates } from '../../documents/detection-rule.js';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';
import { list, moment, record } from '../../endpoint/fields.js';

const facts = {
  id: z.string(),
  kind: ruleDocument.shape.kind,
  title: z.string(),
  level: ruleDocument.shape.level,
  version: z.int(),
  enabled: z.boolean(),
  origin: ruleOrigin,
  updated_by: z.string(),
  updated_at: moment,
};

/** An analyzer's report about the version in force; `hits`: detections since that analyzer started. */
const analyzed = record({ version: z.int(), state: z.enum(ruleStates), detail: z.string(), hits: z.int(), at: moment });

const ruleInfo = record({ ...facts, analyzed: analyzed.nullable() });
export type RuleInfo = z.output<typeof ruleInfo>;

const ruleDetail = record({
  ...facts,
  text: z.string(),
  analyzed: analyzed.nullable(),
  /** Newest first. */
  versions: list(record({ version: z.int(), by: z.string(), at: moment, origin: ruleOrigin, text: z.string() })),
});
export type RuleDetail = z.output<typeof ruleDetail>;

const params = z.strictObject({ name: ruleId });

export const listRules = endpoint({
  method: 'GET',
  path: '/v1/rules',
  summary: 'List detection rules, without their texts.',
  admits: ['rule:list'],
  event: 'rule.list',
  params: noParams,
  body: noBody,
  answer: list(ruleInfo),
  errors: [],
});

export const showRule = endpoint({
  method: 'GET',
  path: '/v1/rules/:name',
  summary: 'Show a detection rule, with the text of each version.',
  admits: ['rule:read'],
  event: 'rule.show',
  params,
  body: noBody,
  answer: ruleDetail,
  errors: ['NOT_FOUND'],
});

export const putRules = endpoint({
  method: 'POST',
  path: '/v1/rules',
  summary: 'Add or change detection rules, all of them or none. An unchanged text does not create a version.',
  admits: ['rule:create', 'rule:update'],
  event: 'rule.put',
  params: noParams,
  body: z.strictObject({ rules: z.array(ruleDocument).min(1).max(100), enabled: z.boolean().default(true) }),
  answer: list(record({ id: z.string(), version: z.int(), change: z.enum(['added', 'changed', 'unchanged']) })),
  errors: ['TOO_MANY'],
});

export const enableRule = endpoint({
  method: 'PUT',
  path: '/v1/rules/:name/enabled',
  summary: 'Enable or disable a detection rule.',
  admits: ['rule:update'],
  event: 'rule.enable',
  params,
  body: z.strictObject({ enabled: z.boolean() }),
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

export const deleteRule = endpoint({
  method: 'DELETE',
  path: '/v1/rules/:name',
  summary: 'Delete a detection rule with its versions; the audit log keeps the text of the last one.',
  admits: ['rule:delete'],
  event: 'rule.delete',
  params,
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

export const readRuleSet = endpoint({
  method: 'POST',
  path: '/v1/rule-set',
  summary:
    'List the rules in force, in the order of their ids, after a given one. `version` changes with any rule, and the watch announces it.',
  admits: ['analyzer'],
  event: 'rule.read_set',
  params: noParams,
  body: z.strictObject({ after: z.union([z.literal(''), ruleId]) }),
  answer: record({
    version: z.int(),
    rules: list(record({ id: z.string(), version: z.int(), text: z.string() })),
    /** Pass as `after`; null at the end. */
    next: z.string().nullable(),
  }),
  errors: [],
});

export const reportRules = endpoint({
  method: 'PUT',
  path: '/v1/rule-states',
  summary: 'Report an analyzer’s results for the rules in force.',
  admits: ['analyzer'],
  event: 'rule.report',
  params: noParams,
  body: z.strictObject({
    rules: z
      .array(
        z.strictObject({
          id: ruleId,
          version: z.int().min(1),
          state: z.enum(ruleStates),
          detail: z.string().max(512),
          hits: z.int().min(0),
        }),
      )
      .max(500),
  }),
  answer: noAnswer,
  errors: [],
});

export const ruleEndpoints = [listRules, showRule, putRules, enableRule, deleteRule, readRuleSet, reportRules] as const;
