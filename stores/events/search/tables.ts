/**
 * The five tables of a search, and how each maps the fields.
 *
 * A field that a table lacks matches none of its rows. Session fields that exist only in `sessions` are looked up there;
 * columns of a session never change, so FINAL is not needed. Values are compared as written, texts case-insensitively.
 * Tested with write-search.ts, against an evaluator in plain TypeScript, in search.test.ts.
 */
import type { EventTable } from '#schemas/events/rows.js';
import type { SearchField, SearchKind } from '#schemas/search/fields.js';
import type { TextColumn } from '../queries/text-match.js';
import { eventText, screenText } from '../queries/text-match.js';

/** Where a table has the values of a field. */
export type FieldColumn =
  | { readonly kind: 'column'; readonly column: string; /** Restricts to rows for which this holds. */ readonly where?: string }
  /** An array; one matching element is enough. */
  | { readonly kind: 'array'; readonly column: string }
  | { readonly kind: 'label'; readonly names: string; readonly pairs: string }
  /** Looked up in `sessions`. */
  | { readonly kind: 'session' };

export interface SearchTable {
  readonly name: EventTable;
  /** SQL for the time of a row. */
  readonly moment: string;
  /** SQL for the end of the row's time span, which `during:` compares; the same as `moment` except for sessions. */
  readonly until: string;
  /** Whether to read FINAL, which leaves out older versions of a row. */
  readonly final: boolean;
  /** Has rows for each line or event: the newest are looked for first. */
  readonly large: boolean;
  readonly text: TextColumn;
  /** Columns that identify rows and order rows of the same time, all descending. */
  readonly identity: readonly string[];
  readonly fields: Readonly<Partial<Record<SearchField, FieldColumn>>>;
  /** The kind of the table's rows; null: any kind that is not another table's. */
  readonly kind: SearchKind | null;
}

const column = (name: string, where?: string): FieldColumn => ({ kind: 'column', column: name, ...(where === undefined ? {} : { where }) });
const ofSession: FieldColumn = { kind: 'session' };
const place = { user: column('user'), node: column('node'), login: column('login'), session: column('session') } as const;
const lookedUp = {
  cluster: ofSession,
  namespace: ofSession,
  pod: ofSession,
  container: ofSession,
  image: ofSession,
  label: ofSession,
  request: ofSession,
} as const;

function plainText(text: string): TextColumn {
  return {
    text,
    folded: `lowerUTF8(${text})`,
    words: String.raw`lowerUTF8(replaceRegexpAll(${text}, '[^\\p{L}\\p{M}\\p{N}]+', ' '))`,
    separators: screenText.separators,
    indexed: false,
  };
}

const screen: SearchTable = {
  name: 'screen',
  moment: 'at',
  until: 'at',
  final: false,
  large: true,
  text: screenText,
  identity: ['session', 'block', '`index`'],
  fields: { ...place, ...lookedUp },
  kind: 'screen',
};

const sessions: SearchTable = {
  name: 'sessions',
  moment: 'started_at',
  // A session that has no end yet is still running.
  until: "ifNull(ended_at, toDateTime64('2200-01-01 00:00:00', 3, 'UTC'))",
  final: true,
  large: false,
  text: plainText('command'),
  identity: ['session'],
  fields: {
    ...place,
    cluster: column('cluster'),
    namespace: column('namespace'),
    pod: column('pod'),
    container: column('container'),
    image: column('image'),
    label: {
      kind: 'label',
      names: 'mapKeys(labels)',
      pairs: "arrayMap((k, v) -> concat(k, '=', v), mapKeys(labels), mapValues(labels))",
    },
    request: { kind: 'array', column: "splitByChar(',', request_id)" },
  },
  kind: 'command',
};

const events: SearchTable = {
  name: 'events',
  moment: 'at',
  until: 'at',
  final: false,
  large: true,
  text: eventText,
  identity: ['session', 'source', 'emitter', 'block', '`index`'],
  fields: {
    ...place,
    ...lookedUp,
    cluster: column('cluster'),
    namespace: column('namespace'),
    pod: column('pod'),
    container: column('container'),
    exe: column('path', "kind = 'exec'"),
    argv: column('name', "kind = 'exec'"),
    path: column('path'),
    dst: column('address'),
    port: column('port'),
    dns: column('name', "kind = 'dns'"),
    sha256: column('sha256'),
    size: column('size'),
    outcome: column('outcome'),
    reason: column('reason'),
    verb: column("splitByChar(' ', name)[1]", "kind = 'kube'"),
  },
  kind: null,
};

const findings: SearchTable = {
  name: 'findings',
  moment: 'at',
  until: 'at',
  final: true,
  large: false,
  text: plainText("concat(rule, ' ', data)"),
  identity: ['id'],
  fields: {
    ...place,
    ...lookedUp,
    rule: column('rule'),
    severity: column('severity'),
    state: column('state'),
    tier: column("if(JSONExtractString(data, 'tier') = '', 'alert', JSONExtractString(data, 'tier'))"),
    technique: { kind: 'array', column: 'techniques' },
  },
  kind: 'finding',
};

const audit: SearchTable = {
  name: 'audit',
  moment: 'at',
  until: 'at',
  final: false,
  large: false,
  text: plainText("concat(event, ' ', target, ' ', reason, ' ', code)"),
  identity: ['id'],
  fields: {
    ...lookedUp,
    user: column('actor'),
    node: column('node'),
    login: column('login'),
    session: column('session'),
    outcome: column('outcome'),
    reason: column('reason'),
    verb: column('event'),
  },
  kind: 'audit',
};

/** In the order in which rows of one moment are listed. */
export const searchTables: readonly SearchTable[] = [findings, screen, sessions, events, audit];

/** The columns of `sessions` for fields that other tables look up there. */
export const sessionFields = sessions.fields;
