/** Configuration of an analyzer, as `steno analyzer --config` reads it. Explained in docs/operate.md. */
import { z } from 'zod';
import { parseDuration } from '#schemas/base/duration.js';
import { eventsServer, ingests, memberFields, path } from '#runtime/service/config.js';

const LONGEST_LOOK_BACK_MS = 90 * 86_400_000;

export const analyzerConfig = z.strictObject({
  ...memberFields,
  /** Whose rows are followed: all ingests. */
  ingest: ingests,
  events: eventsServer.optional(),
  /** A folder of Sigma rules beside those that come with Steno; read at the start and on SIGHUP. */
  rules: path.optional(),
  /** Whether the rules that come with Steno are in force. */
  built_in_rules: z.boolean().default(true),
  /** Destinations that everything stored is sent on to, in YAML; read at the start. */
  siem: path.optional(),
  /** What tickets begin with (`OPS` for OPS-17): a session under an access request whose reason names none of them is a finding. None: no ticket is asked for. */
  trackers: z
    .array(z.string().regex(/^[A-Z][A-Z0-9]{0,15}$/, 'is not what tickets begin with, as in OPS'))
    .max(32)
    .default([]),
  /** How far back a start looks for sessions that were not analyzed. */
  look_back: z
    .string()
    .refine((text) => (parseDuration(text) ?? Infinity) <= LONGEST_LOOK_BACK_MS, 'is not a time such as 12h or 7d, up to 90d')
    .default('7d'),
});
export type AnalyzerServiceConfig = z.output<typeof analyzerConfig>;
