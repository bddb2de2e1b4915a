/** Orphaned processes of sessions are adopted by the node service, here a process of the test's own. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const module = fileURLToPath(new URL('../../dist/agent/orphans.js', import.meta.url));

test('a process that forks twice stays a descendant and is reaped when it ends; children of Node.js keep their exit status', () => {
  const program = `
    import { adoptOrphans } from ${JSON.stringify(module)};
    import { spawn } from 'node:child_process';
    import { once } from 'node:events';
    import { existsSync, readFileSync } from 'node:fs';
    const stop = adoptOrphans({ warn: (...words) => { throw new Error(JSON.stringify(words)); } }, 100);
    const parentOf = (pid) => Number(readFileSync('/proc/' + pid + '/stat', 'latin1').split(') ')[1].split(' ')[1]);
    // A daemon: its parent and grandparent are gone, and it has a process session of its own.
    const child = spawn('sh', ['-c', 'setsid sh -c \\'sleep 30 >/dev/null 2>&1 & echo $!\\'']);
    const [line] = await once(child.stdout, 'data');
    const daemon = Number(String(line));
    await once(child, 'close');
    const adopted = parentOf(daemon) === process.pid;
    process.kill(daemon, 'SIGKILL');
    while (existsSync('/proc/' + daemon)) await new Promise((resolve) => setTimeout(resolve, 20));
    const statuses = await Promise.all(Array.from({ length: 40 }, async (_, n) => (await once(spawn('sh', ['-c', 'exit ' + n]), 'exit'))[0]));
    stop();
    console.log(JSON.stringify({ adopted, statuses }));
  `;
  const { adopted, statuses } = JSON.parse(
    execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', timeout: 60_000 }),
  ) as { adopted: boolean; statuses: number[] };
  expect(adopted).toBe(true);
  expect(statuses).toEqual(Array.from({ length: 40 }, (_, n) => n));
});
