/** Secrets typed at real programs under a real terminal: none may be in the recording. */
import { existsSync } from 'node:fs';
import { spawn } from 'node-pty';
import type { IPty } from 'node-pty';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRecorder } from './start.js';
import type { RunningRecorder } from './start.js';
import type { SessionRecorder } from './recorder.js';
import { facts, parseLines, spooledLines, textOf, trialDeps, trialFolder } from '../testing/recorder.js';

const SECRET = 'hunter2-Xyzzy';
let folder: ReturnType<typeof trialFolder>;
let recorder: RunningRecorder;

beforeAll(async () => {
  folder = trialFolder();
  recorder = await startRecorder({ spool: folder.path, gateway: 'gw-1' }, trialDeps(null));
});
afterAll(async () => {
  await recorder.close();
  folder.remove();
});

class Terminal {
  readonly recorder: SessionRecorder;
  readonly #pty: IPty;
  #shown = '';
  #waiting: (() => void) | null = null;
  readonly exited: Promise<void>;

  constructor(session: SessionRecorder, command: readonly string[]) {
    this.recorder = session;
    this.#pty = spawn(command[0]!, command.slice(1), {
      cols: 80,
      rows: 24,
      env: { ...process.env, PS1: '$ ', HISTFILE: '', LC_ALL: 'C.UTF-8' },
    });
    this.#pty.onData((data) => {
      session.output('out', Buffer.from(data));
      this.#shown += data;
      this.#waiting?.();
    });
    this.exited = new Promise((resolve) => {
      this.#pty.onExit(() => {
        resolve();
      });
    });
  }

  /** Types as a person does: one key at a time, then the end of the line. */
  type(text: string, end = '\r'): void {
    for (const key of text) this.#key(key);
    this.#key(end);
  }
  #key(key: string): void {
    this.recorder.input(Buffer.from(key));
    this.#pty.write(key);
  }

  /** Resolves when `text` is shown, after the output that earlier calls waited for. */
  async until(text: string): Promise<void> {
    while (!this.#shown.includes(text)) await new Promise<void>((resolve) => (this.#waiting = resolve));
    this.#shown = this.#shown.slice(this.#shown.indexOf(text) + text.length);
  }
}

async function record(
  command: readonly string[],
  talk: (terminal: Terminal) => Promise<void>,
): Promise<{ typed: string; shown: string; whole: string; gaps: number }> {
  const session = await recorder.open(facts(), { cols: 80, rows: 24 });
  const terminal = new Terminal(session, command);
  await talk(terminal);
  await terminal.exited;
  await session.close();
  const bytes = spooledLines(folder.path, session.session);
  const parsed = parseLines(bytes);
  return {
    typed: textOf(parsed, 'i'),
    shown: textOf(parsed, 'o'),
    whole: bytes.toString(),
    gaps: parsed.lines.filter(({ code }) => code === 'g').length,
  };
}

const bash = ['bash', '--norc', '--noprofile', '-i'];

test('a shell line is recorded, and a line that `read -s` reads is not', async () => {
  const { typed, whole, gaps } = await record(bash, async (terminal) => {
    await terminal.until('$ ');
    // `ready` appears when the terminal no longer echoes: the kernel echoes keys typed before that.
    terminal.type('stty -echo; echo ready; read -s secret; stty echo; echo got ${#secret}');
    await terminal.until('ready\r\n');
    terminal.type(SECRET);
    await terminal.until('got 13');
    await terminal.until('$ ');
    terminal.type('exit');
  });
  expect(typed).toContain('read -s secret; stty echo; echo got ${#secret}\r');
  expect(whole).not.toContain(SECRET);
  expect(typed).not.toMatch(/hunter|xyz/i);
  expect(gaps).toBeGreaterThan(0);
});

const programs: readonly (readonly [string, readonly string[], string])[] = [
  ['getpass of Python', ['python3', '-c', 'import getpass; print(len(getpass.getpass()))'], 'Password: '],
  ['su, as seen by another user', ['setpriv', '--reuid', '65534', '--clear-groups', 'su', 'root', '-c', 'true'], 'Password: '],
  ['passwd, as root', ['passwd', 'nobody'], 'New password: '],
];

for (const [name, command, prompt] of programs) {
  const path = ['/usr/bin/', '/bin/', '/usr/sbin/', '/usr/local/bin/'].find((folderName) => existsSync(folderName + command[0]!));
  const root = process.getuid?.() === 0;
  test.skipIf(path === undefined || (!root && /su,|passwd,/.test(name)))(
    `keys typed at the prompt of ${name} are not recorded`,
    async () => {
      const { typed, whole } = await record(command, async (terminal) => {
        await terminal.until(prompt);
        terminal.type(SECRET);
        if (name.startsWith('passwd')) {
          // Two different passwords, so that nobody's password changes.
          await terminal.until('password: ');
          terminal.type(`${SECRET}-other`);
          await terminal.until('\n');
          terminal.type('', '\x03');
        }
      });
      expect(whole).not.toContain(SECRET);
      expect(typed).not.toMatch(/hunter|xyz/i);
    },
  );
}

test('a password typed before a silent read begins is not recorded', async () => {
  const { whole, typed } = await record(['bash', '-c', 'stty -echo; echo ready; read x; stty echo; echo ${#x}'], async (terminal) => {
    await terminal.until('ready\r\n');
    terminal.type(SECRET);
    await terminal.until('13');
  });
  expect(whole).not.toContain(SECRET);
  expect(typed).toBe('\r');
});
