/**
 * Going back in a live session, in the terminal of `steno join`: what the session showed, drawn over the other screen of this terminal, with a
 * row that says where it stands.
 *
 *     opening ──► shown, paused or playing ──plays up to what comes in, or a key──► over: the session as it is again
 *        ├──not listed yet: waits within bounds (schemas/player/listing.ts)
 *        └──the viewer refuses──► refused ──a key──► over
 *
 * The recording is drawn by an emulator, and this terminal gets its screen alone, through `TerminalFilter`: nothing recorded steers it. Limits: a
 * terminal smaller than the session's shows the rows around the cursor, without colours. Tested in
 * test/end-to-end/join-past.test.ts.
 */
import { showSession } from '#schemas/api/recordings/sessions.js';
import { searchScreens } from '#schemas/api/recordings/search.js';
import type { SearchHit } from '#schemas/api/recordings/search.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { watermarkText } from '#schemas/offline/watermark.js';
import { untilListed } from '#schemas/player/listing.js';
import type { Dispatch, Replay } from '#schemas/player/replay.js';
import { ScreenTerminal } from '#runtime/terminal/screen-terminal.js';
import type { Client } from '../client/client.js';
import { clock, visible } from '../terminal/output.js';
import { TerminalFilter } from '../terminal/terminal-filter.js';
import { fitted } from '../terminal/width.js';
import { keysOf, pastKey } from './keys.js';
import type { Entry, PastKey } from './keys.js';
import { after, openRecording } from './recording.js';
import type { LiveRecording } from './recording.js';

export interface PastParts {
  readonly client: () => Client;
  readonly session: string;
  readonly write: (text: string) => void;
  readonly size: () => { readonly cols: number; readonly rows: number };
  /** The session as it is again; called once. */
  readonly over: () => void;
}

interface Prompt {
  readonly for: 'search' | 'moment';
  readonly text: string;
}

const DRAW_MS = 33;
const CLOCK_MS = 250;
const SLOWEST = 0.5;
const FASTEST = 16;
const MAX_PROMPT = 200;
const HITS = 100;
/** CAN ends a sequence that the session's output was in; then the other screen, without the modes that programs set for keys and pointers. */
const ENTER = '\u0018\u001b[?1049h\u001b[?1;9;1000;1002;1003;1004;1005;1006;1015;2004l';
const LEAVE = '\u001b[!p\u001b[r\u001b[0m\u001b(B\u000f\u001b[?7;25h\u001b[?1049l';
const CLEAN = '\u001b[!p\u001b[r\u001b[0m\u001b(B\u000f\u001b[?7;25h\u001b[H\u001b[2J';
const OTHER_SCREEN = '\u001b[?1049h';
const KEYS = 'space plays, arrows 10 s and 1 min, g goes to, / searches, n N hits, c catches up, q to the session';

export class PastView {
  readonly #parts: PastParts;
  #recording: LiveRecording | null = null;
  #screen: ScreenTerminal | null = null;
  #drawing: (() => void) | null = null;
  #ticking: (() => void) | null = null;
  #note = '';
  #prompt: Prompt | null = null;
  #hits: readonly SearchHit[] = [];
  #hit = -1;
  /** Arriving at the end ends the view; not while it opens, which is at the end. */
  #armed = false;
  #over = false;

  constructor(parts: PastParts, entry: Entry) {
    this.#parts = parts;
    parts.write(ENTER);
    this.#note = 'reading the recording';
    this.#draw();
    this.#open(entry).catch((error: unknown) => this.#say(`going back is not possible: ${wordsOf(error)}`));
  }

