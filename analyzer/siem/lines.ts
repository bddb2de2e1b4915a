/** Converts rows into lines for sending. Tested in ocsf.test.ts. */
import type { AuditRow, EventRow, EventTables, FindingRow } from '#schemas/events/rows.js';
import { ocsfAudit, ocsfEvent } from '#schemas/ocsf/rows.js';
import type { ChangeTable } from '#stores/events/contract.js';
import { ocsfFindingRow } from './ocsf.js';
import type { Line } from './sending.js';

/** Syslog severities. */
const CRITICAL = 2;
const ERROR = 3;
const WARNING = 4;
const NOTICE = 5;
const INFORMATIONAL = 6;
const levels: Readonly<Record<FindingRow['severity'], number>> = {
  info: INFORMATIONAL,
  low: NOTICE,
  medium: WARNING,
  high: ERROR,
  critical: CRITICAL,
};

const eventLine = (row: EventRow): Line => ({
  json: JSON.stringify(ocsfEvent(row)),
  level: row.kind === 'gap' || row.kind === 'escape' ? WARNING : INFORMATIONAL,
  at: row.at,
  node: row.node,
  kind: `events.${row.kind}`,
});

const auditLine = (row: AuditRow): Line => ({
  json: JSON.stringify(ocsfAudit(row)),
  level: row.outcome === 'success' ? NOTICE : WARNING,
  at: row.at,
  node: row.node,
  kind: `audit.${row.event}`,
});

const findingLine = (row: FindingRow): Line => ({
  json: JSON.stringify(ocsfFindingRow(row)),
  level: levels[row.severity],
  at: row.at,
  node: row.node,
  kind: 'findings.finding',
});

export function linesOf<T extends ChangeTable>(table: T, rows: readonly EventTables[T][]): readonly Line[] {
  switch (table) {
    case 'events':
      return (rows as readonly EventRow[]).map(eventLine);
    case 'audit':
      return (rows as readonly AuditRow[]).map(auditLine);
    default:
      return (rows as readonly FindingRow[]).map(findingLine);
  }
}
