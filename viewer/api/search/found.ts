/** Turns found rows into hits: one line of text each, and a link. */
import type { FoundHit } from '#schemas/api/recordings/find.js';
import { gapText } from '#schemas/kernel/kernel-gap.js';
import type { EventRow, FindingRow } from '#schemas/events/rows.js';
import type { EventStore, ScreenLine } from '#stores/events/contract.js';
import type { FoundRow } from '#stores/events/search-contract.js';

/** Lines of context on each side. */
const CONTEXT = 2;
/** The store limits the number of lines in one query. */
const PLACES_A_QUERY = 25;
/** A line of a hit is cut at this length; the moment itself shows the whole line. */
const MAX_TEXT = 2000;

export async function hitsOf(events: EventStore, found: readonly FoundRow[], q: string): Promise<readonly FoundHit[]> {
  const screens = found.filter((one): one is FoundRow & { readonly table: 'screen' } => one.table === 'screen');
  const around = new Map<FoundRow, Pick<FoundHit, 'before' | 'after'>>();
  for (let from = 0; from < screens.length; from += PLACES_A_QUERY) {
    const some = screens.slice(from, from + PLACES_A_QUERY);
    const lists = await events.linesBeside(
      some.map(({ row: { session, block, index } }) => ({ session, block, index })),
      CONTEXT,
    );
    const texts = (lines: readonly ScreenLine[]): string[] => lines.map(({ text }) => text.slice(0, MAX_TEXT));
    for (const [i, one] of some.entries()) around.set(one, { before: texts(lists[i]!.before), after: texts(lists[i]!.after) });
  }
  return found.map((one) => ({ ...hitOf(one, q), ...(around.get(one) ?? noContext) }));
}

/** Locates a row without its text. */
export function placeOf(found: FoundRow): Pick<FoundHit, 'kind' | 'at' | 'time' | 'session' | 'user' | 'node' | 'login'> {
  const { kind, at, time } = factsOf(found);
  const { session, node, login } = found.row;
  return { kind, at, time, session, user: found.table === 'audit' ? found.row.actor : found.row.user, node, login };
}

const noContext = { before: [], after: [] } as const;

function hitOf(found: FoundRow, q: string): Omit<FoundHit, 'before' | 'after'> {
  const facts = factsOf(found);
  const { row } = found;
  const { session, node, login } = row;
  const user = found.table === 'audit' ? found.row.actor : found.row.user;
  const link =
    session === ''
      ? found.table === 'audit'
        ? '/audit'
        : `/search?q=${encodeURIComponent(q)}`
      : `/sessions/${session}?${new URLSearchParams({ ...(facts.time === null ? {} : { t: String(facts.time) }), ...(found.table === 'screen' ? { q: found.row.text.trim().slice(0, 200), mode: 'substring' } : {}) })}`;
  return {
    session,
    user,
    node,
    login,
    severity: '',
    ...facts,
    text: facts.text.slice(0, MAX_TEXT),
    detail: facts.detail.slice(0, MAX_TEXT),
    link,
  };
}

type Facts = Pick<FoundHit, 'kind' | 'at' | 'time' | 'text' | 'detail'> & Partial<Pick<FoundHit, 'severity'>>;

function factsOf(found: FoundRow): Facts {
  switch (found.table) {
    case 'screen':
      return { kind: 'screen', at: found.row.at, time: found.row.offset_ms, text: found.row.text, detail: '' };
    case 'sessions':
      return { kind: 'command', at: found.row.started_at, time: 0, text: found.row.command, detail: found.row.kind };
    case 'findings':
      return { ...findingFacts(found.row), at: found.row.at, time: found.row.offset_ms, severity: found.row.severity };
    case 'audit': {
      const { at, event, target, reason, code, outcome } = found.row;
      return {
        kind: 'audit',
        at,
        time: null,
        text: [event, target].filter((text) => text !== '').join(' '),
        detail: [outcome, code, reason].filter((text) => text !== '').join(', '),
      };
    }
    case 'events':
      return {
        ...eventFacts(found.row),
        kind: found.row.kind,
        at: found.row.at,
        time: found.row.session === '' ? null : found.row.offset_ms,
      };
  }
}

function findingFacts({ rule, data }: FindingRow): Pick<Facts, 'kind' | 'text' | 'detail'> {
  const facts = JSON.parse(data) as { readonly title?: unknown; readonly reason?: unknown };
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  return { kind: 'finding', text: text(facts.title) === '' ? rule : text(facts.title), detail: text(facts.reason) };
}

function eventFacts(row: EventRow): { readonly text: string; readonly detail: string } {
  const { path, name, address, port, reason, outcome, sha256 } = row;
  const where = address === '' ? '' : `${address.includes(':') ? `[${address}]` : address}${port === null ? '' : `:${port}`}`;
  const rest = (...texts: readonly string[]): string => texts.filter((text) => text !== '' && text !== 'success').join(', ');
  switch (row.kind) {
    case 'exec':
      return { text: name === '' ? path : name, detail: rest(path, outcome) };
    case 'gap':
      return { text: gapText(name, row.count, false), detail: rest(name, reason) };
    case 'connect':
    case 'accept':
    case 'listen':
    case 'send':
      return { text: where === '' ? path : where, detail: rest(name, reason, outcome) };
    case 'dns':
      return { text: name, detail: rest(reason, where, outcome) };
    case 'kube':
      return { text: `${name} ${path}`.trim(), detail: rest(row.cluster, row.namespace, outcome, reason) };
    case 'unknown':
      return { text: [row.raw_kind, path, name, where].filter((text) => text !== '').join(' '), detail: rest(reason, outcome) };
    default:
      return {
        text: path === '' ? (name === '' ? where : name) : path,
        detail: rest(path === '' ? '' : name, where === '' || path === '' ? '' : where, reason, outcome, sha256),
      };
  }
}
