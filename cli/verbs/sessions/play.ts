/**
 * `steno play`: replays a session on the reader's terminal, segment by segment, so that a long one starts at once.
 *
 * Participants who join or leave are named on the terminal's last row, over the recording, or else on standard error.
 *
 * A watermark is said before and after, since what a terminal shows is the recording alone.
 *
 * Keys: space pauses, `.` steps while paused, left and right jump 10 s, `q` or Ctrl-C ends. What is shown goes through
 * `TerminalFilter`. Live sessions are played as far as they are stored.
 */
import { Command, InvalidArgumentError } from 'commander';
import { listSegments, showSegment } from '#schemas/api/recordings/sessions.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { targetOf } from '#schemas/endpoint/target.js';
import type { SegmentIndex } from '#schemas/api/recordings/sessions.js';
import { watermarkText } from '#schemas/offline/watermark.js';
import { parseLine, parseSize } from '#schemas/recording/line.js';
import type { Participant, RecordingLine } from '#schemas/recording/line.js';
import { openClient } from '../../client/client.js';
import type { Client } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { readText } from '../../client/read-text.js';
import { clock, standardOutput, visible } from '../../terminal/output.js';
import { TerminalFilter } from '../../terminal/terminal-filter.js';
import { requireSession } from '../evidence/fetch.js';

interface PlayOptions {
  readonly speed: number;
  readonly idleLimit?: number;
  readonly at: number;
}

function positive(value: string): number {
  const number = Number(value);
  if (!(number > 0) || number > 1000) throw new InvalidArgumentError('Give a number above 0.');
  return number;
}

/** `90`, `1:30` or `1:01:30` as milliseconds. */
export function parseOffset(value: string): number {
  if (!/^\d{1,6}(:\d{1,2}){0,2}(\.\d+)?$/.test(value)) throw new InvalidArgumentError('Give seconds, or H:MM:SS.');
  return Math.round(value.split(':').reduce((sum, part) => sum * 60 + Number(part), 0) * 1000);
}

export function playCommand(): Command {
  return new Command('play')
    .description('replay a session in this terminal')
    .argument('<id>', 'the session')
    .option('--speed <factor>', 'how fast', positive, 1)
    .option('--idle-limit <seconds>', 'shorten pauses to this', positive)
    .option('--at <time>', 'where to start: seconds, or H:MM:SS', parseOffset, 0)
    .addHelpText('after', '\nKeys: space pauses, . steps, left and right jump 10 s, q ends.')
    .action(async (id: string, options: PlayOptions) => {
      requireSession(id);
      const client = openClient(openHome());
      const index = await call(client.viewer, listSegments, { params: { id } });
      await new Playback(client, index, options).run();
    });
}

class Playback {
  readonly #client: Client;
  readonly #index: SegmentIndex;
  readonly #options: PlayOptions;
  #position: number;
  #paused = false;
  #steps = 0;
  #jump: number | null = null;
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(client: Client, index: SegmentIndex, options: PlayOptions) {
    this.#client = client;
    this.#index = index;
    this.#options = options;
    this.#position = Math.min(options.at, index.duration);
  }

