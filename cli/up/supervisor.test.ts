/** The supervisor with small programs that speak the protocol of a stage. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openLog } from '#runtime/log.js';
import { startStage } from './supervisor.js';
import type { Stage } from './supervisor.js';

let folder: string;
let stage: Stage | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'steno-supervisor-'));
});
afterEach(async () => {
  await stage?.close();
  stage = undefined;
  rmSync(folder, { recursive: true, force: true });
});

/** Starts a stage whose `start` runs at each configuration; it knows the `number` of the start and the `pids` of all so far. */
function startWith(start: string): Stage {
  const module = join(folder, 'program.mjs');
  const starts = join(folder, 'starts');
  writeFileSync(
    module,
    `import { appendFileSync, readFileSync } from 'node:fs';
     const serve = () => process.send({ kind: 'ready', addresses: {} });
     const fail = () => process.send({ kind: 'failed', code: 'PORT_TAKEN', detail: 'taken' });
     process.on('disconnect', () => process.exit(0));
     process.on('message', ({ kind }) => {
       if (kind === 'close') process.exit(0);
       appendFileSync(${JSON.stringify(starts)}, process.pid + '\\n');
       const pids = readFileSync(${JSON.stringify(starts)}, 'utf8').trimEnd().split('\\n').map(Number);
       const number = pids.length;
       ${start}
     });`,
  );
  return startStage({ name: 'store', module, config: () => ({}), logFile: join(folder, 'log') }, openLog('test'));
}

const pids = (): number[] => readFileSync(join(folder, 'starts'), 'utf8').trimEnd().split('\n').map(Number);

const restart = (of: Stage): Promise<void> => new Promise((resolve) => of.onRestart(resolve));

test('a stage that is killed is started again', async () => {
  stage = startWith('serve();');
  await stage.ready;
  const again = restart(stage);
  process.kill(stage.pid!, 'SIGKILL');
  await again;
  expect(stage.pid).toBe(pids()[1]);
});

// The exit of the failed process was taken for the exit of the next one, whose pid was then missing in `run.json`.
test('a failed start that does not exit is killed before the next one begins, and the next one is known', async () => {
  const alive = join(folder, 'alive');
  stage = startWith(`
    if (number === 1) serve();
    else if (number === 2) {
      setInterval(() => undefined, 1000);
      fail();
    } else {
      const failed = pids[1];
      const runs = () => { try { process.kill(failed, 0); return true; } catch { return false; } };
      appendFileSync(${JSON.stringify(alive)}, String(runs()));
      if (runs()) process.kill(failed, 'SIGKILL');
      const gone = setInterval(() => { if (!runs()) { clearInterval(gone); serve(); } }, 5);
    }`);
  await stage.ready;
  const again = restart(stage);
  process.kill(stage.pid!, 'SIGKILL');
  await again;
  const [, , third] = pids();
  expect(stage.pid).toBe(third);
  expect(readFileSync(alive, 'utf8')).toBe('false');
  await stage.close();
  expect(existsSync(`/proc/${third}`)).toBe(false);
}, 30_000);

test('a first start that fails rejects with the error of the stage, and leaves no process', async () => {
  stage = startWith('fail(); process.exit(1);');
  await expect(stage.ready).rejects.toMatchObject({ code: 'PORT_TAKEN' });
  expect(stage.pid).toBe(undefined);
  expect(existsSync(`/proc/${pids()[0]}`)).toBe(false);
});
