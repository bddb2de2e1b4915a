/** Suppressions, and analyzers' announcements of new findings. `steno findings suppress|suppressions|unsuppress`. */
import { z } from 'zod';
import { LONGEST_SUPPRESSION_MS, suppressionScope } from '../../documents/suppression.js';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';
import { list, moment, record } from '../../endpoint/fields.js';
import { findingRow } from '../../events/rows.js';

const suppressionId = z.string().regex(/^s-[0-9a-z]{10}$/, 'is not the id of a suppression');

export const suppression = record({
  id: z.string(),
  scope: suppressionScope,
  reason: z.string(),
  created_by: z.string(),
  created_at: moment,
  expires_at: moment,
  /** Number of findings it has suppressed. */
  hits: z.int(),
});
export type Suppression = z.output<typeof suppression>;

export const listSuppressions = endpoint({
  method: 'GET',
  path: '/v1/suppressions',
  summary: 'List suppressions, including those that ended within 90 days.',
  admits: ['finding:read', 'finding:list'],
  event: 'suppression.list',
  params: noParams,
  body: noBody,
  answer: list(suppression),
  errors: [],
});

export const createSuppression = endpoint({
  method: 'POST',
  path: '/v1/suppressions',
  summary: 'Suppress matching new findings, for a time and with a reason. They are stored and counted, but not announced.',
  admits: ['finding:create'],
  event: 'suppression.create',
  params: noParams,
  body: z.strictObject({
    scope: suppressionScope,
    reason: z
      .string()
      .max(1024)
      .refine((text) => text.trim() !== '', 'say why'),
    duration: z.int().min(60_000).max(LONGEST_SUPPRESSION_MS),
  }),
  answer: suppression,
  errors: ['TOO_MANY'],
});

export const deleteSuppression = endpoint({
  method: 'DELETE',
  path: '/v1/suppressions/:name',
  summary: 'End a suppression; findings that it suppressed stay suppressed.',
  admits: ['finding:delete'],
  event: 'suppression.delete',
  params: z.strictObject({ name: suppressionId }),
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

/** A new finding as an analyzer announces it: its row without evidence, and the texts of `data`. */
export const announcedFinding = findingRow
  .pick({
    id: true,
    rule: true,
    rule_version: true,
    severity: true,
    techniques: true,
    session: true,
    user: true,
    node: true,
    login: true,
    at: true,
    offset_ms: true,
  })
  .extend({ title: z.string().max(256), reason: z.string().max(2048), advice: z.string().max(2048), tier: z.string().max(16) });
export type AnnouncedFinding = z.output<typeof announcedFinding>;

export const announceFindings = endpoint({
  method: 'POST',
  path: '/v1/finding-announcements',
  summary: 'Announce new findings, once they are durable. Each counts once, however often an analyzer announces it.',
  admits: ['analyzer'],
  event: 'finding.announce',
  params: noParams,
  body: z.strictObject({ findings: z.array(announcedFinding).min(1).max(30) }),
  /** Number of new findings, and of suppressed ones among them. */
  answer: record({ fresh: z.int(), suppressed: z.int() }),
  errors: [],
});

export const suppressionEndpoints = [listSuppressions, createSuppression, deleteSuppression, announceFindings] as const;
