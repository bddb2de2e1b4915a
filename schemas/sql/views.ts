/**
 * The tables and views that users' SQL may read: five tables and the views over them, with a line about each column that is not
 * obvious. The page's schema browser, `steno sql --schema` and docs/sql.md show them. Types are ClickHouse's, as users see them.
 * stores/events/sql/views.ts defines the views; a test compares names and types with the engine's.
 */
export interface SqlColumn {
  readonly name: string;
  readonly type: string;
  readonly about: string;
}

export interface SqlView {
  readonly name: string;
  readonly about: string;
  /** The right that is needed to see its rows, beside that of running queries. */
  readonly rows: 'listed' | 'viewed' | 'findings' | 'audit';
  readonly columns: readonly SqlColumn[];
}

const column = (name: string, type: string, about = ''): SqlColumn => ({ name, type, about });
const moment = "DateTime64(3, 'UTC')";
const word = 'String';
const who = [column('user', word), column('node', word), column('login', word, 'the account on the node')];
const pod = [
  column('cluster', word, 'Kubernetes cluster, or empty'),
  column('namespace', word),
  column('pod', 'String'),
  column('container', word),
];

export const sqlViews: readonly SqlView[] = [
  {
    name: 'sessions',
    about: 'one row per session, in its current state',
    rows: 'listed',
    columns: [
      column('session', 'String', 'id; ids sort by their start'),
      column('version', 'UInt64', 'of the row'),
      column('kind', word, 'shell, exec, sftp, subsystem or forward'),
      column('user', word),
      column('roles', `Array(${word})`, 'held when the session began'),
      column('node', word),
      column('login', word, 'the account on the node'),
      column('gateway', word),
      column('counter', 'UInt64', 'counts the sessions of the gateway; a hole is a missing session'),
      column('source_address', 'String'),
      column('client_version', word),
      column('certificate_serial', 'UInt64'),
      column('certificate_key_id', 'String'),
      column('command', 'String', 'of an exec session'),
      column('tty', 'Bool'),
      column('cols', 'UInt16'),
      column('rows', 'UInt16'),
      column('started_at', moment),
      column('ended_at', `Nullable(${moment})`, 'NULL while live'),
      column('state', word, 'live, ended, sealed or interrupted'),
      column('exit_code', 'Nullable(UInt32)'),
      column('exit_signal', 'Nullable(String)'),
      column('bytes_in', 'UInt64', 'from the user'),
      column('bytes_out', 'UInt64', 'to the user'),
      column('blocks', 'UInt32'),
      column('recording_bytes', 'UInt64'),
      column('stored_bytes', 'UInt64'),
      column('chain_head', 'String', 'hash of the last block stored'),
      column('request_id', 'String', 'access requests of the session, separated by commas'),
      ...pod,
      column('image', 'String'),
      column('labels', `Map(${word}, String)`, "of the node when the session began: labels['env']"),
      column('labels_known', 'Bool'),
    ],
  },
  {
    name: 'commands',
    about: 'commands of sessions without a terminal, and programs started on nodes with the agent',
    rows: 'viewed',
    columns: [
      column('session', 'String'),
      column('at', moment),
      column('offset_ms', 'UInt64', "on the session's clock"),
      ...who,
      column('command', 'String', 'command line'),
      column('program', 'String', 'path of the program; empty if only the gateway saw the command'),
      column('observed_by', word, 'recording or kernel'),
    ],
  },
  {
    name: 'events',
    about: 'what happened in sessions and on nodes: docs/events.md',
    rows: 'viewed',
    columns: [
      column('session', 'String', 'empty for events without a session'),
      column('source', word, 'recording, kernel or kubernetes'),
      column('emitter', word, 'the service that sent it'),
      column('block', 'UInt32'),
      column('index', 'UInt32'),
      column('at', moment),
      column('offset_ms', 'UInt64', "on the session's clock"),
      column('kind', word, 'exec, file, connect, sftp, kube, privilege, ...'),
      column('raw_kind', word),
      ...who,
      ...pod,
      column('path', 'String'),
      column('size', 'Nullable(UInt64)'),
      column('sha256', 'String'),
      column('address', 'String'),
      column('port', 'Nullable(UInt16)'),
      column('name', 'String'),
      column('reason', 'String'),
      column('outcome', word),
      column('count', 'Nullable(UInt64)'),
      column('data', 'String', "JSON: JSONExtractString(data, 'argv', 1)"),
    ],
  },
  {
    name: 'screens',
    about: 'lines as they were seen on screens; also called screen',
    rows: 'viewed',
    columns: [
      column('session', 'String'),
      column('at', moment),
      column('offset_ms', 'UInt64', "on the session's clock"),
      column('row', 'UInt16', 'from the top of the screen, 0 first'),
      column('text', 'String'),
      ...who,
      column('block', 'UInt32'),
      column('index', 'UInt32'),
    ],
  },
  {
    name: 'findings',
    about: 'matches of rules',
    rows: 'findings',
    columns: [
      column('id', 'String'),
      column('version', 'UInt64'),
      column('rule', word),
      column('rule_version', 'UInt32'),
      column('severity', word, 'info, low, medium, high or critical'),
      column('techniques', `Array(${word})`, 'ATT&CK ids'),
      column('session', 'String'),
      ...who,
      column('at', moment),
      column('offset_ms', 'Nullable(UInt64)'),
      column('row', 'Nullable(UInt16)'),
      column('evidence', 'Array(String)', 'ids of events'),
      column('state', word, 'when found; later decisions are in audit, event finding.triage'),
      column('dedup_key', 'String'),
      column('data', 'String', "JSON: JSONExtractString(data, 'title')"),
    ],
  },
  {
    name: 'audit',
    about: 'admissions, refusals, changes and views in Steno itself',
    rows: 'audit',
    columns: [
      column('id', 'String'),
      column('at', moment),
      column('event', word, 'noun.verb, as in session.start or auth.refused'),
      column('actor', word),
      column('target', 'String'),
      column('outcome', word, 'success or failure'),
      column('code', word, 'of docs/errors.md, or empty'),
      column('reason', 'String'),
      column('source_address', 'String'),
      column('session', 'String'),
      column('node', word),
      column('login', word),
      column('data', 'String', 'JSON'),
    ],
  },
  {
    name: 'viewings',
    about: 'views of recorded data: recordings opened, followed, exported and searched, and SQL that was run',
    rows: 'audit',
    columns: [
      column('at', moment),
      column('viewer', word),
      column('action', 'String', 'view, follow, export, search or query'),
      column('session', 'String', 'empty for searches and queries'),
      column('of_user', word, 'the user of the session'),
      column('node', word),
      column('login', word),
      column('text', 'String', 'of a search or query'),
      column('outcome', word),
      column('code', word),
      column('source_address', 'String'),
    ],
  },
] as const;
