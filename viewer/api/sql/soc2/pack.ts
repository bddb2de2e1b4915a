/** Queries for SOC 2, by criterion, each a file. `{from}` and `{to}` stand for the period (schemas/sql/period.ts). Tested in pack.test.ts. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';
import { cc61Sessions } from './cc6-1-sessions.js';
import { cc61Refused } from './cc6-1-refused.js';
import { cc61WhoMayReadRecordings } from './cc6-1-who-may-read-recordings.js';
import { cc62Users } from './cc6-2-users.js';
import { cc62SessionsAfterRemoval } from './cc6-2-sessions-after-removal.js';
import { cc63Approvals } from './cc6-3-approvals.js';
import { cc63RoleChanges } from './cc6-3-role-changes.js';
import { cc63AccessReviews } from './cc6-3-access-reviews.js';
import { cc67FilesMoved } from './cc6-7-files-moved.js';
import { cc72Coverage } from './cc7-2-coverage.js';
import { cc72Gaps } from './cc7-2-gaps.js';
import { cc73Findings } from './cc7-3-findings.js';
import { cc74Locks } from './cc7-4-locks.js';

export const soc2Pack: readonly PackQuery[] = [
  cc61Sessions,
  cc61Refused,
  cc61WhoMayReadRecordings,
  cc62Users,
  cc62SessionsAfterRemoval,
  cc63Approvals,
  cc63RoleChanges,
  cc63AccessReviews,
  cc67FilesMoved,
  cc72Coverage,
  cc72Gaps,
  cc73Findings,
  cc74Locks,
];
