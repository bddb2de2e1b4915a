import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWorld } from './testing/harness.js';
import type { World } from './testing/harness.js';

let world: World;
beforeAll(async () => { world = await openWorld(); });
afterAll(() => world.close());

const ssh = (...args: string[]) => world.run('ssh', ['-F', world.sshConfig, ...args]);

describe('ways to a node', () => {
  it.each([
    ['ssh -J', ['root@node-1', 'echo hello']],
    ['the pseudo domain', ['root@node-1.steno', 'echo hello']],
    ['login@node@gateway', ['-l', 'root@node-1', 'gw', 'echo hello']],
  ])('%s runs a command', async (_name, args) => {
    const { status, stdout, stderr } = await ssh(...args);
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'hello\n', stderr: '' });
  });
});
