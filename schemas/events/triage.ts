/**
 * Triage: what people decided about findings. The authority keeps it and says so in the audit log, as rows of the event
 * `finding.triage` whose target is the finding; the state of a finding is that of the row with the highest version.
 *
 * Rows of findings are derived and can be rebuilt; what people decided is not among them (docs/decisions/0095). Ingest takes these
 * rows from the authority alone. Tested in stores/events/conformance.ts.
 */
import { z } from 'zod';
import { findingStates } from './rows.js';
import type { FindingRow } from './rows.js';

export const TRIAGE_EVENT = 'finding.triage';

/** `data` of such a row. */
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
