/**
 * Rows of the event store as events of OCSF 1.5, each with the whole row under `unmapped.steno`, so that nothing is left out. Pure.
 *
 * `metadata.uid` identifies the row, also if it is delivered twice. Tested in
 * analyzer/siem/ocsf.test.ts.
 */
import { eventId } from '../events/rows.js';
import type { AuditRow, EventRow, FindingRow } from '../events/rows.js';
import type { EventKind } from '../events/kinds.js';
import { OCSF_VERSION, ocsfProduct } from './finding.js';

type Fields = Readonly<Record<string, unknown>>;
interface Class {
  readonly category: readonly [uid: number, name: string];
  readonly class: readonly [uid: number, name: string];
  readonly activity: readonly [id: number, name: string];
}

const system = [1, 'System Activity'] as const;
const network = [4, 'Network Activity'] as const;
const application = [6, 'Application Activity'] as const;
const process = [1007, 'Process Activity'] as const;
const files = [1001, 'File System Activity'] as const;
const connection = [4001, 'Network Activity'] as const;
const other = [99, 'Other'] as const;
const base: Class = { category: [0, 'Uncategorized'], class: [0, 'Base Event'], activity: other };

/** Kinds without an OCSF class become base events; `event_code` has their name. */
const classes: Readonly<Partial<Record<EventKind, Class>>> = {
  exec: { category: system, class: process, activity: [1, 'Launch'] },
  exit: { category: system, class: process, activity: [2, 'Terminate'] },
  fork: { category: system, class: process, activity: other },
  file: { category: system, class: files, activity: other },
  sftp: { category: system, class: files, activity: other },
  connect: { category: network, class: connection, activity: [1, 'Open'] },
  accept: { category: network, class: connection, activity: [1, 'Open'] },
  listen: { category: network, class: connection, activity: [7, 'Listen'] },
  send: { category: network, class: connection, activity: [6, 'Traffic'] },
  forward: { category: network, class: connection, activity: other },
  dns: { category: network, class: [4003, 'DNS Activity'], activity: [1, 'Query'] },
  login: { category: [3, 'Identity & Access Management'], class: [3002, 'Authentication'], activity: [1, 'Logon'] },
  kube: { category: application, class: [6003, 'API Activity'], activity: other },
};

export function ocsfEvent(row: EventRow): object {
  const { kind, raw_kind: raw, user, login, node, session, at, outcome, name, path, size, sha256, address, port } = row;
  const of = classes[kind] ?? base;
  const code = kind === 'unknown' ? raw : kind;
  const file =
    path === ''
      ? null
      : { name: path.slice(path.lastIndexOf('/') + 1) || path, path, type_id: 0, ...(size === null ? {} : { size }), ...hash(sha256) };
  const endpoint = address === '' ? null : { ip: address, ...(port === null ? {} : { port }) };
  const account = login === '' ? user : login;
  return {
    ...head(of, 'events', eventId(row), code, at, message([code, name, path, address, outcome])),
    ...status(outcome === '' || outcome === 'success'),
    ...{ severity_id: kind === 'gap' || kind === 'escape' ? 3 : 1 },
    ...subject(user, session, node),
    ...(of.class === process ? { process: { name, ...(file === null ? {} : { file }), user: { name: account } } } : {}),
    ...(of.class === files && file !== null ? { file } : {}),
    ...(of.class[0] === 4001 || of.class[0] === 4003 ? { dst_endpoint: endpoint ?? { name: path } } : {}),
    ...(of.class[0] === 4003 ? { query: { hostname: name } } : {}),
    ...(of.class[0] === 3002
      ? { user: { name: account }, service: { name }, ...(endpoint === null ? {} : { src_endpoint: endpoint }) }
      : {}),
    ...(of.class[0] === 6003 ? { api: { operation: name || code }, src_endpoint: endpoint ?? { name: node } } : {}),
    ...whole(row),
  };
}

export function ocsfAudit(row: AuditRow): object {
  const { id, at, event, actor, target, outcome, reason, source_address: address, session, node } = row;
  const of: Class = { category: application, class: [6003, 'API Activity'], activity: other };
  return {
    ...head(of, 'audit', id, event, at, message([event, actor, target, outcome, reason])),
    ...status(outcome === 'success'),
    ...{ severity_id: outcome === 'success' ? 1 : 2 },
    ...subject(actor, session, node),
    ...{ api: { operation: event }, src_endpoint: address === '' ? { name: 'steno' } : { ip: address } },
    ...(target === '' ? {} : { resources: [{ name: target }] }),
    ...whole(row),
  };
}

function head({ category, class: of, activity }: Class, table: string, uid: string, code: string, time: number, text: string): object {
  return {
    ...{ category_uid: category[0], category_name: category[1], class_uid: of[0], class_name: of[1] },
    ...{ activity_id: activity[0], activity_name: activity[1], type_uid: of[0] * 100 + activity[0], type_name: `${of[1]}: ${activity[1]}` },
    ...{ time, message: text },
    metadata: { version: OCSF_VERSION, uid, log_name: table, event_code: code, profiles: [], product: ocsfProduct },
  };
}

function status(success: boolean): object {
  return success ? { status_id: 1, status: 'Success' } : { status_id: 2, status: 'Failure' };
}

function subject(user: string, session: string, node: string): object {
  return {
    actor: { user: { name: user === '' ? 'unknown' : user }, ...(session === '' ? {} : { session: { uid: session } }) },
    ...(node === '' ? {} : { device: { hostname: node, name: node, type_id: 0 } }),
  };
}

function hash(sha256: string): object {
  return sha256 === '' ? {} : { hashes: [{ algorithm_id: 3, algorithm: 'SHA-256', value: sha256 }] };
}

function message(parts: readonly string[]): string {
  return parts
    .filter((part) => part !== '')
    .join(' ')
    .slice(0, 512);
}

/** The stored row, with `data` parsed into an object. */
export function whole(row: EventRow | AuditRow | FindingRow): { readonly unmapped: { readonly steno: Fields } } {
  let data: unknown;
  try {
    data = JSON.parse(row.data);
  } catch {
    data = row.data;
  }
  return { unmapped: { steno: { ...row, data } } };
}
