/**
 * Whether an account may be used now, from an address: asked once the certificate is proven, before anything is accepted.
 *
 * Whatever follows on the connection (sessions, sftp, forwardings both ways, the agent) stands behind this. As sshd asks:
 * a login shell that is there and can run, nologin(5), then PAM's account phase in a helper, by the stack of the first
 * service that the machine has of `services`. Without PAM, shadow(5). Nobody to ask, an error, no answer in time: refused.
 * Tested in test/agent/admission.test.ts and shadow.test.ts.
 */
import { execFile } from 'node:child_process';
import { constants, existsSync, readFileSync } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StenoError } from '#schemas/base/errors.js';
import type { Account } from './account.js';
import type { Helpers } from '../helper/helper.js';
import { judgeShadow } from './shadow.js';

export interface AdmissionFiles {
  /** While one of these is there, nobody but root logs in; what it holds is said to them. */
  readonly nologin: readonly string[];
  /** Where PAM's stacks are, in the order in which libpam looks. */
  readonly pam: readonly string[];
  readonly pamConfiguration: string;
  /** PAM services: the first that has a stack is asked. */
  readonly services?: readonly string[];
}
const systemFiles: AdmissionFiles = {
  nologin: ['/etc/nologin', '/run/nologin'],
  pam: ['/etc/pam.d', '/usr/lib/pam.d'],
  pamConfiguration: '/etc/pam.conf',
};

/** An administrator may write a stack for Steno alone; else that of logins from afar. */
const services = ['steno', 'sshd', 'remote', 'login', 'su'] as const;
const MAX_NOLOGIN = 2_048;
/** Helpers that ask PAM at the same time; who comes then waits. */
const AT_A_TIME = 8;

/** Why a login is refused, with lines that the user is shown. */
export class LoginRefused extends StenoError {
  /** Printable; empty: no more than the code's own words. */
  readonly text: string;

  constructor(reason: string, text = '') {
    super('NODE_REFUSED', reason);
    this.text = text;
  }
}

export class Admission {
  readonly #helpers: Helpers;
  readonly #files: AdmissionFiles;
  #asking = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(helpers: Helpers, files: AdmissionFiles = systemFiles) {
    this.#helpers = helpers;
    this.#files = files;
  }

  /** Rejects with LoginRefused. `address`: where the connection comes from. */
  async judge(account: Account, address: string): Promise<void> {
    await mustRun(account.shell);
    const closed = account.uid === 0 ? undefined : this.#files.nologin.find((path) => existsSync(path));
    if (closed !== undefined) throw new LoginRefused(`${closed} is there: nobody but root logs in now`, printable(readStart(closed)));
    const service = this.#service();
    const { judgement, text } =
      service === null ? ({ judgement: 'absent', text: '' } as const) : await this.#ask(service, account.name, address);
    switch (judgement) {
      case 'allowed':
        return;
      case 'refused':
        throw new LoginRefused(`PAM (${service}) refuses ${account.name}${text === '' ? '' : `: ${text.replaceAll('\n', '; ')}`}`, text);
      case 'failed':
        throw new LoginRefused(`PAM (${service}) could not be asked about ${account.name}`, 'The account cannot be checked now.');
      case 'absent': {
        if (service !== null)
          throw new LoginRefused('there are PAM stacks, but libpam cannot be loaded', 'The account cannot be checked now.');
        const why = judgeShadow(await shadowOf(account.name), Math.floor(Date.now() / 86_400_000));
        if (why !== null) throw new LoginRefused(`shadow(5) refuses ${account.name}: ${why}`, why);
      }
    }
  }

  /** Null: this machine has no PAM. Where none of its stacks is known to us, `sshd`: libpam falls back to `other`. */
  #service(): string | null {
    const there = this.#files.pam.filter((folder) => existsSync(folder));
    const found = (this.#files.services ?? services).find((name) => there.some((folder) => existsSync(join(folder, name))));
    return found ?? (there.length > 0 || existsSync(this.#files.pamConfiguration) ? 'sshd' : null);
  }

  async #ask(service: string, user: string, host: string): ReturnType<Helpers['judge']> {
    if (this.#asking >= AT_A_TIME) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#asking += 1;
    try {
      return await this.#helpers.judge(service, user, host);
    } finally {
      this.#asking -= 1;
      this.#waiting.shift()?.();
    }
  }
}

/** A shell that is not there or cannot run lets nobody in, also not for forwardings; one that refuses says so itself. */
async function mustRun(shell: string): Promise<void> {
  try {
    if (!(await stat(shell)).isFile()) throw new Error('no file');
    await access(shell, constants.X_OK);
  } catch {
    throw new LoginRefused(`the account's shell ${shell} is not there or cannot run`);
  }
}

/** The entry of shadow(5), or null where there is none. Rejects with LoginRefused where nobody can say. */
function shadowOf(login: string): Promise<string | null> {
  return new Promise((resolve, reject) => {
    execFile('getent', ['shadow', '--', login], { timeout: 5_000, encoding: 'utf8', maxBuffer: 64 << 10 }, (error, stdout) => {
      // 2: no such key; also for who may not read it.
      if (error === null) resolve(stdout.trim());
      else if (error.code === 2) resolve(null);
      else reject(new LoginRefused('shadow(5) cannot be read'));
    });
  });
}

function readStart(path: string): string {
  try {
    return readFileSync(path, 'utf8').slice(0, MAX_NOLOGIN);
  } catch {
    return '';
  }
}

function printable(text: string): string {
  return text.replace(/[^\P{C}\n]/gu, '?').trim();
}
