/** Rows of a session as nodes and gateways make them, for tests of this stage. */
import { exampleEventRow, exampleScreenRow, exampleSessionRow } from '#stores/events/examples.js';
import { sessionId } from '#schemas/recording/line.js';
import type { EventRow, ScreenRow, SessionRow } from '#schemas/events/rows.js';
import { loadRules } from '../sigma/rule-set.js';
import type { RuleSet } from '../sigma/rule-set.js';

let made = 0;
/** With the current time, so that a look back finds it. */
function newSessionId(): string {
  made += 1;
  const bytes = new Uint8Array(10);
  new DataView(bytes.buffer).setUint32(0, process.pid);
  new DataView(bytes.buffer).setUint32(4, made);
  return sessionId(Date.now(), bytes);
}

export interface MadeSession {
  readonly live: SessionRow;
  readonly ended: SessionRow;
  readonly events: readonly EventRow[];
  readonly screen: readonly ScreenRow[];
}

/** `commands` run one after another; each produces a kernel row, a recording row, and a line of the screen. */
export function makeSession(commands: readonly string[], { last = true }: { readonly last?: boolean } = {}): MadeSession {
  const session = newSessionId();
  const startedAt = Date.now();
  const of = { session, user: 'alice', node: 'web-3', login: 'root' };
  const live = exampleSessionRow({ ...of, started_at: startedAt, version: 0, state: 'live' });
  const at = (i: number): { at: number; offset_ms: number } => ({ at: startedAt + i, offset_ms: i });
  const kernel = { ...of, source: 'kernel', emitter: 'agent/web-3' } as const;
  const events = commands.flatMap((name, i): EventRow[] => [
    exampleEventRow({
      ...kernel,
      ...at(i),
      block: 7,
      index: i,
      kind: 'exec',
      path: '/bin/x',
      name,
      outcome: 'success',
      data: `{"pid":${i + 2},"ppid":1}`,
    }),
    exampleEventRow({ ...of, ...at(i), block: i + 1, index: 0, kind: 'stream', name }),
  ]);
  if (last) events.push(exampleEventRow({ ...kernel, ...at(commands.length), block: 8, index: 0, kind: 'kernel', name: 'end' }));
  const screen = commands.map((text, i) => exampleScreenRow({ ...of, ...at(i), block: i + 1, index: 0, text }));
  return { live, ended: { ...live, version: 5, state: 'ended', ended_at: startedAt + commands.length, exit_code: 0 }, events, screen };
}

export function ruleFor(word: string, id: string, level = 'high'): string {
  return `title: Runs ${word}
id: ${id}
logsource: { category: process_creation, product: linux }
detection: { selection: { CommandLine|contains: ${word} }, condition: selection }
level: ${level}
`;
}

export function rulesOf(...texts: readonly string[]): RuleSet {
  return loadRules(texts.map((text, i) => ({ name: `${i}.yml`, text })));
}
