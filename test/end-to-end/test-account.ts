/**
 * An additional account of the machine, with a shell, for users who do not administer Steno: they may not use root or the account
 * that runs Steno (authority/directory/own-machine.ts). Needs root.
 */
import { execFileSync, spawnSync } from 'node:child_process';

let count = 0;

export class TestAccount {
  readonly name = `stt${process.pid}n${count++}`;

  constructor() {
    if (process.getuid!() !== 0) throw new Error('this test makes an account of the machine, which needs root');
    execFileSync('useradd', ['-m', '-s', '/bin/bash', this.name]);
  }

  remove(): void {
    spawnSync('userdel', ['-r', this.name]);
  }
}
