/**
 * Honey tokens: reports a finding as soon as one appears anywhere. One pass of an automaton over each text searches for all tokens
 * (../matching/automaton.ts). No finding contains a token's text: the reason masks it.
 *
 * Searched: lines of screens, command lines and arguments, paths of files that were opened, changed or transferred, resolved names, and
 * addresses. Not found: a token that is cut by the edge of a screen line or by the limit of an argument, that is encoded (base64), or
 * that goes through a connection without being displayed. Tested in detector.test.ts.
 */
import { eventId } from '#schemas/events/rows.js';
import type { EventRow, ScreenRow, SessionRow } from '#schemas/events/rows.js';
import { maskedHoney } from '#schemas/documents/honey-token.js';
import type { HoneyKind } from '#schemas/documents/honey-token.js';
import type { Detection, Detector, Observation, RuleFacts, SessionDetector } from '../detection/detector.js';
import { LiteralAutomaton } from '../matching/automaton.js';

export interface WatchedToken {
  readonly id: string;
  readonly kind: HoneyKind;
  readonly note: string;
  readonly text: string;
}

const rule: RuleFacts = {
  id: 'steno/honey-token',
  title: 'A honey token appeared',
  severity: 'critical',
  tier: 'alert',
  techniques: ['T1552'],
  advice: 'Nobody has a reason to touch it: see how the session came by it, and what else it read there.',
};

const kindNames: Readonly<Record<HoneyKind, string>> = {
  aws: 'AWS key',
  password: 'password',
  ssh: 'SSH key',
  url: 'URL',
  path: 'path',
  text: 'text',
};

export class HoneyDetector implements Detector {
  readonly name = 'honey';
  readonly scope = { kind: 'perSession' } as const;
  readonly rules: readonly RuleFacts[] = [rule];
  readonly #tokens: readonly WatchedToken[];
  readonly #automaton: LiteralAutomaton;

  constructor(tokens: readonly WatchedToken[]) {
    this.#tokens = tokens;
    this.#automaton = new LiteralAutomaton(tokens.map(({ text }, value) => ({ literal: { text, start: false, end: false }, value })));
  }

  open(session: SessionRow | null): SessionDetector {
    if (session === null) throw new TypeError('a detector of single sessions');
    return new SessionHoney(session, this.#tokens, this.#automaton);
  }
}

class SessionHoney implements SessionDetector {
  readonly #session: SessionRow;
  readonly #tokens: readonly WatchedToken[];
  readonly #automaton: LiteralAutomaton;
  /** Pairs of token and place: each is reported once. Bounded by the number of tokens. */
  readonly #told = new Set<string>();

  constructor(session: SessionRow, tokens: readonly WatchedToken[], automaton: LiteralAutomaton) {
    this.#session = session;
    this.#tokens = tokens;
    this.#automaton = automaton;
  }

  take(observation: Observation): readonly Detection[] {
    switch (observation.kind) {
      case 'event':
        return this.#event(observation.row);
      case 'screen':
        return this.#screen(observation.row);
      default:
        return [];
    }
  }

  #screen(row: ScreenRow): readonly Detection[] {
    return this.#search([row.text], 'on the screen', row, row.row, []);
  }

  #event(row: EventRow): readonly Detection[] {
    const { kind, path, name, address, data } = row;
    const argv = kind === 'exec' ? argumentsOf(data) : [];
    const from = kind === 'file' ? fromOf(data) : [];
    return this.#search([path, name, address, ...argv, ...from], whereOf(row), row, null, [eventId(row)]);
  }

  #search(
    texts: readonly string[],
    where: string,
    { at, offset_ms }: Pick<EventRow, 'at' | 'offset_ms'>,
    row: number | null,
    evidence: readonly string[],
  ): readonly Detection[] {
    const found = new Set<number>();
    for (const text of texts) if (text !== '') this.#automaton.search(text, (value) => found.add(value));
    const { session, user, node, login } = this.#session;
    return [...found]
      .sort((a, b) => a - b)
      .flatMap((value): Detection[] => {
        const { id, kind, note, text } = this.#tokens[value]!;
        const key = `${id} ${where}`;
        if (this.#told.has(key)) return [];
        this.#told.add(key);
        const called = note === '' ? id : `${id}, ${note}`;
        const reason = `the honey token ${maskedHoney(text)} (${kindNames[kind]}; ${called}) appeared ${where}`;
        return [{ rule, reason, session, user, node, login, at, offset_ms, row, evidence, key }];
      });
  }
}

function whereOf({ kind, source }: EventRow): string {
  switch (kind) {
    case 'exec':
      return 'in a command';
    case 'file':
      return source === 'recording' ? 'in a transfer' : 'as a file that was used';
    case 'sftp':
      return 'in a transfer';
    case 'dns':
    case 'connect':
    case 'send':
    case 'forward':
      return 'as a destination';
    default:
      return `in an event of the kind ${kind}`;
  }
}

function argumentsOf(data: string): readonly string[] {
  const { argv } = parsed(data);
  return Array.isArray(argv) ? argv.filter((one): one is string => typeof one === 'string') : [];
}

function fromOf(data: string): readonly string[] {
  const { from } = parsed(data);
  return typeof from === 'string' ? [from] : [];
}

function parsed(data: string): { readonly argv?: unknown; readonly from?: unknown } {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}
