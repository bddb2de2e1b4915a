/** `steno events`: what a session did in the kernel of its node. */
import { Command, InvalidArgumentError } from 'commander';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KernelEventInfo, KernelEventList, SessionInfo } from '#schemas/api.js';
import { kernelKinds } from '#schemas/kernel.js';
import { processForest } from '#schemas/process-tree.js';
import type { ProcessNode } from '#schemas/process-tree.js';
import { openClient } from '../client.js';
import type { Client } from '../client.js';
import { openHome } from '../home.js';
import { bytes, clock, json, standardOutput, styled, visible } from '../output.js';

interface Options {
  readonly tree?: boolean;
  readonly follow?: boolean;
  readonly all?: boolean;
  readonly kind?: readonly string[];
  readonly limit: number;
  readonly json?: boolean;
}

const PAGE = 1000;
const FOLLOW_MS = 500;
const ESCAPED_LINES = /\r?\n/;

export function eventsCommand(): Command {
  return new Command('events')
    .description('what a session did in the kernel: programs, files, connections, privileges')
    .argument('<session>', 'session id')
    .option('--tree', 'as a tree of processes')
    .option('--follow', 'go on until the session is over')
    .option('--all', 'also forks and files that were only read')
    .option('--kind <kinds>', `only these, by commas: ${kernelKinds.join(', ')}`, parseKinds)
    .option('--limit <n>', 'at most this many events', parseCount, 10_000)
    .option('--json', 'print JSON: an array, or with --follow one object a line')
    .addHelpText('after', '\nTimes are those of the session, as in its replay. Exit code 1 when there are none.')
    .action(async (session: string, options: Options) => {
      const client = openClient(openHome());
      if (options.follow === true) return follow(client, session, options);
      const events: KernelEventInfo[] = [];
      for await (const event of eventsOf(client, session, options, '')) {
        events.push(event);
        if (events.length >= options.limit) break;
      }
      if (events.length === 0) process.exitCode = 1;
      if (options.json === true) return json(standardOutput, events);
      if (events.length === 0) {
        standardOutput.err.write(
          "No kernel events of this session. Its node must run Steno's agent, and its roles must not turn `recording.enhanced` off.\n",
        );
        return;
      }
      if (options.tree === true) printTree(events);
      else for (const event of events) printEvent(event);
      if (events.length >= options.limit) standardOutput.err.write(`There are more than ${options.limit}: raise --limit.\n`);
    });
}

function parseKinds(value: string): readonly string[] {
  const kinds = value.split(',');
  const unknown = kinds.find((kind) => !(kernelKinds as readonly string[]).includes(kind));
  if (unknown !== undefined) throw new InvalidArgumentError(`There is no kind "${unknown}".`);
  return kinds;
}

function parseCount(value: string): number {
  const count = Number(value);
  if (!Number.isInteger(count) || count < 1 || count > 1_000_000) throw new InvalidArgumentError('Give a number from 1 to 1000000.');
  return count;
}

/** From behind `after`, which is the place of an event or ''. */
async function* eventsOf(client: Client, session: string, { tree, all, kind }: Options, after: string): AsyncGenerator<KernelEventInfo> {
  for (let place = after; ;) {
    const query = new URLSearchParams({ limit: String(PAGE), ...(place === '' ? {} : { after: place }) });
    if (kind !== undefined) query.set('kinds', kind.join(','));
    // A tree needs the forks; what was only read would bury it.
    if (all !== true && tree !== true) query.set('only', 'changes');
    else if (all !== true) query.set('only', 'tree');
    const { events, more } = await client.get<KernelEventList>(`/api/sessions/${encodeURIComponent(session)}/events?${query}`);
    yield* events;
    const last = events.at(-1);
    if (!more || last === undefined) return;
    place = last.place;
  }
}

async function follow(client: Client, session: string, options: Options): Promise<void> {
  let after = '';
  for (let over = false; ; await sleep(FOLLOW_MS)) {
    // Asked before the events, so that the last of them are read once more when it is over.
    const { state } = await client.get<SessionInfo>(`/api/sessions/${encodeURIComponent(session)}`);
    for await (const event of eventsOf(client, session, { ...options, tree: false }, after)) {
      if (options.json === true) standardOutput.out.write(`${escapedJson(event)}\n`);
      else printEvent(event);
      after = event.place;
    }
    if (over) return;
    over = state !== 'live';
  }
}