  keys(text: string): void {
    for (const key of keysOf(text)) {
      if (this.#over) return;
      // Until there is a recording, the note is all there is to read.
      if (this.#recording !== null) this.#note = '';
      if (this.#prompt !== null) this.#write(this.#prompt, key);
      else this.#press(pastKey(key));
    }
    this.#soon();
  }

  resized(): void {
    this.#soon();
  }

  /** Leaves this terminal as it was. May be repeated. */
  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#drawing?.();
    this.#ticking?.();
    this.#recording?.close();
    this.#screen?.dispose();
    this.#parts.write(LEAVE);
  }

  async #open(entry: Entry): Promise<void> {
    const recording = await this.#listed();
    if (this.#over) return recording.close();
    this.#recording = recording;
    const { replay } = recording;
    replay.subscribe(() => this.#changed(replay));
    await replay.open(this.#dispatch);
    if (this.#over) return;
    this.#note = '';
    if (entry === 'back') await replay.seek(replay.position - 10_000);
    else replay.pause();
    if (entry === 'search') this.#prompt = { for: 'search', text: '' };
    this.#armed = true;
    this.#soon();
  }

  /** Opens the recording, waiting if the viewer does not know the session yet; `q` ends the wait. */
  async #listed(): Promise<LiveRecording> {
    const { session } = this.#parts;
    const client = this.#parts.client();
    try {
      return await openRecording(client, session);
    } catch (error) {
      if (!isUnlisted(error)) throw error;
      this.#say('not yet listed; waiting');
      const look = (): Promise<boolean> => isListed(client, session);
      if (!(await untilListed({ look, after, stopped: () => this.#over }))) throw error;
      this.#say('reading the recording');
      return openRecording(client, session);
    }
  }

  readonly #dispatch: Dispatch = (name, data) => {
    if (this.#over) return;
    if (name === 'reset') {
      const { size, init } = data as { readonly size: { readonly cols: number; readonly rows: number }; readonly init: string };
      this.#screen?.dispose();
      this.#screen = new ScreenTerminal(size.cols, size.rows);
      this.#screen.write(init);
    } else if (name === 'output') this.#screen?.write(data as string);
    else if (name === 'resize') {
      const { cols, rows } = data as { readonly cols: number; readonly rows: number };
      this.#screen?.resize(cols, rows);
    }
    this.#soon();
  };

  #changed({ state }: Replay): void {
    if (this.#armed && state.following) return this.#leave();
    if (state.phase === 'failed') this.#note = `this part cannot be read: ${state.error ?? ''}`;
    this.#soon();
  }

  #leave(): void {
    if (this.#over) return;
    this.close();
    this.#parts.over();
  }

  #press(key: PastKey | null): void {
    if (key === 'live') return this.#leave();
    const replay = this.#recording?.replay;
    if (replay === undefined || !this.#armed) return;
    if (key === null) return this.#say(KEYS);
    switch (key) {
      case 'toggle':
        return replay.toggle();
      case 'beginning':
        return void replay.seek(0);
      case 'moment':
      case 'search':
        replay.pause();
        this.#prompt = { for: key, text: '' };
        return;
      case 'catch up':
        return replay.catchUp();
      case 'skip idle':
        return replay.setSkipIdle(!replay.state.skipIdle);
    }
    if ('by' in key) return void replay.seek(Math.max(0, replay.position + key.by));
    if ('step' in key) return void replay.step(key.step);
    if ('hit' in key) return this.#toHit(this.#hit + key.hit);
    const speed = key.faster ? replay.state.speed * 2 : replay.state.speed / 2;
    replay.setSpeed(Math.max(SLOWEST, Math.min(FASTEST, speed)));
  }

  #write(prompt: Prompt, key: string): void {
    if (key === '\u001b' || key === '\u0003') this.#prompt = null;
    else if (key === '\r' || key === '\n') {
      this.#prompt = null;
      const text = prompt.text.trim();
      if (text === '') return;
      if (prompt.for === 'moment') return this.#goTo(text);
      this.#search(text).catch((error: unknown) => this.#say(`the search failed: ${wordsOf(error)}`));
    } else if (key === '\u007f' || key === '\b') this.#prompt = { ...prompt, text: [...prompt.text].slice(0, -1).join('') };
    else if (key === '\u0015') this.#prompt = { ...prompt, text: '' };
    else if (key >= ' ' && !key.startsWith('\u001b') && prompt.text.length < MAX_PROMPT)
      this.#prompt = { ...prompt, text: prompt.text + key };
  }

  #goTo(text: string): void {
    if (!/^\d{1,6}(:\d{1,2}){0,2}$/.test(text)) return this.#say('give seconds, or H:MM:SS');
    void this.#recording!.replay.seek(text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0) * 1000);
  }

  async #search(q: string): Promise<void> {
    this.#say(`searching for ${q}`);
    const { session, client } = this.#parts;
    const { hits } = await call(client().viewer, searchScreens, { query: { q, session, limit: HITS } });
    if (this.#over) return;
    this.#hits = [...hits].sort((a, b) => a.time - b.time);
    if (hits.length === 0) return this.#say(`no match for ${q}`);
    // The last one before the moment shown: people look for what has just gone by.
    const here = this.#recording!.replay.position;
    this.#toHit(
      Math.max(
        0,
        this.#hits.findLastIndex(({ time }) => time <= here),
      ),
    );
  }

  #toHit(n: number): void {
    const hit = this.#hits[n];
    if (hit === undefined) return this.#say(this.#hits.length === 0 ? 'nothing was searched for; / searches' : 'there is no further match');
    this.#hit = n;
    const { replay } = this.#recording!;
    replay.pause();
    void replay.seek(hit.time).then(() => this.#say(`match ${n + 1} of ${this.#hits.length}: ${hit.text.trim()}`));
  }

  #say(words: string): void {
    this.#note = words;
    this.#soon();
  }

  #soon(): void {
    if (this.#over) return;
    this.#drawing ??= after(DRAW_MS, () => this.#draw());
  }

  #draw(): void {
    this.#drawing = null;
    if (this.#over) return;
    const size = this.#parts.size();
    const screen = this.#screen;
    const bottom = screen !== null && screen.rows >= size.rows && screen.cursorRow >= size.rows - 1;
    const row = bottom && fits(screen, size) ? 1 : size.rows;
    const line = `\u001b[${row};1H\u001b[?7h\u001b[0;7m ${fitted(visible(this.#status()), Math.max(1, size.cols - 3))} \u001b[0m\u001b[K`;
    const status = this.#prompt === null ? `\u001b7${line}\u001b8` : line;
    this.#parts.write(`\u001b[?2026h${CLEAN}${screen === null ? '' : pictureOf(screen, size)}${status}\u001b[?2026l`);
    this.#ticking?.();
    this.#ticking = this.#recording?.replay.state.phase === 'playing' ? after(CLOCK_MS, () => this.#soon()) : null;
  }

  #status(): string {
    if (this.#prompt !== null) return `steno: ${this.#prompt.for === 'search' ? 'search for' : 'go to (H:MM:SS)'}: ${this.#prompt.text}`;
    const recording = this.#recording;
    if (recording === null || this.#note !== '') return `steno: ${this.#note}${recording === null ? ' - q to the session' : ''}`;
    const { replay, opening } = recording;
    const { phase, speed, duration, skipIdle } = replay.state;
    const behind = duration - replay.position;
    return [
      `steno: ${clock(replay.position)} of ${clock(duration)}`,
      phase === 'playing' ? `${speed}x${skipIdle ? ' without idle time' : ''}` : phase,
      ...(behind >= 1_000 ? [`${clock(behind)} behind`] : []),
      ...(opening.watermark === undefined ? [] : [watermarkText(opening.watermark)]),
      KEYS,
    ].join(' - ');
  }
}

function fits(
  { cols, rows }: { readonly cols: number; readonly rows: number },
  size: { readonly cols: number; readonly rows: number },
): boolean {
  return cols <= size.cols && rows <= size.rows;
}

/** Escape sequences that draw the screen from its first row on, whatever is recorded. */
function pictureOf(screen: ScreenTerminal, size: { readonly cols: number; readonly rows: number }): string {
  const filter = new TerminalFilter();
  if (!fits(screen, size)) {
    const top = Math.max(0, screen.cursorRow - size.rows + 2);
    const rows = Array.from({ length: Math.min(screen.rows - top, size.rows - 1) }, (_, row) => screen.text(top + row).trimEnd());
    return filter.filter(rows.map((text) => fitted(text, size.cols)).join('\r\n'));
  }
  const { screen: whole } = screen.keyframe(false);
  // Behind a program's screen lies that of the shell, which is not shown: this view is on the terminal's other screen itself.
  const at = whole.lastIndexOf(OTHER_SCREEN);
  return filter.filter(at < 0 ? whole : whole.slice(at + OTHER_SCREEN.length));
}

function isUnlisted(error: unknown): boolean {
  return error instanceof StenoError && error.code === 'SESSION_UNKNOWN';
}

async function isListed(client: Client, id: string): Promise<boolean> {
  try {
    await call(client.viewer, showSession, { params: { id } });
    return true;
  } catch (error) {
    if (isUnlisted(error)) return false;
    throw error;
  }
}

function wordsOf(error: unknown): string {
  if (!(error instanceof StenoError)) return error instanceof Error ? error.message : String(error);
  // Users who may not view a session are not told that it exists.
  if (isUnlisted(error))
    return 'the session is not listed: your roles do not let you view it, or its gateway has not handed it over yet [SESSION_UNKNOWN]';
  return `${error.entry.message}${error.detail === undefined ? '' : `: ${error.detail}`} [${error.code}]`;
}
