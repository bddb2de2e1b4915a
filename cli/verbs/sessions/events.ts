/** `steno events`: what a session did in the kernel of its node. */
import { pipeline } from 'node:stream/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { setTimeout as sleep } from 'node:timers/promises';
import { listKernelEvents, showSession } from '#schemas/api/recordings/sessions.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import type { SessionRef } from '#schemas/api/recordings/sessions.js';
import { kernelKinds } from '#schemas/kernel/kernel.js';
import { openClient } from '../../client/client.js';
import type { Client } from '../../client/client.js';
import { exportOf, requireSession } from '../evidence/fetch.js';
import { describe, time } from './describe.js';
import { printTree } from './tree.js';
import { openHome } from '../../client/home.js';
import { escapedJson, standardOutput, styled, visible } from '../../terminal/output.js';

interface Options {
  readonly tree?: boolean;
  readonly follow?: boolean;
  readonly all?: boolean;
  readonly kind?: readonly string[];
  readonly limit?: number;
  readonly after?: string;
  readonly json?: boolean;
  readonly format?: 'csv' | 'ocsf';
}

const PAGE = 1000;
const FOLLOW_MS = 500;
/** Limit of events in a tree, which is held in memory until it is complete. */
const TREE_EVENTS = 200_000;

export function eventsCommand(): Command {
  return new Command('events')
    .description('what a session did in the kernel: programs, files, connections, privileges, and what is missing')
    .argument('<session>', 'session id')
    .option('--tree', 'as a tree of processes')
    .option('--follow', 'go on until the session is over')
    .option('--all', 'also the login itself, forks, and files that were only read')
    .option('--kind <kinds>', `only these, by commas: ${kernelKinds.join(', ')}`, parseKinds)
    .option('--limit <n>', `stop after this many events; a tree stops after ${TREE_EVENTS} when not told`, parseCount)
    .option('--after <place>', 'begin behind this event, where an earlier call stopped', parsePlace)
    .option('--json', 'print JSON: an array, or with --follow one object a line')
    .addOption(
      new Option('--format <format>', 'write every event, also those of the recording itself: csv for a spreadsheet, ocsf for a SIEM')
        .choices(['csv', 'ocsf'])
        .conflicts(['tree', 'follow', 'all', 'kind', 'limit', 'after', 'json']),
    )
    .addHelpText('after', '\nTimes are those of the session, as in its replay. Exit code 1 when there are none.')
    .action(async (session: string, options: Options) => {
      const client = openClient(openHome());
      if (options.format !== undefined) {
        requireSession(session);
        return pipeline(await client.stream(exportOf(session, `events.${options.format}`)), process.stdout, { end: false });
      }
      if (options.follow === true) return follow(client, session, options);
      const source = new Events(client, session, options);
      const limit = options.limit ?? (options.tree === true ? TREE_EVENTS : Number.POSITIVE_INFINITY);
      const print =
        options.json === true
          ? jsonPrinter()
          : options.tree === true
            ? treePrinter(options.all === true)
            : { event: printEvent, end: () => undefined };
      let count = 0;
      let last = '';
      let cut = false;
      const head = headPrinter(options);
      for await (const event of source.read()) {
        head(source.openedFrom);
        if (count >= limit && event.data['signed'] !== true) {
          cut = true;
          break;
        }
        print.event(event);
        count += 1;
        if (event.data['signed'] !== true) last = event.place;
      }
      head(source.openedFrom);
      print.end();
      const { err } = standardOutput;
      if (count === 0) {
        process.exitCode = 1;
        if (options.json !== true)
          err.write(
            "No kernel events of this session. Its node must run Steno's agent, and its roles must not turn `recording.enhanced` off.\n",
          );
      }
      if (!source.showsGaps && source.gaps > 0)
        err.write(`${source.gaps} ${source.gaps === 1 ? 'gap' : 'gaps'}: events of this session are missing. See them with --kind gap.\n`);
      if (cut) err.write(`Stopped after ${limit} events; there are more. Go on with --after ${last}, or raise --limit.\n`);
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
  if (!Number.isSafeInteger(count) || count < 1) throw new InvalidArgumentError('Give a number from 1.');
  return count;
}

function parsePlace(value: string): string {
  if (!/^\d{1,10}\.\d{1,10}$/.test(value)) throw new InvalidArgumentError('Give the place of an event, as `place` in --json.');
  return value;
}

/** Events page by page, with the gaps of the recording among them at their times. */
class Events {
  readonly #client: Client;
  readonly #session: string;
  readonly #options: Options;
  readonly #told = new Set<string>();
  /** Position after which the next read continues. */
  #after: string;
  readonly showsGaps: boolean;
  /** The session from inside of which this one was opened. */
  openedFrom: SessionRef | undefined;
  /** That were found. */
  gaps = 0;

  constructor(client: Client, session: string, options: Options) {
    this.#client = client;
    this.#session = session;
    this.#options = options;
    this.#after = options.after ?? '';
    this.showsGaps = options.kind === undefined || options.kind.includes('gap');
  }

  /** Reads to the current end; a further call reads newer events. */
  async *read(): AsyncGenerator<KernelEventInfo> {
    const { tree, all, kind } = this.#options;
    for (;;) {
      const {
        events,
        gaps,
        more,
        opened_from: outer,
      } = await call(this.#client.viewer, listKernelEvents, {
        params: { id: this.#session },
        query: {
          limit: PAGE,
          after: this.#after === '' ? undefined : this.#after,
          kinds: kind?.join(','),
          // A tree needs the forks, and reads of files would clutter it.
          only: all === true ? undefined : tree === true ? 'tree' : 'changes',
        },
      });
      this.gaps = gaps.length;
      this.openedFrom ??= outer;
      const waiting = this.showsGaps ? gaps.filter(({ place }) => !this.#told.has(place)) : [];
      const due = (until: number): KernelEventInfo[] => {
        const found = waiting.splice(
          0,
          waiting.findIndex(({ offset }) => offset > until) < 0 ? waiting.length : waiting.findIndex(({ offset }) => offset > until),
        );
        for (const { place } of found) this.#told.add(place);
        return found;
      };
      waiting.sort((a, b) => a.offset - b.offset);
      for (const event of events) {
        yield* due(event.offset);
        this.#after = event.place;
        yield event;
      }
      if (more && events.length > 0) continue;
      yield* due(Number.POSITIVE_INFINITY);
      return;
    }
  }
}

interface Printer {
  event(event: KernelEventInfo): void;
  end(): void;
}

/** Prints events as they arrive, so that memory does not depend on their number. */
function jsonPrinter(): Printer {
  const { out } = standardOutput;
  let any = false;
  return {
    event: (event) => {
      out.write(`${any ? ',' : '['}\n  ${escapedJson(event)}`);
      any = true;
    },
    end: () => void out.write(any ? '\n]\n' : '[]\n'),
  };
}

function treePrinter(all: boolean): Printer {
  const events: KernelEventInfo[] = [];
  return { event: (event) => void events.push(event), end: () => printTree(events, all) };
}

async function follow(client: Client, session: string, options: Options): Promise<void> {
  const source = new Events(client, session, { ...options, tree: false });
  const head = headPrinter(options);
  for (let over = false; ; await sleep(FOLLOW_MS)) {
    // Asked before the events, so that the last of them are read once more when it is over.
    const { state } = await call(client.viewer, showSession, { params: { id: session } });
    for await (const event of source.read()) {
      head(source.openedFrom);
      if (options.json === true) standardOutput.out.write(`${escapedJson(event)}\n`);
      else printEvent(event);
    }
    if (over) return;
    over = state !== 'live';
  }
}

/** Says once from inside of which session this one was opened, where that is known; not in JSON, which `steno sessions` has it in. */
function headPrinter({ json }: Options): (outer: SessionRef | undefined) => void {
  let said = json === true;
  return (outer) => {
    if (said || outer === undefined) return;
    said = true;
    const { out, env } = standardOutput;
    out.write(
      `${styled(out, env, 'dim', `Opened from inside session ${visible(outer.id)}, ${visible(`${outer.user} as ${outer.login}@${outer.node}`)}`)}\n`,
    );
  };
}

function printEvent(event: KernelEventInfo): void {
  const { out, env } = standardOutput;
  const pid = typeof event.data['pid'] === 'number' ? String(event.data['pid']) : '';
  out.write(
    `${styled(out, env, 'dim', time(event.offset).padStart(9))}  ${styled(out, env, 'dim', pid.padStart(7))}  ${describe(event)}\n`,
  );
}
