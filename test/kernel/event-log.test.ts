/** The signed log of kernel events: exported, verified, altered, used for a rebuild, and complete after processes are killed. */
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { explain, obstacles } from '../../agent/kernel/probes/programs.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import type { SessionRow } from '../end-to-end/machine.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

describe.skipIf(missing.length > 0)('the event log of a session', () => {
  const steno = new Steno();
  beforeAll(async () => {
    await steno.start();
    await steno.json('login', '--data', steno.data);
  });
  afterAll(() => steno.dispose());

  const target = (): string => `${steno.login}@local.steno`;
  const events = (id: string): Promise<readonly KernelEventInfo[]> =>
    viewerOf(steno)
      .events(id)
      .catch(() => []);
  const sessions = (): Promise<readonly SessionRow[]> => viewerOf(steno).sessions();
  const inFile = (name: string): string => join(steno.folder, name);
  /** Waits until the last row of the event log says that it is complete, and the log is stored to its end. */
  const closed = async (id: string): Promise<void> => {
    await eventually(
      () => steno.json<{ readonly ok: boolean; readonly event_log?: { readonly end: string } }>('verify', id).catch(() => null),
      (verdict) => verdict?.ok === true && verdict.event_log?.end === 'complete',
      60_000,
    );
  };
  const run = async (command: string): Promise<SessionRow> => {
    const before = new Set((await sessions()).map(({ id }) => id));
    expect((await steno.ssh(target(), command)).status).toBe(0);
    const rows = await eventually(sessions, (all) => all.some(({ id, state }) => !before.has(id) && state === 'sealed'));
    const session = rows.find(({ id }) => !before.has(id))!;
    await closed(session.id);
    return session;
  };
  const folderOf = (id: string): string => {
    const objects = join(steno.data, 'store', 'objects');
    const found = readdirSync(objects, { recursive: true, encoding: 'utf8' }).find((name) => name.includes(`${id}/events-`))!;
    return join(objects, dirname(found));
  };

  it('is exported beside the recording, and both verify with the CA alone', async () => {
    const { id } = await run('cat /etc/hostname > /dev/null; exec true hidden-word');
    expect((await steno.steno('export', id, '-o', inFile('a.cast.zst'))).status).toBe(0);
    const verified = await steno.steno('verify', inFile('a.cast.zst'), inFile('a.events.zst'));
    expect(verified).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/event log +\d+ blocks, .* whole and unaltered, ended complete/),
    });
    expect((await steno.steno('verify', inFile('a.cast.zst'))).stdout).toMatch(/event log +the session has one; name its file/);
    expect((await steno.steno('verify', inFile('a.events.zst'))).status).toBe(0);
    const script = fileURLToPath(new URL('../../docs/verify.py', import.meta.url));
    const ca = inFile('ca.pub');
    writeFileSync(ca, (await steno.steno('ca', 'export', 'recording')).stdout);
    const good = execFileSync('python3', [script, inFile('a.cast.zst'), ca, inFile('a.events.zst')], { encoding: 'utf8' });
    expect(good).toContain(`good: event log of session ${id}`);
    // Stock zstd opens it: a header, then one event per line.
    const lines = execFileSync('zstd', ['-dc', inFile('a.events.zst')], { encoding: 'utf8', maxBuffer: 1 << 26 })
      .trim()
      .split('\n');
    expect(JSON.parse(lines[0]!)).toMatchObject({ version: 3, steno: { session: id, stream: 'events', node: 'local' } });
    const rows = lines.slice(1).map((line) => (JSON.parse(line) as [number, string, readonly unknown[]])[2]);
    const shown = await events(id);
    expect(rows.map(([block, index]) => `${String(block)}.${String(index)}`).sort()).toEqual(
      shown
        .filter(({ data }) => data['signed'] !== true)
        .map(({ place }) => place)
        .sort(),
    );
    expect(rows.some((row) => row.includes('true hidden-word'))).toBe(true);
    expect(rows.at(-1)!.slice(3, 10)).toEqual(['kernel', '', null, '', '', null, 'end']);
  });

  it('is reported missing if it was deleted, since the signed recording names it, and altered if a row was changed', async () => {
    const { id } = await run('exec true evidence');
    expect((await steno.steno('export', id, '-o', inFile('b.cast.zst'))).status).toBe(0);
    const part = join(folderOf(id), 'events-000001.ndjson.zst');
    const kept = readFileSync(part);
    const lines = execFileSync('zstd', ['-dc', part], { encoding: 'utf8' });
    const forged = inFile('forged.ndjson');
    writeFileSync(forged, lines.replace('true evidence', 'true otherwise'));
    execFileSync('zstd', ['-q', '-3', '--check', '-f', forged, '-o', `${forged}.zst`]);
    // Forged lines in place of the signed ones, before their proof.
    const data = dataLength(kept);
    rmSync(part);
    writeFileSync(part, Buffer.concat([readFileSync(`${forged}.zst`), kept.subarray(data)]));
    expect((await steno.steno('verify', id)).status).toBe(10);
    rmSync(part);
    const gone = await steno.steno('verify', id);
    expect(gone).toMatchObject({ status: 13, stderr: expect.stringContaining('event log: it is missing') });
    writeFileSync(part, kept);
    expect((await steno.steno('verify', id)).status).toBe(0);
  });

  it('is waited for by an export right after the session, which reports an unfinished or missing log', async () => {
    const before = new Set((await sessions()).map(({ id }) => id));
    expect((await steno.ssh(target(), 'exec true waited-for')).status).toBe(0);
    const rows = await eventually(sessions, (all) => all.some(({ id, state }) => !before.has(id) && state !== 'live'));
    const { id } = rows.find((row) => !before.has(row.id))!;
    await eventually(
      () => steno.steno('export', id, '-o', inFile('c.cast.zst')),
      ({ status }) => status === 0,
    );
    expect((await steno.steno('verify', inFile('c.cast.zst'), inFile('c.events.zst'))).status).toBe(0);

    const part = join(folderOf(id), 'events-000001.ndjson.zst');
    const kept = readFileSync(part);
    rmSync(part);
    rmSync(inFile('c.events.zst'));
    const gone = await steno.steno('export', id, '-o', inFile('c.cast.zst'));
    expect(gone).toMatchObject({ status: 13, stderr: expect.stringContaining('c.events.zst was not written') });
    writeFileSync(part, kept);

    // The export of a live session writes the stored part and reports that it is unfinished.
    const terminal = steno.terminal('ssh', ['-F', steno.config, '-tt', target(), 'sh']);
    terminal.ended.catch(() => undefined);
    await terminal.until(/[#$] $/);
    const [live] = await eventually(sessions, ([row]) => row?.state === 'live');
    // More than the 256 KiB of lines that close a part; otherwise the first part closes after a minute.
    terminal.write('head -c 300000 /dev/urandom | base64 -w 100; echo fil""led\n');
    await terminal.until(/filled/);
    const open = await eventually(
      () => steno.steno('export', live!.id, '-o', inFile('d.cast.zst')),
      ({ status }) => status === 11,
    );
    expect(open.stderr).toMatch(/d\.cast\.zst is not finished: .*\[VERIFY_TRUNCATED\]/);
    terminal.write('exit\n');
    await closed(live!.id);
  });

  it('continues when the stores and the gateway are killed, and has every row once', async () => {
    const terminal = steno.terminal('ssh', ['-F', steno.config, '-tt', target(), 'sh']);
    terminal.ended.catch(() => undefined);
    await terminal.until(/[#$] $/);
    const all = await eventually(sessions, (rows) => rows.some(({ state }) => state === 'live'));
    const session = all.find(({ state }) => state === 'live');
    // The loop survives its terminal and runs until the file `stop` exists.
    terminal.write(
      `(trap '' HUP; i=0; while [ ! -e ${steno.folder}/stop ]; do : >${steno.folder}/beat-$i-; i=$((i+1)); sleep 0.2; done) &\n`,
    );
    const beats = async (): Promise<number[]> =>
      (await events(session!.id)).flatMap(({ path }) => {
        const found = /beat-(\d+)-$/.exec(path);
        return found === null ? [] : [Number(found[1])];
      });
    const more = async (): Promise<void> => {
      const last = Math.max(-1, ...(await beats()));
      await eventually(beats, (all) => Math.max(...all) > last + 3, 90_000);
    };
    await more();
    for (const name of ['store', 'gateway'] as const) {
      process.kill(steno.run.processes[name]!, 'SIGKILL');
      await more();
    }
    writeFileSync(inFile('stop'), '');
    await closed(session!.id);
    const places = (await events(session!.id)).map(({ place }) => place);
    expect(new Set(places).size).toBe(places.length);
    const numbers = [...new Set(await beats())].sort((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, n) => n));
    expect(numbers.length).toBeGreaterThan(12);
  });

  it('restores the same rows to a lost event store', async () => {
    const all = await sessions();
    const look = async (): Promise<string> => JSON.stringify(await Promise.all(all.map(({ id }) => events(id))));
    const before = await look();
    await steno.stop();
    rmSync(join(steno.data, 'store', 'events'), { recursive: true });
    expect(await steno.json('reindex', '--data', steno.data)).toMatchObject({ damaged: 0 });
    await steno.start();
    await steno.json('login', '--data', steno.data);
    expect(await look()).toBe(before);
  });
});

/** Bytes before the proof: the first skippable frame of magic 0x184d2a5b. */
function dataLength(object: Buffer): number {
  return object.indexOf(Buffer.from([0x5b, 0x2a, 0x4d, 0x18]));
}