  async run(): Promise<void> {
    const { out } = standardOutput;
    const tty = out.isTTY === true;
    const restore = this.#listen();
    const { watermark } = this.#index;
    const mark = watermark === undefined ? '' : `Viewed by ${visible(watermarkText(watermark))}, session ${this.#index.session}.\n`;
    standardOutput.err.write(mark);
    try {
      if (tty && (process.stdout.columns < this.#index.cols || process.stdout.rows < this.#index.rows)) {
        standardOutput.err.write(
          `Recorded at ${this.#index.cols}x${this.#index.rows}; this terminal is ${process.stdout.columns}x${process.stdout.rows}.\n`,
        );
      }
      for (;;) {
        const target = await this.#playFrom(this.#position);
        if (target === null) break;
        this.#position = target;
      }
    } finally {
      restore();
      if (tty) out.write('\u001b[0m\u001b[?1049l\u001b[?25h\r\n');
    }
    standardOutput.err.write(mark);
    if (this.#index.live) standardOutput.err.write(`The session is live; played up to ${clock(this.#index.duration)}.\n`);
  }

  /** Plays to the end. Returns the target if a key asked for a jump, otherwise null. */
  async #playFrom(from: number): Promise<number | null> {
    const filter = new TerminalFilter();
    const { segments } = this.#index;
    // The beginning is drawn from the lines alone, whatever keyframes there are.
    const first =
      from === 0
        ? 0
        : Math.max(
            0,
            segments.findLastIndex(({ start }) => start <= from),
          );
    // Everything before `from` is drawn at once, as one write.
    let pending = '\u001bc';
    for (const segment of segments.slice(first)) {
      let at = segment.start;
      for (const [i, line] of (await this.#lines(segment.n)).entries()) {
        const wait = line.interval;
        at += wait;
        if (this.#ended) return null;
        if (at <= from) {
          pending += textOf(line, filter, first > 0 && i === 0 && segment.n === segments[first]!.n);
          continue;
        }
        if (pending !== '') standardOutput.out.write(pending);
        pending = '';
        this.#position = at;
        await this.#pause(wait);
        if (this.#ended) return null;
        if (this.#jump !== null) {
          const target = Math.max(0, Math.min(this.#index.duration, at + this.#jump));
          this.#jump = null;
          return target;
        }
        standardOutput.out.write(textOf(line, filter, false));
      }
    }
    standardOutput.out.write(pending);
    return null;
  }

  async #lines(n: number): Promise<RecordingLine[]> {
    const body = await this.#client.stream(targetOf(showSegment.path, { id: this.#index.session, n }));
    const text = await readText(body, `segment ${n}`);
    return text.split('\n').flatMap((line) => (line === '' || line.startsWith('{') ? [] : (parseLine(line) ?? [])));
  }

  /** Waits as long as the recording did, less with speed and idle limit; keys end it early. */
  async #pause(wait: number): Promise<void> {
    const limited = Math.min(wait, (this.#options.idleLimit ?? Number.POSITIVE_INFINITY) * 1000) / this.#options.speed;
    if (limited >= 1) await this.#sleep(limited);
    while (this.#paused && this.#steps === 0 && this.#jump === null && !this.#ended) await this.#sleep(2 ** 31 - 1);
    if (this.#steps > 0) this.#steps -= 1;
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #listen(): () => void {
    const { stdin } = process;
    if (!stdin.isTTY) return () => undefined;
    const onKey = (key: Buffer): void => {
      const name = key.toString('latin1');
      if (name === 'q' || name === '\u0003') this.#ended = true;
      else if (name === ' ') this.#paused = !this.#paused;
      else if (name === '.') this.#steps += 1;
      else if (name === '\u001b[C') this.#jump = 10_000;
      else if (name === '\u001b[D') this.#jump = -10_000;
      this.#wake();
    };
    stdin.setRawMode(true);
    stdin.resume();
    stdin.on('data', onKey);
    return () => {
      stdin.off('data', onKey);
      stdin.setRawMode(false);
      stdin.pause();
    };
  }
}

/** The output that a line draws. A keyframe draws only where playback begins, if that is the head of a segment other than the first. */
function textOf(line: RecordingLine, filter: TerminalFilter, keyframes: boolean): string {
  switch (line.code) {
    case 'o':
      return filter.filter(line.data);
    case 'k':
      return keyframes ? `\u001bc${new TerminalFilter().filter(line.data.screen)}` : '';
    case 'r': {
      // XTWINOPS 8: terminals that may resize themselves do; others ignore it.
      const size = parseSize(line.data);
      return size === null || standardOutput.out.isTTY !== true ? '' : `\u001b[8;${size.rows};${size.cols}t`;
    }
    case 'j':
      return participantText(line.data);
    default:
      return '';
  }
}

/** The session's user comes and goes with the session, which needs no words. Names come from a recording. */
function participantText({ user, action, mode }: Participant): string {
  if (mode === 'owner') return '';
  const words = visible(`${String(user)} ${action === 'joined' ? 'joined' : 'left'} as ${String(mode)}`).slice(0, 120);
  const { out, err } = standardOutput;
  if (out.isTTY === true) return `\u001b7\u001b[${process.stdout.rows};1H\u001b[0;7m ${words} \u001b[0m\u001b[K\u001b8`;
  err.write(`${words}\n`);
  return '';
}
