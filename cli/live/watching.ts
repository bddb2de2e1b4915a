/**
 * Watches a live session with the `ssh` of this machine. `steno join` sits between this terminal and `ssh`: it handles the keys that go back in
 * time and forwards all others to the gateway.
 *
 *     live ──Space, left, `/`──► past ──up to now, `q`──► live          ssh ends: over
 *
 * Output that arrives while the past is shown is dropped; on the way back the gateway is asked to redraw the screen. `ssh` runs on pipes and knows
 * no terminal size, so `steno join` sends the size as a variable, and after each resize as a terminal's size report. Tested in test/end-to-end/join-past.test.ts.
 */
import { spawn } from 'node:child_process';
import { StringDecoder } from 'node:string_decoder';
import { StenoError } from '#schemas/base/errors.js';
import { LEAVE_MODES } from '#runtime/terminal/leave-modes.js';
import { VIEW_VARIABLE } from '#schemas/session-join.js';
import type { Client } from '../client/client.js';
import { failure, standardOutput } from '../terminal/output.js';
import { LiveKeys } from './keys.js';
import { PastView } from './past-view.js';

/** So much of the end of what came is kept, for the gateway's last words. */
const KEPT = 4_096;
const REDRAW = '\u000c';
/** What the gateway says at the end, behind a screen or in place of one (gateway/ssh/server/joined.ts). */
const LAST_WORDS = /(?:\u001b\[\?1049l[^\n]{0,200}\u001b\[\d{1,4};1H|^)\r\n(?:steno: [^\n]*\r\n)+$/;

/** `ssh`: arguments, but for those that this adds. Resolves with the exit status. */
export async function watch(client: () => Client, session: string, ssh: readonly string[]): Promise<number> {
  const { stdin, stdout } = process;
  const size = (): { readonly cols: number; readonly rows: number } => ({ cols: stdout.columns, rows: stdout.rows });
  const { cols, rows } = size();
  const child = spawn('ssh', ['-tt', '-o', `SetEnv=${VIEW_VARIABLE}=${cols}x${rows}`, ...ssh], { stdio: ['pipe', 'pipe', 'inherit'] });
  const keys = new LiveKeys();
  const decoder = new StringDecoder('utf8');
  let past: PastView | null = null;
  let tail = Buffer.alloc(0);
  let listening = false;
  const send = (text: string): void => void child.stdin.write(text);
  const typed = (bytes: Buffer): void => {
    const text = decoder.write(bytes);
    if (past !== null) return past.keys(text);
    const { pass, enter } = keys.take(text);
    if (pass !== '') send(pass);
    if (enter === null) return;
    const over = (): void => {
      past = null;
      send(REDRAW);
    };
    past = new PastView({ client, session, size, over, write: (words) => void stdout.write(words) }, enter);
  };
  const resized = (): void => {
    send(`\u001b[8;${size().rows};${size().cols}t`);
    past?.resized();
  };
  // Ends by way of `ssh`, so that the terminal is left as it was.
  const stop = (): void => void child.kill();
  process.on('SIGTERM', stop);
  child.stdin.on('error', () => undefined);
  child.stdout.on('data', (bytes: Buffer) => {
    // Until the session is there, the terminal is that of `ssh`, which may ask for something.
    if (!listening) {
      listening = true;
      stdin.setRawMode(true);
      stdin.on('data', typed);
      stdout.on('resize', resized);
    }
    tail = Buffer.concat([tail, bytes.subarray(-KEPT)]).subarray(-KEPT);
    if (past !== null || stdout.write(bytes)) return;
    child.stdout.pause();
    stdout.once('drain', () => child.stdout.resume());
  });
  try {
    const status = await new Promise<number>((resolve, reject) => {
      child.on('error', (error) => reject(new StenoError('INTERNAL', `ssh: ${error.message}`)));
      child.on('close', (code) => resolve(code ?? 255));
    });
    const last = lastWords(tail);
    if (past !== null) {
      (past as PastView).close();
      if (last !== null) stdout.write(last);
    }
    if (last !== null || !listening) return status;
    // The gateway could say nothing, so the terminal is still as the session's programs had it.
    stdout.write(`${LEAVE_MODES}\r\n`);
    failure(standardOutput, new StenoError('GATEWAY_LOST'), false);
    return status === 0 ? 255 : status;
  } finally {
    (past as PastView | null)?.close();
    process.off('SIGTERM', stop);
    if (listening) {
      stdin.off('data', typed);
      stdout.off('resize', resized);
      stdin.setRawMode(false);
      stdin.pause();
    }
  }
}

/** Null: the gateway has said none, so the connection to it was lost. */
function lastWords(tail: Buffer): Buffer | null {
  const found = LAST_WORDS.exec(tail.toString('latin1'));
  return found === null ? null : tail.subarray(found.index);
}
