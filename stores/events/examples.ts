/** Complete rows for tests: name the fields that matter, the rest have ordinary values. */
import { noFacts } from '#schemas/events/rows.js';
import type { AuditRow, EventRow, FindingRow, ScreenRow, SessionRow } from '#schemas/events/rows.js';

const digits = '0123456789abcdefghjkmnpqrstvwxyz';

/** A session id; ids sort as their `n`, from 0 to 32^3 - 1. */
export function exampleSession(n: number): string {
  return `01jd${'0'.repeat(19)}${digits[n >> 10]}${digits[(n >> 5) & 31]}${digits[n & 31]}`;
}

export const exampleStart = Date.UTC(2026, 0, 31, 12);

export function exampleSessionRow(row: Partial<SessionRow> = {}): SessionRow {
  return {
    session: exampleSession(1),
    version: 1,
    kind: 'shell',
    user: 'alice',
    roles: ['operator', "on-call, it's"],
    node: 'web-3',
    login: 'root',
    gateway: 'gw-1',
    counter: 1,
    source_address: '192.0.2.7',
    client_version: 'SSH-2.0-OpenSSH_9.2',
    certificate_serial: '18446744073709551615',
    certificate_key_id: 'alice@steno',
    command: '',
    tty: true,
    cols: 80,
    rows: 24,
    started_at: exampleStart,
    ended_at: null,
    state: 'live',
    exit_code: null,
    exit_signal: null,
    bytes_in: 0,
    bytes_out: 0,
    blocks: 0,
    recording_bytes: 0,
    stored_bytes: 0,
    chain_head: '',
    request_id: '',
    cluster: '',
    namespace: '',
    pod: '',
    container: '',
    image: '',
    labels: { env: 'prod', "it's": 'a "label"' },
    labels_known: true,
    ...row,
  };
}

export function exampleEventRow(row: Partial<EventRow> = {}): EventRow {
  return {
    session: exampleSession(1),
    source: 'recording',
    emitter: '',
    block: 0,
    index: 0,
    at: exampleStart,
    offset_ms: 0,
    kind: 'sftp',
    user: 'alice',
    node: 'web-3',
    login: 'root',
    ...noFacts,
    ...row,
  };
}

export function exampleScreenRow(row: Partial<ScreenRow> = {}): ScreenRow {
  return {
    session: exampleSession(1),
    block: 0,
    index: 0,
    at: exampleStart,
    offset_ms: 0,
    row: 0,
    text: '',
    user: 'alice',
    node: 'web-3',
    login: 'root',
    ...row,
  };
}

export function exampleAuditRow(row: Partial<AuditRow> = {}): AuditRow {
  return {
    id: 'a1',
    at: exampleStart,
    event: 'session.start',
    actor: 'alice',
    target: 'web-3',
    outcome: 'success',
    code: '',
    reason: '',
    source_address: '192.0.2.7',
    session: '',
    node: 'web-3',
    login: 'root',
    data: '{}',
    ...row,
  };
}

export function exampleFindingRow(row: Partial<FindingRow> = {}): FindingRow {
  return {
    id: 'f1',
    version: 1,
    rule: 'shadow-read',
    rule_version: 3,
    severity: 'high',
    techniques: ['T1003.008'],
    session: exampleSession(1),
    user: 'alice',
    node: 'web-3',
    login: 'root',
    at: exampleStart,
    offset_ms: 1500,
    row: 4,
    evidence: [`${exampleSession(1)}:kernel:agent/web-3:1.2`],
    state: 'open',
    dedup_key: 'shadow-read web-3',
    data: '{}',
    ...row,
  };
}
