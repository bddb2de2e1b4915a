/**
 * Streams without a terminal are recorded in full unless the recorder follows their protocol, even if the client imitates one.
 *
 * Four users run their own cases concurrently, each user one case at a time; sessions are told apart by user.
 */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseHeader, parseLine } from '#schemas/recording/line.js';
import type { RecordingHeader, RecordingLine } from '#schemas/recording/line.js';
import { background, isOver, must, residentBytes, sessionsOf, viewerOf } from './client-tools.js';
import type { Viewer } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import { openAuthorities, person } from './people.js';
import type { Person } from './people.js';
import { startStockNode } from './stock-node.js';
import type { StockNode } from './stock-node.js';

const steno = new Steno();
let stock: StockNode;
let viewer: Viewer;
const path = (...names: readonly string[]): string => join(steno.folder, ...names);
const MIB = 1 << 20;

interface Recording {
  readonly id: string;
  readonly header: RecordingHeader;
  readonly lines: readonly RecordingLine[];
}

const users = { local: 'admin', stock: 'admin', limited: 'limited', bulk: 'admin' } as const;
type User = keyof typeof users;
const people = new Map<User, Person>();
const configOf = (user: User): string => people.get(user)!.config;
const sessionsBy = async (user: User) => (await viewer.sessions()).filter((row) => row.user === user);

/** The recording of `act`, which opens one session as this user. */
async function recorded(user: User, act: () => Promise<unknown>): Promise<Recording> {
  const rows = await sessionsOf({ ...viewer, sessions: () => sessionsBy(user) }, 1, async () => void (await act()));
  expect(rows).toHaveLength(1);
  const [first, ...rest] = (await viewer.cast(rows[0]!.id)).trimEnd().split('\n');
  return { id: rows[0]!.id, header: parseHeader(first!), lines: rest.map((line) => parseLine(line)!) };
}

function kept({ lines }: Recording, stream: 'in' | 'out'): Buffer {
  return Buffer.concat(
    lines.flatMap((line) => {
      if (line.code === 'b' && line.data.stream === stream) return [Buffer.from(line.data.base64, 'base64')];
      return line.code === (stream === 'in' ? 'i' : 'o') ? [Buffer.from(line.data as string)] : [];
    }),
  );
}
const gaps = ({ lines }: Recording): readonly RecordingLine[] =>
  lines.filter((line) => line.code === 'g' && line.data.reason === 'body_limit');

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
  stock = await startStockNode(steno, 'stock');
  viewer = viewerOf(steno);
  const limited = {
    kind: 'role',
    name: 'limited',
    allow: { nodes: { '*': '*' }, logins: [steno.login] },
    // Only administrators may use this login: it owns this Steno.
    administer: true,
    recording: { streams: 'limited' },
  };
  writeFileSync(path('role.yaml'), JSON.stringify(limited));
  await must(steno.steno('apply', '-f', path('role.yaml')));
  const ca = await openAuthorities(steno);
  for (const [user, role] of Object.entries(users)) people.set(user as User, await person(steno, ca, user, [role], [steno.login]));
});
afterAll(async () => {
  await stock?.stop();
  await steno.dispose();
});

/** A shell comment slightly longer than the limit of a mebibyte: a shell reads it byte by byte. */
const junk = Buffer.concat([Buffer.from(': '), Buffer.alloc(1.25 * MIB, 'junk-'), Buffer.from('\n')]);
const secret = 'echo "hidden $((6 * 7)) work"\n';

