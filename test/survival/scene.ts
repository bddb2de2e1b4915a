/**
 * The script of every row of the tables: a user works in a shell that prints numbered lines, a failure happens at a known
 * moment, and afterwards the output of the terminal is compared with the recording, its signatures and the search index.
 *
 * Moments are detected in the files of the spool and of the object store, polled without sleeping, so that the failure
 * comes within a millisecond. A missed moment is no fault: the same must hold afterwards. Nothing here waits for a time.
 */
import { execFileSync } from 'node:child_process';
import { createWriteStream, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { expect } from 'vitest';
import { findHits } from '#schemas/api/recordings/find.js';
import type { SearchResult } from '#schemas/api/recordings/search.js';
import type { SessionInfo, SessionList } from '#schemas/api/recordings/sessions.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { AuditRow } from '#schemas/events/rows.js';
import type { Verdict } from '#schemas/recording/verify.js';
import { KeyframeCheck } from '#recordings/render/keyframe-check.js';
import { openVerifier } from '#runtime/ssh/verifier.js';
import { openClient } from '../../cli/client/client.js';
import type { Client } from '../../cli/client/client.js';
import { openHome } from '../../cli/client/home.js';
import { eventually } from '../end-to-end/machine.js';
import type { Steno, Terminal } from '../end-to-end/machine.js';

/** More than the 256 KiB of lines that trigger a checkpoint; random, so that compression does not help a full disk. */
export const A_PART = 300_000;

/** Prints `TAGn000001`, `TAGn000002`, … until a file exists or its reader is gone; filler bytes, if any, follow line 20. */
const program = `#!/bin/sh
tag=$1 stop=$2 filler=$3
i=1
while [ ! -e "$stop" ]; do
  printf '%sn%06d\\n' "$tag" "$i" || exit 1
  [ "$i" != 20 ] || [ "$filler" = 0 ] || { head -c "$filler" /dev/urandom | base64 -w 100; }
  [ "$i" -lt 30 ] || sleep 0.02
  i=$((i + 1))
done
printf '%sdone\\n' "$tag"
`;

let scenes = 0;

export class Scene {
  readonly steno: Steno;
  readonly tag: string;
  readonly terminal: Terminal;
  session = '';
  readonly #before: ReadonlySet<string>;
  readonly #stop: string;
  #printing = false;

  /** Connects at once; `opened` resolves when the shell is ready. */
  constructor(steno: Steno) {
    this.steno = steno;
    this.tag = `s${process.pid}x${++scenes}`;
    this.#stop = join(steno.folder, `${this.tag}.stop`);
    writeFileSync(join(steno.folder, 'print'), program);
    this.#before = new Set(this.#spooled());
    this.terminal = steno.terminal('ssh', ['-F', steno.config, `${steno.login}@local.steno`], { cols: 200, rows: 50 });
  }

  get spool(): string {
    return join(this.steno.data, 'gateway', 'spool');
  }

  #spooled(): string[] {
    return readdirSync(this.spool).filter((name) => /^[0-9a-z]{26}\.cast$/.test(name));
  }

  /** Resolves when the header of the recording is written, before the shell runs. */
  async recorded(): Promise<void> {
    await seen(
      () => {
        const name = this.#spooled().find((one) => !this.#before.has(one) && textOf(join(this.spool, one)) !== '');
        if (name !== undefined) this.session = name.slice(0, 26);
        return this.session !== '';
      },
      () => `no recording began:\n${this.terminal.text()}\n${this.steno.logs()}`,
    );
  }

  async opened(): Promise<void> {
    await this.recorded();
    await this.terminal.until(/[$#] $/);
  }

  print(filler = 0): void {
    this.#printing = true;
    this.terminal.write(`sh ${this.steno.folder}/print ${this.tag} ${this.#stop} ${filler}\r`);
  }

  async printed(line: number): Promise<void> {
    await this.terminal.until(new RegExp(`${this.tag}n${String(line).padStart(6, '0')}\r`));
  }

  /** Waits for some more lines. */
  async printedMore(): Promise<void> {
    await this.printed((this.#shownLines(this.terminal.text()).length || 0) + 5);
  }

  async stopPrinting(): Promise<void> {
    writeFileSync(this.#stop, '');
    await this.terminal.until(new RegExp(`${this.tag}done\r\n[^\r\n]*[$#] $`));
  }

  /** Ends the shell if it still runs. */
  async leave(): Promise<void> {
    writeFileSync(this.#stop, '');
    const gone = this.terminal.ended;
    const atPrompt = this.#printing ? new RegExp(`${this.tag}done`) : /[$#] $/;
    await Promise.race([gone, this.terminal.until(atPrompt).catch(() => undefined)]);
    this.terminal.write('exit\r');
    await gone;
  }

  #shownLines(text: string): string[] {
    return [...text.matchAll(new RegExp(`${this.tag}n\\d{6}(?=\r\n)`, 'g'))].map(([line]) => line);
  }

  /** Files of the recording in the object store, if that is a folder. Without the event log, which test/kernel/ tests. */
  get objects(): readonly string[] {
    const root = join(this.steno.data, 'store', 'objects', 'recordings');
    return existsSync(root)
      ? readdirSync(root, { recursive: true, encoding: 'utf8' })
          .filter((path) => path.includes(this.session) && /\.(zst|json)$/.test(path) && !path.includes('/events-'))
          .map((path) => path.slice(path.lastIndexOf('/') + 1))
      : [];
  }

  hasObject(name: string): boolean {
    const [year, month, day] = new Date(timeOf(this.session)).toISOString().slice(0, 10).split('-');
    return existsSync(join(this.steno.data, 'store', 'objects', 'recordings', year!, month!, day!, this.session, name));
  }

  get lines(): string {
    return textOf(join(this.spool, `${this.session}.cast`));
  }

  get journal(): string {
    return textOf(join(this.spool, `${this.session}.state`));
  }

  /** Whether the spool has nothing left, because ingest has acknowledged the end. */
  get forgotten(): boolean {
    return !existsSync(join(this.spool, `${this.session}.cast`)) && !existsSync(join(this.spool, `${this.session}.state`));
  }

  row(): Promise<SessionInfo | undefined> {
    return api<SessionList>(this.steno, '/api/sessions?limit=50').then(({ sessions }) => sessions.find(({ id }) => id === this.session));
  }

  /** Lines of the sequence that a search finds, with their counts. */
  async found(): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    // One search returns at most a hundred hits.
    for (let hundred = 0, more = true; more; hundred++) {
      const { hits } = await api<SearchResult>(
        this.steno,
        `/api/search?q=${this.tag}n${String(hundred).padStart(4, '0')}&mode=substring&limit=100`,
      );
      more = hits.length > 0;
      for (const { text } of hits) for (const line of this.#shownLines(`${text}\r\n`)) found.set(line, (found.get(line) ?? 0) + 1);
    }
    return found;
  }

  /**
   * Checks that all output is recorded, signed and searchable once; with `lost`, except where there is a gap. Returns how
   * the recording ended.
   */
  async check({ lost = false } = {}): Promise<string> {
    const { steno, session } = this;
    const shown = this.terminal.text();
    const lines = this.#shownLines(shown);
    await eventually(
      () => this.row().catch(() => undefined),
      (row) => row?.state === 'sealed' || row?.state === 'interrupted',
      60_000,
    ).catch((error: unknown) => {
      throw new Error(`${session} was not sealed: ${String(error)}\n${steno.logs()}`);
    });
    await eventually(
      async () => this.forgotten,
      (forgotten) => forgotten,
    );
    const file = join(steno.folder, `${this.tag}.cast.zst`);
    await pipeline(await clientOf(steno).stream(`/api/sessions/${session}/export?format=cast.zst`), createWriteStream(file));
    const last = lines.at(-1);
    const verdict = await verdictOn(steno, file);
    expect(verdict).toMatchObject({ ok: true, header: { steno: { session } } });
    const end = verdict.ok ? verdict.checkpoint.end : '';
    // The last messages of ssh and of the gateway are not part of the session.
    const own =
      last === undefined
        ? shown.split(/(?:\r\n)?steno: |Connection /)[0]!
        : shown.slice(shown.indexOf(lines[0]!), shown.lastIndexOf(last) + last.length);
    const recorded = this.#recorded(file);
    const gap = recorded.some(([, code, data]) => code === 'g' && (data as { reason: string }).reason === 'recorder_failed');
    expect(gap).toBe(lost);
    if (lost) return end;
    expect(recorded.flatMap(([, code, data]) => (code === 'o' ? [String(data)] : [])).join('')).toContain(own);
    if (last === undefined) return end;
    const { hits } = await call(clientOf(steno).viewer, findHits, { query: { q: `"${last}" kind:screen`, limit: 100 } });
    expect(hits.map((hit) => hit.session)).toEqual([session]);
    const found = await this.found();
    expect([...found].filter(([, times]) => times > 1)).toEqual([]);
    expect(lines.filter((line) => !found.has(line))).toEqual([]);
    return end;
  }

  #recorded(file: string): [number, string, unknown][] {
    return execFileSync('zstd', ['-dc', file], { encoding: 'utf8', maxBuffer: 64 << 20 })
      .trimEnd()
      .split('\n')
      .filter((line) => line.startsWith('['))
      .map((line) => JSON.parse(line) as [number, string, unknown]);
  }
}

/** The user who is logged in, as the command is. */
export function clientOf(steno: Steno): Client {
  return openClient(openHome(steno.env));
}

/** A signed request to the viewer, as the command makes it. */
export function api<T>(steno: Steno, path: string): Promise<T> {
  return clientOf(steno).viewer('GET', path) as Promise<T>;
}

/** What `steno verify` finds of a file. */
async function verdictOn(steno: Steno, file: string): Promise<Verdict> {
  const verify = await openVerifier(clientOf(steno).profile.recording_ca, (header) => new KeyframeCheck(header));
  return verify(readFileSync(file));
}

export async function audit(steno: Steno, event: string): Promise<readonly AuditRow[]> {
  const answer = await api<readonly AuditRow[] | { readonly rows: readonly AuditRow[] }>(steno, `/api/audit?event=${event}&limit=100`);
  return 'rows' in answer ? answer.rows : answer;
}

/** Polls at every turn of the event loop. */
export async function seen(look: () => boolean, otherwise: () => string = () => 'never seen', limitMs = 30_000): Promise<void> {
  for (const deadline = Date.now() + limitMs; !look(); await new Promise((resolve) => setImmediate(resolve))) {
    if (Date.now() > deadline) throw new Error(otherwise());
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The time in a session id, in ms since 1970. */
function timeOf(session: string): number {
  return [...session.slice(0, 10)].reduce((time, digit) => time * 32 + '0123456789abcdefghjkmnpqrstvwxyz'.indexOf(digit), 0);
}
