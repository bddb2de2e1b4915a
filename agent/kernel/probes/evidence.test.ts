import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explain, obstacles } from './programs.js';
import { compiled, hasCompiler } from '../testing/attack.js';
import { Probe } from '../testing/probe.js';
import type { Seen } from '../testing/probe.js';

const missing = hasCompiler() ? obstacles() : [{ what: 'clang is not installed', fix: '' }];
if (missing.length > 0) console.log(`skipped: ${explain(missing)}`);

/** A filter that fakes the success of unlink, chmod and setxattr, and allows everything else. */
const lying = `
import ctypes, os, struct, platform
numbers = {"x86_64": (87, 263, 90, 268, 188), "aarch64": (35, 53, 5)}[platform.machine()]
code = struct.pack("HBBI", 0x20, 0, 0, 0)
for i, n in enumerate(numbers): code += struct.pack("HBBI", 0x15, len(numbers) - i, 0, n)
code += struct.pack("HBBI", 0x06, 0, 0, 0x7fff0000) + struct.pack("HBBI", 0x06, 0, 0, 0x00050000)
buffer = ctypes.create_string_buffer(code)
program = struct.pack("HxxxxxxQ", len(numbers) + 3, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
`;

describe.skipIf(missing.length > 0)('what may be false is marked', () => {
  let probe: Probe;
  let folder: string;
  beforeAll(() => {
    probe = new Probe();
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'steno-evidence-')));
  });
  afterAll(() => {
    probe.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('the word of a filter of system calls that the session installed', async () => {
    const kept = join(folder, 'kept');
    writeFileSync(kept, 'x');
    const path = JSON.stringify(kept);
    const { seen, code, output } = await probe.run('/usr/bin/python3', [
      '-c',
      `
${lying}
os.chmod(${path}, 0o777); os.setxattr(${path}, "user.x", b"y"); os.unlink(${path})
try: os.unlink(${path} + "/absent/really")
except OSError: pass
os.close(os.open(${path}, os.O_RDONLY))
`,
    ]);
    expect(code, output).toBe(0);
    // The file itself is the evidence.
    expect(existsSync(kept)).toBe(true);
    const told = seen
      .filter(({ kind, path: where }) => kind === 'file' && where === kept)
      .map(({ name, reason, outcome, data }) => [name, reason, outcome, data['filtered']]);
    expect(told).toEqual([
      ['chmod', 'unconfirmed', 'success', true],
      ['setxattr', 'user.x,unconfirmed', 'success', true],
      ['unlink', 'unconfirmed', 'success', true],
      ['open', 'read', 'success', true],
    ]);
    expect(seen.filter(({ kind, name, reason }) => kind === 'system' && name === 'prctl' && reason.startsWith('seccomp'))).toHaveLength(1);
  });

  it('the digest of an executable that a program serves', async ({ skip }) => {
    const mount = join(folder, 'served');
    mkdirSync(mount);
    const [echo, other] = [realpathSync('/bin/echo'), realpathSync('/bin/true')];
    const outcome = await probe.run(compiled('two-faces', folder), [mount, echo, other, join(mount, 'program'), 'executed']);
    spawnSync('umount', ['-l', mount], { stdio: 'ignore' });
    if (outcome.code === 77) {
      console.log('skipped: this machine has no FUSE');
      return skip();
    }
    // Its output is the evidence: the bytes of echo ran.
    expect(outcome.output).toContain('executed');
    const exec = outcome.seen.find(({ kind, path }) => kind === 'exec' && path === join(mount, 'program'))!;
    expect(exec).toMatchObject({ reason: 'served by a program', data: { filesystem: 'fuse' } });
    expect(exec.sha256 === '' || exec.data['sha256_unconfirmed'] === true).toBe(true);
    // An executable on a disk is not marked.
    expect(outcome.seen.find(({ kind, path }) => kind === 'exec' && path.endsWith('two-faces'))).toMatchObject({ reason: '' });
  });

  // Last: its effect on this test's thread cannot be undone.
  it('nothing by a filter that the node service itself is under, as in a container', async () => {
    const plain = async (): Promise<readonly Seen[]> => (await probe.sh(`touch ${folder}/plain; rm ${folder}/plain`)).seen;
    expect((await plain()).filter(({ data }) => data['filtered'] !== undefined)).toEqual([]);
    const libc = koffi.load('libc.so.6');
    const prctl = libc.func('int prctl(int option, unsigned long a, void *b, unsigned long c, unsigned long d)');
    // One instruction that allows everything (SECCOMP_RET_ALLOW).
    const code = Buffer.from('06000000' + '0000ff7f', 'hex');
    const program = Buffer.alloc(16);
    program.writeUInt16LE(1, 0);
    program.writeBigUInt64LE(koffi.address(code), 8);
    expect([prctl(38, 1, null, 0, 0), prctl(22, 2, program, 0, 0)]).toEqual([0, 0]);
    const seen = await plain();
    expect(readFileSync('/proc/thread-self/status', 'utf8')).toMatch(/^Seccomp:\s*2$/m);
    expect(
      seen
        .filter(({ name, path }) => name === 'unlink' && path === `${folder}/plain`)
        .map(({ reason, data }) => [reason, data['filtered']]),
    ).toEqual([['', undefined]]);
    // A further filter, installed by the session, counts as the session's.
    const more = await probe.run('/usr/bin/python3', ['-c', `${lying}\nos.unlink(${JSON.stringify(join(folder, 'kept'))})`]);
    expect(more.seen.filter(({ name }) => name === 'unlink').map(({ reason }) => reason)).toEqual(['unconfirmed']);
  });
});
