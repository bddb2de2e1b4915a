/**
 * Labels that a node reports about itself and that change: from the output of commands and from its cloud.
 *
 * They are unverified: the authority accepts only keys that begin with `node/` and those that the node's token allows, and
 * never lets one replace a label of the token (schemas/join.ts). Commands run as the agent's user, without a shell, one at a
 * time, for at most 10 s; the first line of output counts, up to 255 bytes. If a command fails, its label is removed. Tested
 * in test/agent/labels.test.ts.
 */
import { execFile } from 'node:child_process';
import { StenoError } from '#schemas/base/errors.js';
import { labelKey } from '#schemas/join.js';
import type { Log } from '#runtime/log.js';

const COMMAND_LIMIT_MS = 10_000;
const SHORTEST_PERIOD_MS = 5_000;
const DEFAULT_PERIOD_MS = 300_000;
const MAX_COMMANDS = 32;
const CLOUD_PERIOD_MS = 300_000;

export interface LabelCommand {
  readonly key: string;
  readonly periodMs: number;
  readonly words: readonly [string, ...string[]];
}

/** `KEY=COMMAND WORD…` or `KEY=PERIOD:COMMAND WORD…`, such as `node/kernel=1h:uname -r`. Throws USAGE. */
export function parseLabelCommand(text: string): LabelCommand {
  const match = /^([^=]+)=(?:(\d{1,6})([smh]):)?(.+)$/s.exec(text);
  const words = match?.[4]?.trim().split(/\s+/) ?? [];
  const key = labelKey.safeParse(match?.[1]);
  if (match === null || !key.success || words.length === 0 || words[0] === '')
    throw new StenoError('USAGE', `"${text}" is not KEY=[PERIOD:]COMMAND`);
  const unit = { s: 1_000, m: 60_000, h: 3_600_000 }[match[3] ?? ''];
  const periodMs = unit === undefined ? DEFAULT_PERIOD_MS : Number(match[2]) * unit;
  if (periodMs < SHORTEST_PERIOD_MS) throw new StenoError('USAGE', `"${text}": the period is at least ${SHORTEST_PERIOD_MS / 1000}s`);
  return { key: key.data, periodMs, words: words as [string, ...string[]] };
}

export interface LabelsConfig {
  readonly fixed: Readonly<Record<string, string>>;
  readonly commands: readonly LabelCommand[];
  /** Labels of the cloud, with full keys; null if it cannot be queried now. */
  readonly cloud: (() => Promise<Readonly<Record<string, string>> | null>) | null;
}

export class Labels {
  readonly #config: LabelsConfig;
  readonly #log: Log;
  readonly #onChange: () => void;
  readonly #said = new Map<string, string>();
  #cloud: Readonly<Record<string, string>> = {};
  readonly #timers: NodeJS.Timeout[] = [];
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(config: LabelsConfig, { log, onChange }: { readonly log: Log; readonly onChange: () => void }) {
    if (config.commands.length > MAX_COMMANDS) throw new StenoError('USAGE', `at most ${MAX_COMMANDS} label commands`);
    this.#config = config;
    this.#log = log;
    this.#onChange = onChange;
  }

  /** Resolves when each source has been queried once. */
  start(): Promise<void> {
    for (const command of this.#config.commands) this.#every(command.periodMs, () => this.#ask(command));
    const { cloud } = this.#config;
    if (cloud !== null) {
      this.#every(CLOUD_PERIOD_MS, async () => {
        const labels = await cloud();
        if (labels !== null) this.#cloud = labels;
      });
    }
    return this.#running;
  }

  /** Fixed labels win over those from commands, and those over the cloud's. */
  current(): Readonly<Record<string, string>> {
    return Object.fromEntries(Object.entries({ ...this.#cloud, ...Object.fromEntries(this.#said), ...this.#config.fixed }).slice(0, 64));
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
  }

  #every(periodMs: number, act: () => Promise<void>): void {
    const run = (): void => {
      this.#running = this.#running
        .then(async () => {
          if (this.#closed) return;
          const before = JSON.stringify(this.current());
          await act();
          if (!this.#closed && JSON.stringify(this.current()) !== before) this.#onChange();
        })
        .catch((error: unknown) => this.#log.warn({ err: error }, 'failed to read labels'));
    };
    run();
    const timer = setInterval(run, periodMs);
    timer.unref();
    this.#timers.push(timer);
  }

  async #ask({ key, words: [file, ...args] }: LabelCommand): Promise<void> {
    const line = await new Promise<string | null>((resolve) => {
      execFile(file, args, { timeout: COMMAND_LIMIT_MS, killSignal: 'SIGKILL', maxBuffer: 64 << 10, encoding: 'utf8' }, (error, stdout) =>
        resolve(error === null ? stdout : null),
      );
    });
    const value = line === null ? null : printableLine(line);
    if (value === null) {
      this.#log.warn({ label: key, command: file }, 'the command for a label failed');
      this.#said.delete(key);
    } else this.#said.set(key, value);
  }
}

/** The first line, without characters that labels may not have, cut to 255 bytes. */
export function printableLine(text: string): string {
  const line = (text.split('\n')[0] ?? '').replace(/[\p{C}]/gu, '').trim();
  let value = '';
  for (const char of line) {
    if (Buffer.byteLength(value + char) > 255) break;
    value += char;
  }
  return value;
}
