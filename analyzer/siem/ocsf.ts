/**
 * Findings as OCSF 1.5 events; a finding that changes gets a new `metadata.uid` for each version. Events and audit rows:
 * schemas/ocsf/rows.ts. Tested in ocsf.test.ts.
 */
import type { FindingRow } from '#schemas/events/rows.js';
import { ocsfDetection } from '#schemas/ocsf/finding.js';
import { whole } from '#schemas/ocsf/rows.js';
import { announcedOf } from '../findings/announcer.js';

export function ocsfFindingRow(row: FindingRow): object {
  const finding = announcedOf(row);
  const event = ocsfDetection(finding, finding.title || row.rule, null, row.at) as { readonly metadata: object };
  return { ...event, metadata: { ...event.metadata, uid: `${row.id} ${row.version} ${row.state}`, log_name: 'findings' }, ...whole(row) };
}
