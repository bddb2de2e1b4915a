/** The cost of a keystroke, a session and a mebibyte for the gateway, counted (budget.ts). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callsOfEach, expectTransferWithin, expectWithin } from './budget.js';
import { Steno } from './machine.js';

const steno = new Steno();
const NODE = 'local.steno';
const BULK_MIB = 64;

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
});
afterAll(() => steno.dispose());

const gateway = (): number => steno.run.processes['gateway']!;

describe('the gateway keeps its budget for', () => {
  // One read from each side, one write to each side, and one write to the spool each for input and output.
  it('a keystroke and its echo', async () => {
    const terminal = steno.terminal('ssh', ['-F', steno.config, '-tt', NODE, 'stty -icanon echo; echo ready; exec cat >/dev/null']);
    await terminal.until(/ready\r\n/);
    let typed = 0;
    const type = async (count: number): Promise<void> => {
      for (const until = typed + count; typed < until;) {
        terminal.write('k');
        await terminal.until(new RegExp(`ready\r\nk{${++typed}}`));
      }
    };
    await type(50);
    const taken = await callsOfEach(gateway(), 300, () => type(300));
    terminal.kill();
    await terminal.ended;
    expectWithin('a keystroke', taken, { reads: 4, writes: 6, bytesWritten: 600 });
  });

  it('a session that is set up, recorded and ended', async () => {
    const run = (): Promise<unknown> => steno.ssh(NODE, 'true');
    await run();
    const taken = await callsOfEach(gateway(), 20, async () => {
      for (let i = 0; i < 20; i++) expect(await run()).toMatchObject({ status: 0 });
    });
    expectWithin('a session', taken, { reads: 100, writes: 110, bytesWritten: 150_000 });
  });

  // Recorded as counts and hashes: the gateway writes the forwarded bytes and the uplink of the recording.
  it.each([
    ['from the node', () => steno.ssh(NODE, `head -c ${BULK_MIB}M /dev/zero`)],
    ['to the node', () => steno.exec('ssh', ['-F', steno.config, NODE, 'cat >/dev/null'], { input: Buffer.alloc(BULK_MIB << 20) })],
  ])('a mebibyte %s', async (way, pass) => {
    const taken = await callsOfEach(gateway(), BULK_MIB, async () => expect(await pass()).toMatchObject({ status: 0 }));
    expectTransferWithin(`a mebibyte ${way}`, taken, { writesPerRead: 2, bytesWritten: 5_300_000 });
  });
});