function escapedJson(event: KernelEventInfo): string {
  return JSON.stringify(event).replace(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function printEvent(event: KernelEventInfo): void {
  const { out, env } = standardOutput;
  const pid = typeof event.data['pid'] === 'number' ? String(event.data['pid']) : '';
  out.write(
    `${styled(out, env, 'dim', time(event.offset).padStart(9))}  ${styled(out, env, 'dim', pid.padStart(7))}  ${describe(event)}\n`,
  );
}

/** `0:03.250` */
function time(ms: number): string {
  return `${clock(ms)}.${String(ms % 1000).padStart(3, '0')}`;
}

const kindWidth = 9;

/** One line, whatever the event's texts hold. */
export function describe(event: KernelEventInfo): string {
  const { out, env } = standardOutput;
  const paint = (style: Parameters<typeof styled>[2], text: string): string => styled(out, env, style, text);
  const what = (title: string): string => paint('cyan', title.padEnd(kindWidth));
  const failed = event.outcome === '' || event.outcome === 'success' ? '' : `  ${paint('red', visible(event.outcome))}`;
  const times = event.count !== null && event.count > 1 && event.kind !== 'gap' ? `  ${paint('dim', `${event.count} times`)}` : '';
  const where = event.address === '' ? '' : `${event.address.includes(':') ? `[${event.address}]` : event.address}:${event.port ?? 0}`;
  const { data } = event;
  const note = (name: string): string => (typeof data[name] === 'string' ? visible(data[name]) : '');
  switch (event.kind) {
    case 'exec': {
      const marks = [
        ...(data['memory'] === true ? ['from memory'] : []),
        ...(data['deleted'] === true ? ['deleted file'] : []),
        ...(data['bits'] === 32 ? ['32 bits'] : []),
        ...(data['argv_cut'] === true ? [`arguments cut, ${bytes(Number(data['argv_bytes']))} in all`] : []),
        ...(typeof data['euid'] === 'number' ? [`as uid ${data['euid']}`] : []),
        ...(typeof data['container'] === 'string' ? [`container ${note('container').slice(0, 12)}`] : []),
      ];
      const asked = typeof data['asked'] === 'string' ? ` ${paint('dim', `for ${note('asked')}`)}` : '';
      return `${what('exec')} ${paint('bold', visible(commandLine(event)))}  ${paint('dim', visible(event.path))}${asked}${marks.length === 0 ? '' : `  ${paint('yellow', marks.join(', '))}`}`;
    }
    case 'exit': {
      const after = paint('dim', `after ${time(Number(data['duration_ms'] ?? 0))}`);
      return `${what('exit')} ${event.outcome === 'success' ? event.name : paint('red', visible(event.name))}  ${after}`;
    }
    case 'file':
      return `${what(event.name)} ${visible(event.path)}${note('from') === '' ? '' : ` ${paint('dim', `from ${note('from')}`)}`}${event.reason === '' ? '' : `  ${paint('dim', event.reason)}`}${failed}${times}`;
    case 'connect':
      return `${what('connect')} ${where === '' ? visible(event.path) : where} ${paint('dim', [visible(event.name), event.reason].filter((text) => text !== '').join(', '))}${failed}${times}`;
    case 'accept':
    case 'listen':
      return `${what(event.kind)} ${where} ${paint('dim', visible(event.name))}${failed}`;
    case 'send':
      return `${what('send')} ${where} ${paint('dim', `${visible(event.name)}, ${bytes(event.size ?? 0)}`)}${failed}${times}`;
    case 'dns':
      return `${what('dns')} ${visible(event.name)} ${paint('dim', `${visible(event.reason)}, asked of ${where}`)}${failed}${times}`;
    case 'privilege':
      return `${what('become')} uid ${String(data['uid'])}${data['euid'] === data['uid'] ? '' : `, effective ${String(data['euid'])}`}, gid ${String(data['gid'])}${failed}`;
    case 'system':
      return `${what(visible(event.name))} ${[visible(event.path), visible(event.reason), data['target'] === undefined ? '' : `process ${String(data['target'])}`].filter((text) => text !== '').join(' ')}${failed}`;
    case 'escape':
      return `${paint('yellow', 'escape'.padEnd(kindWidth))} ${paint('yellow', `through ${visible(event.reason)}`)}  ${visible(event.path)}${failed}`;
    case 'gap':
      return `${paint('red', 'gap'.padEnd(kindWidth))} ${paint('red', `${event.count ?? '?'} events are missing`)}  ${paint('dim', visible(event.name))}`;
    case 'kernel':
      return `${what('recording')} ${Array.isArray(data['classes']) ? visible(data['classes'].join(', ')) : ''}`;
    case 'fork':
      return `${what('fork')} process ${String(data['child'])}`;
    default:
      return `${what(visible(event.kind))} ${visible(event.path)} ${visible(event.name)}${failed}`;
  }
}

/** The arguments as a shell would take them. */
export function commandLine(event: KernelEventInfo): string {
  const argv = event.data['argv'];
  if (!Array.isArray(argv)) return event.name;
  return argv
    .map((argument) => (/^[\w@%+=:,./-]+$/.test(String(argument)) ? String(argument) : `'${String(argument).replaceAll("'", `'\\''`)}'`))
    .join(' ');
}

function printTree(events: readonly KernelEventInfo[]): void {
  const { out, env } = standardOutput;
  const dim = (text: string): string => styled(out, env, 'dim', text);
  const { roots, other } = processForest(events);
  for (const event of other) out.write(`${dim(time(event.offset).padStart(9))}  ${describe(event)}\n`);
  const line = (node: ProcessNode, offset: number, prefix: string, text: string): void => {
    out.write(`${dim(time(offset).padStart(9))}  ${dim(prefix)}${text.split(ESCAPED_LINES).join(' ')} ${dim(`[${node.pid}]`)}\n`);
  };
  const print = (node: ProcessNode, first: string, rest: string): void => {
    const exit =
      node.exit === null ? '' : ` ${node.exit.outcome === 'success' ? '' : `${styled(out, env, 'red', visible(node.exit.name))} `}`;
    const [begin, ...later] = node.execs;
    const title = begin === undefined ? dim('(a copy of its parent)') : describe(begin).slice(describe(begin).indexOf(' ')).trimStart();
    line(node, begin?.offset ?? node.started, first, `${title}${exit}`);
    for (const exec of later) line(node, exec.offset, `${rest}→ `, describe(exec).slice(describe(exec).indexOf(' ')).trimStart());
    for (const act of node.acts) line(node, act.offset, `${rest}· `, describe(act));
    node.children.forEach((child, i) => {
      const last = i === node.children.length - 1;
      print(child, `${rest}${last ? '└─ ' : '├─ '}`, `${rest}${last ? '   ' : '│  '}`);
    });
  };
  for (const root of roots) print(root, '', '');
}