describe.concurrent('four users concurrently', () => {
  describe.each(['local', 'stock'] as const)('on node %s', (node) => {
    describe.sequential('one after the other', () => {
      const host = `${steno.login}@${node}.steno`;

      it.each([
        ['a shell', []],
        ['bash as a command', ['bash']],
      ] as const)('%s that runs after junk is recorded to its last byte', async (_what, command) => {
        const recording = await recorded(node, () =>
          must(steno.exec('ssh', ['-T', '-F', configOf(node), host, ...command], { input: Buffer.concat([junk, Buffer.from(secret)]) })),
        );
        expect(recording.header.steno.recording).toMatchObject({ streams: 'commands' });
        expect(gaps(recording)).toEqual([]);
        expect(kept(recording, 'in').equals(Buffer.concat([junk, Buffer.from(secret)]))).toBe(true);
        expect(kept(recording, 'out').toString()).toMatch(/hidden 42 work\n$/);
      });

      /** Input like that of `scp -t`: the start of a file of 9 GB, whose content is commands for a shell. */
      const asScp = Buffer.concat([Buffer.from('C0644 9000000000 upload\n'), junk, Buffer.from(secret)]);
      /** A program that answers as scp does, and runs its input. */
      const mimic = '#!/bin/bash\nprintf "\\0"\nread -r line\nprintf "\\0"\nexec bash >&2\n';

      it.each<readonly [string, (folder: string) => string]>([
        ['another name for bash', () => `exec -a scp bash -c 'printf "\\0"; read -r line; printf "\\0"; exec bash >&2' -t x`],
        ['a program of the user called scp', (folder) => `${folder}/scp -t x`],
        ['a PATH of the user', (folder) => `PATH=${folder}:$PATH scp -t x`],
        ['a PATH of the user by env', (folder) => `env PATH=${folder}:/usr/bin:/bin scp -t x`],
        ['env that splits a string', (folder) => `env '--split-string=${folder}/scp -t x' scp -t x`],
        ["a folder that looks like the system's", (folder) => `/usr/bin/../..${folder}/scp -t x`],
      ])('%s does not make a shell a file transfer', async (_what, command) => {
        const folder = path(`mimic-${node}`);
        mkdirSync(folder, { recursive: true });
        writeFileSync(join(folder, 'scp'), mimic);
        chmodSync(join(folder, 'scp'), 0o755);
        const recording = await recorded(node, () =>
          steno.exec('ssh', ['-T', '-F', configOf(node), host, command(folder)], { input: asScp }),
        );
        expect(gaps(recording)).toEqual([]);
        expect(kept(recording, 'in').equals(asScp)).toBe(true);
        expect(kept(recording, 'out').toString()).toMatch(/hidden 42 work\n/);
      });

      it('a followed transfer is kept up to the limit, and at its end', async () => {
        const body = randomBytes(3 * MIB);
        writeFileSync(path(`from-${node}`), body);
        const recording = await recorded(node, () =>
          must(steno.exec('scp', ['-O', '-F', configOf(node), path(`from-${node}`), `${host}:${path(`body-${node}`)}`])),
        );
        const sha256 = createHash('sha256').update(body).digest('hex');
        expect(recording.lines).toContainEqual(
          expect.objectContaining({
            code: 's',
            data: expect.objectContaining({ fact: 'file', operation: 'write', size: body.length, sha256 }) as unknown,
          }),
        );
        const missing = gaps(recording).reduce((sum, { data }) => sum + ((data as { bytes?: number }).bytes ?? 0), 0);
        expect(missing).toBeGreaterThan(MIB);
        const total = recording.lines.flatMap((line) =>
          line.code === 's' && line.data.fact === 'total' && line.data.stream === 'in' ? [line.data.bytes] : [],
        )[0]!;
        expect(kept(recording, 'in').length + missing).toBe(total);
        expect(kept(recording, 'in').subarray(-1000, -1).equals(body.subarray(-999))).toBe(true);
      });

      it('a transfer that becomes a shell is recorded from shortly before the change', async () => {
        // The real scp refuses input after its first file; the recording has it all the same.
        const body = randomBytes(2 * MIB);
        const input = Buffer.concat([Buffer.from(`C0644 ${body.length} there\n`), body, Buffer.from('\0'), junk, Buffer.from(secret)]);
        const recording = await recorded(node, () =>
          steno.exec('ssh', ['-T', '-F', configOf(node), host, `scp -t ${path(`there-${node}`)}`], { input }),
        );
        const total = recording.lines.flatMap((line) =>
          line.code === 's' && line.data.fact === 'total' && line.data.stream === 'in' ? [line.data.bytes] : [],
        )[0]!;
        const passed = input.subarray(0, total);
        const all = kept(recording, 'in');
        const missing = gaps(recording).reduce((sum, { data }) => sum + ((data as { bytes?: number }).bytes ?? 0), 0);
        expect(all.length + missing).toBe(passed.length);
        const fromTheBreak = passed.subarray(input.indexOf(junk));
        expect(all.subarray(all.length - fromTheBreak.length).equals(fromTheBreak)).toBe(true);
      });

      describe('a terminal', () => {
        it('records size and digest of a file that is sent over the terminal, and totals of the output', async () => {
          const body = Buffer.from(
            randomBytes(30_000)
              .toString('base64')
              .replace(/.{1,76}/g, '$&\n'),
          );
          const target = path(`past-${node}`);
          const recording = await recorded(node, async () => {
            const terminal = steno.terminal('ssh', [
              '-tt',
              '-F',
              configOf(node),
              `${steno.login}@${node}.steno`,
              `stty raw -echo; echo send-now; head -c ${body.length} > ${target}; stty sane; echo all-there`,
            ]);
            await terminal.until(/send-now/);
            terminal.write(body.toString('latin1'));
            await terminal.until(/all-there/);
            await terminal.ended;
          });
          expect(readFileSync(target).equals(body)).toBe(true);
          const facts = recording.lines.flatMap((line) => (line.code === 's' ? [line.data] : []));
          expect(facts).toContainEqual({ fact: 'unechoed', bytes: body.length, sha256: createHash('sha256').update(body).digest('hex') });
          const shown = kept(recording, 'out');
          expect(facts).toContainEqual({
            fact: 'total',
            stream: 'out',
            bytes: shown.length,
            sha256: createHash('sha256').update(shown).digest('hex'),
          });
          expect(kept(recording, 'in').length).toBeLessThan(body.length / 2);
        });

        it('does not record a password that is typed before', async () => {
          const recording = await recorded(node, async () => {
            const terminal = steno.terminal('ssh', [
              '-tt',
              '-F',
              configOf(node),
              `${steno.login}@${node}.steno`,
              'read -rsp "Password: " p; echo; stty raw -echo; echo send-now; head -c 5000 >/dev/null; stty sane; echo "length ${#p}"',
            ]);
            await terminal.until(/Password: /);
            terminal.write('correct horse\r');
            await terminal.until(/send-now/);
            terminal.write('d'.repeat(5_000));
            await terminal.until(/length 13/);
            await terminal.ended;
          });
          const facts = recording.lines.flatMap((line) => (line.code === 's' ? [line.data] : []));
          expect(facts).toContainEqual({
            fact: 'unechoed',
            bytes: 5_000,
            sha256: createHash('sha256').update('d'.repeat(5_000)).digest('hex'),
          });
          expect(JSON.stringify(recording.lines)).not.toContain('correct');
        });
      });
    });
  });

  describe('a role that limits streams', () => {
    it('keeps the beginning, the number of missing bytes, and the bytes after each pause', async () => {
      // The new role reaches the gateway with a delay.
      await eventually(
        () => people.get('limited')!.ssh(`${steno.login}@local.steno`, 'true'),
        ({ status }) => status === 0,
      );
      await eventually(
        () => sessionsBy('limited'),
        (rows) => rows.length > 0 && rows.every(isOver),
      );
      const recording = await recorded('limited', async () => {
        const shell = background(steno, 'ssh', ['-T', '-F', configOf('limited'), `${steno.login}@local.steno`, 'bash']);
        shell.write(junk.toString('latin1'));
        for (const round of [1, 2]) {
          shell.write(`${secret}sleep 1.5; echo paused-${round}\n`);
          await shell.until(new RegExp(`paused-${round}`));
          shell.write(junk.toString('latin1'));
        }
        shell.write('exit\n');
        await shell.ended;
      });
      expect(recording.header.steno.recording).toMatchObject({ streams: 'limited' });
      const typed = kept(recording, 'in').toString();
      for (const round of [1, 2]) expect(typed).toContain(`${secret}sleep 1.5; echo paused-${round}\n`);
      expect(typed.endsWith('exit\n')).toBe(true);
      const missing = gaps(recording).reduce((sum, { data }) => sum + ((data as { bytes?: number }).bytes ?? 0), 0);
      const [total] = recording.lines.flatMap((line) =>
        line.code === 's' && line.data.fact === 'total' && line.data.stream === 'in' ? [line.data.bytes] : [],
      );
      expect(typed.length + missing).toBe(total);
      expect(missing).toBeGreaterThan(2.5 * MIB);
    });
  });

  describe('more than 200 MiB from a command', () => {
    it('are recorded to the last byte, in bounded memory and a bounded spool, and verify', async () => {
      const length = 208 * MIB;
      const gateway = steno.run.processes['gateway']!;
      const script = `const { createCipheriv } = require('node:crypto'); const c = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)); const z = Buffer.alloc(1 << 20); for (let i = 0; i < ${length / MIB}; i++) require('node:fs').writeSync(1, c.update(z));`;
      writeFileSync(path('noise.cjs'), script);
      const sent = createHash('sha256');
      let peak = 0;
      const start = performance.now();
      const before = new Set((await sessionsBy('bulk')).map(({ id }) => id));
      {
        const child = spawn(
          'ssh',
          ['-T', '-F', configOf('bulk'), `${steno.login}@local.steno`, `${process.execPath} ${path('noise.cjs')}`],
          {
            env: steno.env,
            stdio: ['ignore', 'pipe', 'inherit'],
          },
        );
        child.stdout.on('data', (chunk: Buffer) => {
          sent.update(chunk);
          peak = Math.max(peak, residentBytes(gateway));
        });
        expect(((await once(child, 'close')) as [number])[0]).toBe(0);
      }
      const fresh = async () => (await sessionsBy('bulk')).find(({ id }) => !before.has(id));
      const row = await eventually(fresh, (one) => one !== undefined && isOver(one), 400_000);
      const seconds = (performance.now() - start) / 1000;
      const digest = sent.digest('hex');
      await must(steno.steno('export', row!.id, '-o', path('bulk.cast.zst')));
      await must(steno.steno('verify', path('bulk.cast.zst')));
      const zstd = spawn('zstd', ['-dc', path('bulk.cast.zst')], { stdio: ['ignore', 'pipe', 'inherit'] });
      const found = createHash('sha256');
      let bytes = 0;
      const totals: object[] = [];
      for await (const text of createInterface({ input: zstd.stdout, crlfDelay: Infinity })) {
        if (text.startsWith('{')) continue;
        const line = parseLine(text)!;
        const piece = line.code === 'b' ? Buffer.from(line.data.base64, 'base64') : line.code === 'o' ? Buffer.from(line.data) : null;
        if (piece !== null) {
          found.update(piece);
          bytes += piece.length;
        } else if (line.code === 's' && line.data.fact === 'total') totals.push(line.data);
        expect(line.code).not.toBe('g');
      }
      expect({ bytes, sha256: found.digest('hex') }).toEqual({ bytes: length, sha256: digest });
      expect(totals).toContainEqual({ fact: 'total', stream: 'out', bytes: length, sha256: digest });
      const stored = statSync(path('bulk.cast.zst')).size / length;
      console.info(
        `${(length / 1e6 / seconds).toFixed(0)} MB/s to the stored end, ${stored.toFixed(3)} of the bytes stored, gateway ${(peak / MIB).toFixed(0)} MiB at most`,
      );
      expect(stored).toBeLessThan(1.05);
      expect(peak).toBeLessThan(400 * MIB);
    }, 600_000);
  });
});
