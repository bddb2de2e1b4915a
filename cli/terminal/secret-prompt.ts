/** Asks for a secret at the terminal, without echo. Tested in test/end-to-end/seal.test.ts, in a pseudo terminal. */
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { StenoError } from '#schemas/base/errors.js';

/** Undefined without a terminal, or if the user cancels (Ctrl-C, Ctrl-D). */
export async function askSecret(question: string): Promise<string | undefined> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY) return undefined;
  // Reads a line with the usual editing keys, without echo.
  const mute = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: mute, terminal: true, historySize: 0 });
  // Only now does the terminal echo no more.
  stderr.write(question);
  try {
    return await new Promise<string | undefined>((resolve) => {
      lines.once('line', resolve);
      lines.once('SIGINT', () => resolve(undefined));
      lines.once('close', () => resolve(undefined));
    });
  } finally {
    lines.close();
    stderr.write('\n');
  }
}

/** Asks twice. Throws USAGE without a terminal, SEAL_PASSPHRASE_WEAK if the two differ. */
export async function newPassphrase(): Promise<string> {
  const first = await askSecret('New passphrase for the CA keys: ');
  if (first === undefined) throw new StenoError('USAGE', 'there is no terminal to ask at; use a file');
  if (first !== (await askSecret('Once more: '))) throw new StenoError('SEAL_PASSPHRASE_WEAK', 'the two differ');
  return first;
}
