/**
 * Triage: people's decisions about findings. The authority stores them and writes audit rows of the event `finding.triage` whose
 * target is the finding; the state of a finding is that of the row with the highest version.
 *
 * Rows of findings are derived and can be rebuilt; they do not contain decisions (docs/decisions/0095). Ingest accepts these audit
 * rows only from the authority. Tested in stores/events/conformance.ts.
 */
import { z } from 'zod';
import { findingStates } from './rows.js';
import type { FindingRow } from './rows.js';

export const TRIAGE_EVENT = 'finding.triage';

/** `data` of a `finding.triage` row. */
export const triageData = z.strictObject({
  state: z.enum(findingStates),
  /** Counts from 1 for each finding. */
  version: z.int().min(1),
  reason: z.string().max(1024),
});

export interface Triage {
  readonly state: FindingRow['state'];
  /** A user, or `suppression/ID`. */
  readonly by: string;
  readonly at: number;
  readonly reason: string;
}
