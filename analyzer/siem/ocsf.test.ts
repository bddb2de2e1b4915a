/** Rows as OCSF and as syslog messages: complete, identified, and within their limits for any content. */
import { describe, expect, it } from 'vitest';
import { eventKinds } from '#schemas/events/kinds.js';
import { eventId } from '#schemas/events/rows.js';
import { exampleAuditRow, exampleEventRow, exampleFindingRow } from '#stores/events/examples.js';
import { siemConfig } from './config.js';
import { linesOf } from './lines.js';
import { frame } from './syslog.js';

type Parsed = Record<string, unknown> & {
  readonly class_uid: number;
  readonly type_uid: number;
  readonly activity_id: number;
  readonly metadata: { readonly uid: string; readonly log_name: string; readonly event_code: string };
  readonly unmapped: { readonly steno: Record<string, unknown>; readonly cut?: boolean };
};
const parsed = (json: string): Parsed => JSON.parse(json) as Parsed;

describe('a row as OCSF', () => {
  it('has its class by its kind, its identity, and all of its columns', () => {
    for (const kind of eventKinds) {
      const row = exampleEventRow({ kind, raw_kind: kind === 'unknown' ? 'later' : '', data: '{"pid":7}' });
      const [line] = linesOf('events', [row]);
      const event = parsed(line!.json);
      expect(event.type_uid).toBe(event.class_uid * 100 + event.activity_id);
      expect(event.metadata).toMatchObject({ uid: eventId(row), log_name: 'events', event_code: kind === 'unknown' ? 'later' : kind });
      expect(event.unmapped.steno).toEqual({ ...row, data: { pid: 7 } });
      expect([event['time'], typeof event['severity_id'], typeof event['message']]).toEqual([row.at, 'number', 'string']);
    }
  });

  it('a login is an authentication, an execution a launched process', () => {
    const of = (more: Parameters<typeof exampleEventRow>[0]): Parsed => parsed(linesOf('events', [exampleEventRow(more)])[0]!.json);
    const login = of({ kind: 'login', source: 'kernel', session: '', login: 'root', name: 'sshd', address: '192.0.2.9', port: 50_123 });
    expect(login).toMatchObject({
      class_uid: 3002,
      activity_id: 1,
      user: { name: 'root' },
      src_endpoint: { ip: '192.0.2.9', port: 50_123 },
    });
    const exec = of({ kind: 'exec', name: 'id', path: '/usr/bin/id', sha256: 'a'.repeat(64) });
    expect(exec).toMatchObject({ class_uid: 1007, process: { name: 'id', file: { path: '/usr/bin/id', hashes: [{ algorithm_id: 3 }] } } });
  });

  it('audit rows and findings too; a finding has another identity for each version', () => {
    const audit = parsed(linesOf('audit', [exampleAuditRow({ outcome: 'failure' })])[0]!.json);
    expect(audit).toMatchObject({ class_uid: 6003, status_id: 2, metadata: { log_name: 'audit' } });
    const row = exampleFindingRow();
    const ids = linesOf('findings', [row, { ...row, version: row.version + 1 }]).map(({ json }) => parsed(json).metadata.uid);
    expect(new Set(ids).size).toBe(2);
    expect(parsed(linesOf('findings', [row])[0]!.json)).toMatchObject({ class_uid: 2004, unmapped: { steno: { id: row.id } } });
  });
});

describe('a message of syslog', () => {
  const most = 8_192;
  const message = (bytes: Buffer): string => {
    const text = bytes.toString('utf8');
    const [length = ''] = text.split(' ', 1);
    expect(bytes.length).toBe(Number(length) + length.length + 1);
    return text.slice(length.length + 1);
  };

  it('says who, when and what in its header, and holds the row', () => {
    const at = Date.UTC(2026, 10, 30, 1, 2, 3, 4);
    const text = message(frame(linesOf('findings', [exampleFindingRow({ severity: 'high', node: 'web-1', at })])[0]!, most));
    const [, head, json] = /^(<107>1 2026-11-30T01:02:03\.004Z web-1 steno - findings\.finding - )(\{.*\})$/s.exec(text) ?? [];
    expect(head).toBeDefined();
    expect(parsed(json!).class_uid).toBe(2004);
  });

  it('is cut to what the receiver takes, says so, and stays JSON', () => {
    const rows = [
      exampleEventRow({ data: JSON.stringify({ text: 'ä"\\'.repeat(60_000) }) }),
      exampleEventRow({ path: '"'.repeat(4_096), name: '\u0001'.repeat(4_096), reason: '\\'.repeat(4_096) }),
      exampleEventRow({ node: 'a b\n<1>', address: 'x'.repeat(255) }),
    ];
    for (const row of rows) {
      const text = message(frame(linesOf('events', [row])[0]!, most));
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(most);
      expect(text).not.toContain('\n');
      const json = parsed(text.slice(text.indexOf('{')));
      expect(json.metadata.uid).toBe(eventId(row));
      if (row !== rows[2]) expect(json.unmapped.cut).toBe(true);
    }
  });
});

describe('the file of destinations', () => {
  it('takes no secret, no address in the clear, and no name twice', () => {
    const lake = { name: 'lake', format: 'ocsf', url: 'https://collector.example/x?index=main' };
    const faults = (...destinations: readonly object[]): number => siemConfig.safeParse({ destinations }).error?.issues.length ?? 0;
    expect(faults(lake, { name: 'central', format: 'syslog', address: 'logs.example:6514' })).toBe(0);
    expect(faults(lake, lake)).toBe(1);
    expect(faults({ ...lake, url: 'http://collector.example/' })).toBe(1);
    expect(faults({ ...lake, token: 'secret' })).toBe(1);
    expect(faults({ ...lake, key_file: '/k' })).toBe(1);
    expect(faults({ name: 'central', format: 'syslog', address: 'logs.example' })).toBe(1);
  });
});
