/** CA keys sealed by a passphrase, typed at the terminal of `steno up` or read from a file. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Steno, bin } from './machine.js';
import type { Terminal } from './machine.js';

const steno = new Steno();
afterAll(() => steno.dispose());
const passphrase = 'correct horse battery staple';
const keyFile = join(steno.data, 'authority', 'seal.key');
const up = (...options: readonly string[]): Terminal =>
  steno.terminal(
    process.execPath,
    [bin, 'up', '--data', steno.data, '--ssh-listen', '127.0.0.1:0', '--web-listen', '127.0.0.1:0', '--no-node', ...options],
    { cols: 160, rows: 40 },
  );
const stop = async (terminal: Terminal): Promise<void> => {
  terminal.write('\u0003');
  await terminal.ended;
};

describe('a passphrase', () => {
  it('is asked for twice at the first start and once at the next, and never shown', async () => {
    const first = up('--ask-passphrase');
    await first.until(/New passphrase for the CA keys: /);
    first.write(`${passphrase}\r`);
    await first.until(/Once more: /);
    first.write(`${passphrase}\r`);
    await first.until(/is running/);
    expect(existsSync(keyFile)).toBe(false);
    await stop(first);
    const second = up();
    await second.until(/Passphrase of the CA keys: /);
    second.write(`${passphrase}\r`);
    await second.until(/is running/);
    // Every user of the machine can read these files of a process.
    for (const pid of Object.values(steno.run.processes)) {
      expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8') + readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain('horse');
    }
    await stop(second);
    expect(first.text() + second.text()).not.toContain('horse');
    expect(() => execFileSync('grep', ['-rlF', passphrase, steno.data])).toThrow();
  });

  it('that is wrong prevents the start', async () => {
    const terminal = up();
    await terminal.until(/Passphrase of the CA keys: /);
    terminal.write('not the right one at all\r');
    await terminal.until(/SEAL_KEY_WRONG/);
    expect(await terminal.ended).toBe(78);
  });

  it('may come from a file that only its owner can read, and be replaced by a key file while Steno runs', async () => {
    const file = join(steno.folder, 'passphrase');
    writeFileSync(file, `${passphrase}\n`, { mode: 0o644 });
    steno.env['STENO_SEAL_PASSPHRASE_FILE'] = file;
    const open = await steno.steno('up', '--data', steno.data, '--no-node');
    expect(open).toMatchObject({ status: 64, stderr: expect.stringMatching(/others can read it.*SEAL_PASSPHRASE_WEAK/) });
    execFileSync('chmod', ['0600', file]);
    await steno.start('--no-node');
    expect(await steno.steno('ca', 'reseal', '--data', steno.data, '--key-file')).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('a new key file opens'),
    });
    expect(await steno.stop()).toBe(0);
    delete steno.env['STENO_SEAL_PASSPHRASE_FILE'];
    await steno.start('--no-node');
    expect(existsSync(keyFile)).toBe(true);
    expect(await steno.steno('ca', 'reseal', '--data', steno.data)).toMatchObject({ status: 64 });
  });

  it('that cannot be asked for is an error with a fix', async () => {
    const file = join(steno.folder, 'passphrase');
    expect(await steno.steno('ca', 'reseal', '--data', steno.data, '--passphrase-file', file)).toMatchObject({ status: 0 });
    await steno.stop();
    const { status, stderr } = await steno.steno('up', '--data', steno.data, '--no-node');
    expect(status).toBe(78);
    expect(stderr).toMatch(/STENO_SEAL_PASSPHRASE_FILE/);
  });
});
