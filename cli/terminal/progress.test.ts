import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { progress } from './progress.js';

function run(isTTY: boolean): { said: string; passed: Promise<Buffer> } {
  const state = { said: '', passed: Promise.resolve(Buffer.alloc(0)) };
  let now = 0;
  const err = { isTTY, write: (text: string) => ((state.said += text), true) };
  const through = progress({ err: err as never }, 'Exporting', 4096, () => (now += 700));
  state.passed = buffer(Readable.from([Buffer.alloc(1024), Buffer.alloc(1024), Buffer.alloc(1024)]).pipe(through));
  return state;
}

it('tells on a terminal how much has passed, changes nothing, and clears its line', async () => {
  const terminal = run(true);
  expect((await terminal.passed).length).toBe(3072);
  expect(terminal.said).toContain('Exporting: 2.0 KiB of about 4.0 KiB');
  expect(terminal.said.endsWith('\r\u001b[K')).toBe(true);
});

it('says nothing where nobody looks', async () => {
  const file = run(false);
  expect((await file.passed).length).toBe(3072);
  expect(file.said).toBe('');
});
