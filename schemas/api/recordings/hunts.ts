/** Retro-hunts: rules over every stored event that the caller may view. `steno hunt`. */
import { z } from 'zod';
import { noParams, noQuery, viewerEndpoint } from '../../endpoint/endpoint.js';

/** Most bytes of Sigma documents in one hunt. */
export const MAX_HUNT_RULES = 1 << 20;

const moment = z.int().min(0).max(7_258_118_400_000);

const huntRequest = z.strictObject({
  rules: z.discriminatedUnion('kind', [
    /** Sigma documents. */
    z.strictObject({ kind: z.literal('text'), name: z.string().min(1).max(255), text: z.string().min(1).max(MAX_HUNT_RULES) }),
    /** A rule that comes with Steno, by its id; `*`: every one. */
    z.strictObject({ kind: z.literal('id'), id: z.string().min(1).max(255) }),
  ]),
  from: moment.optional(),
  /** Exclusive. */
  to: moment.optional(),
  /** Examples per rule. */
  examples: z.int().min(0).max(100).default(5),
});
export type HuntRequest = z.output<typeof huntRequest>;

export interface HuntExample {
  readonly at: number;
  readonly session: string;
  readonly offset_ms: number;
  readonly kind: string;
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly path: string;
  readonly name: string;
  readonly address: string;
}

/** The matches of one rule. */
export interface HuntMatches {
  readonly count: number;
  /** Matches in sessions for which the store has no finding of a rule with this id. */
  readonly fresh: number;
  /** Findings of a rule with this id in the range: those that a match confirms, and those without a match. */
  readonly findings: { readonly kept: number; readonly gone: number };
  /** Days of UTC with matches, as in `2026-11-29`. */
  readonly days: readonly { readonly day: string; readonly count: number }[];
  /** The earliest matches. */
  readonly examples: readonly HuntExample[];
  /** Why the count is incomplete; null if it is complete. */
  readonly failure: { readonly code: string; readonly detail: string } | null;
}

export interface HuntedRule extends HuntMatches {
  readonly id: string;
  readonly title: string;
  readonly level: string;
}

/** One line of the answer. The last is `result` or `error`; an answer without either was cut off. */
export type HuntLine =
  | {
      readonly kind: 'rules';
      readonly rules: number;
      readonly lacking: readonly { readonly title: string; readonly missing: readonly string[] }[];
    }
  /** `done`: from 0 to 1. */
  | { readonly kind: 'progress'; readonly done: number; readonly matches: number }
  | {
      readonly kind: 'result';
      readonly range: { readonly from: number; readonly to: number } | null;
      readonly rules: readonly HuntedRule[];
    }
  | { readonly kind: 'error'; readonly code: string; readonly detail: string };

export const huntRules = viewerEndpoint({
  method: 'POST',
  path: '/api/hunts',
  summary:
    'Search stored events that the caller may view for matches of rules: JSON lines with progress, then the result. To cancel, close the connection.',
  admits: ['user'],
  params: noParams,
  query: noQuery,
  body: huntRequest,
  media: 'application/x-ndjson',
  answer: z.void(),
  errors: ['RULE_INVALID', 'RULES_TOO_LARGE', 'NOT_FOUND', 'TOO_MANY', 'QUERY_TOO_HEAVY'],
});
