import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explain, obstacles } from './programs.js';
import { Probe } from '../testing/probe.js';
import { openerSource, ringSource, techniques } from '../testing/techniques.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);
const installed = (program: string): boolean => {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

it('docs/evasion.md has these rows and no others', () => {
  const table = readFileSync(new URL('../../../docs/evasion.md', import.meta.url), 'utf8')
    .split('\n## ')[0]!
    .split('\n')
    .flatMap((line) => {
      const cells = /^\| (.+) \| (.+) \|$/.exec(line);
      return cells === null || cells[1] === 'technique' || cells[1]!.startsWith('--') ? [] : [[cells[1], cells[2]]];
    });
  expect(table).toEqual(techniques.map(({ name, seen }) => [name, seen]));
});

describe.skipIf(missing.length > 0)('what is seen of', () => {
  let probe: Probe;
  let folder: string;
  /** Outside every session. */
  const server = createServer((socket) => socket.end());
  const outside = spawn('sleep', ['600'], { stdio: 'ignore' });
  beforeAll(async () => {
    probe = new Probe();
    // The real path, as the kernel reports it.
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'steno-evasion-')));
    writeFileSync(join(folder, 'secret'), 'secret\n');
    await new Promise<void>((resolve) => server.listen(join(folder, 'socket'), resolve));
    writeFileSync(join(folder, 'opener.c'), openerSource);
    writeFileSync(join(folder, 'ring.c'), ringSource);
    writeFileSync(join(folder, 'mark'), '#!/bin/sh\n: MARKED\nexec cat "$(dirname "$0")/secret" MARKED\n', { mode: 0o755 });
  });
  afterAll(() => {
    probe.close();
    server.close();
    outside.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const { name, needs = [], script, check } of techniques) {
    it(name, async ({ skip }) => {
      const absent = needs.filter((program) => !installed(program));
      if (absent.length > 0) {
        console.log(`skipped: ${name}: ${absent.join(', ')} is not installed`);
        return skip();
      }
      const cgroups = existsSync('/sys/fs/cgroup/cgroup.procs') ? '/sys/fs/cgroup' : '/sys/fs/cgroup/unified';
      const outcome = await probe.sh(script, {
        spawn: {
          cwd: folder,
          env: {
            ...process.env,
            MARK: join(folder, 'mark'),
            SECRET: join(folder, 'secret'),
            SOCKET: join(folder, 'socket'),
            OUTSIDE: String(outside.pid),
            CGROUPS: cgroups,
          },
        },
      });
      const told = outcome.seen
        .filter(({ kind }) => kind !== 'file' && kind !== 'fork')
        .map((one) => `${one.kind} ${one.name} ${one.path} ${one.reason} ${one.outcome} ${JSON.stringify(one.data)}`)
        .join('\n');
      expect(check(outcome, folder), `${outcome.output}\n${told}`).toBe(true);
      expect(outcome.counters).toMatchObject({ lost: 0, unfollowed: 0, processes: 0 });
    });
  }
});
