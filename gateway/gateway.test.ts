/** The gateway with its real recorder, without an ingest: the contents of the spool after a session. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseHeader, parseLine } from '#schemas/recording/line.js';
import type { RecordingHeader, RecordingLine } from '#schemas/recording/line.js';
import { startRecorder } from './recorder/start.js';
import type { RunningRecorder } from './recorder/start.js';
import { trialDeps } from './testing/recorder.js';
import { openWorld } from './testing/harness.js';
import type { World } from './testing/harness.js';

let world: World;
let recorder: RunningRecorder;
beforeAll(async () => {
  world = await openWorld({ recorderIn: async (spool) => (recorder = await startRecorder({ spool, gateway: 'gw' }, trialDeps(null))) });
});
afterAll(() => world.close());

/** All recordings, once they are closed; the client may exit shortly before its recording is closed. */
async function recordings(): Promise<readonly { readonly header: RecordingHeader; readonly lines: readonly RecordingLine[] }[]> {
  while (recorder.status().openSessions > 0) await new Promise(setImmediate);
  const spool = join(world.directory, 'recordings');
  return readdirSync(spool)
    .filter((name) => /^[0-9a-z]{26}\.cast$/.test(name))
    .sort()
    .map((name) => {
      const [header, ...lines] = readFileSync(join(spool, name), 'utf8').trimEnd().split('\n');
      return { header: parseHeader(header!), lines: lines.map((line) => parseLine(line)!) };
    });
}

describe('a recorded session', () => {
  it('has its output, its exit and its digest in the spool', async () => {
    const { status } = await world.run('ssh', ['-F', world.sshConfig, 'root@node-1', 'echo spoken; exit 5']);
    expect(status).toBe(5);
    const { header, lines } = (await recordings()).at(-1)!;
    expect(header).toMatchObject({ command: 'echo spoken; exit 5', steno: { kind: 'exec', gateway: 'gw', user: 'alice' } });
    // Rules use these labels later to decide who sees the recording.
    expect(header.steno.labels).toEqual({ env: 'trial' });
    expect(lines.flatMap((line) => (line.code === 'o' ? [line.data] : [])).join('')).toBe('spoken\n');
    const digest = createHash('sha256').update('spoken\n').digest('hex');
    expect(
      lines.some((line) => line.code === 's' && line.data.fact === 'total' && line.data.stream === 'out' && line.data.sha256 === digest),
    ).toBe(true);
    expect(lines.find((line) => line.code === 'x')?.data).toBe('5');
  });

  it('names the files transferred by sftp', async () => {
    const { status } = await world.run('sftp', ['-F', world.sshConfig, '-b', '-', 'root@node-1'], {
      input: `put ssh_config ${world.directory}/copied\n`,
    });
    expect(status).toBe(0);
    const digest = createHash('sha256').update(readFileSync(world.sshConfig)).digest('hex');
    const files = (await recordings()).at(-1)!.lines.flatMap((line) => (line.code === 's' && line.data.fact === 'file' ? [line.data] : []));
    expect(files).toContainEqual(
      expect.objectContaining({
        protocol: 'sftp',
        operation: 'write',
        path: join(world.directory, 'copied'),
        sha256: digest,
        outcome: 'success',
      }),
    );
  });

  it("shows the terminal's screen", async () => {
    const { stdout } = await world.run(
      'script',
      ['-qec', `ssh -tt -F ${world.sshConfig} root@node-1 'printf "\\033[1mbold\\033[0m"'`, '/dev/null'],
      { env: { TERM: 'xterm' } },
    );
    expect(stdout).toContain('\u001b[1mbold\u001b[0m');
    const { lines } = (await recordings()).at(-1)!;
    expect(lines.flatMap((line) => (line.code === 'o' ? [line.data] : [])).join('')).toContain('\u001b[1mbold\u001b[0m');
  });
});
