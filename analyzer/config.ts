/** Configuration of an analyzer, as `steno analyzer --config` reads it. Explained in docs/operate.md. */
import { z } from 'zod';
import { parseDuration } from '#schemas/base/duration.js';
import { eventsServer, ingests, memberFields, path } from '#runtime/service/config.js';

const LONGEST_LOOK_BACK_MS = 90 * 86_400_000;

export const analyzerConfig = z.strictObject({
  ...memberFields,
  /** The ingests whose rows are followed: all of them. */
  ingest: ingests,
  events: eventsServer.optional(),
  /** A folder of Sigma rules in addition to those that come with Steno; read at the start and on SIGHUP. */
  rules: path.optional(),
  /** Whether the rules that come with Steno are in force. */
  built_in_rules: z.boolean().default(true),
  /** YAML file with the destinations to which all stored rows are sent; read at the start. */
  siem: path.optional(),
  /**
   * Prefixes of tickets (`OPS` for OPS-17): a session under an access request whose reason names no ticket with one of them is a
   * finding. If there are none, tickets are not required.
   */
  trackers: z
    .array(z.string().regex(/^[A-Z][A-Z0-9]{0,15}$/, 'is not what tickets begin with, as in OPS'))
    .max(32)
    .default([]),
  /** How far back the analyzer looks at its start for sessions that were not analyzed. */
  look_back: z
    .string()
    .refine((text) => (parseDuration(text) ?? Infinity) <= LONGEST_LOOK_BACK_MS, 'is not a time such as 12h or 7d, up to 90d')
    .default('7d'),
});
export type AnalyzerServiceConfig = z.output<typeof analyzerConfig>;
