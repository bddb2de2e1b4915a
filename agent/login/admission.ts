/**
 * Decides whether an account may be used now, from an address; called once the certificate is proven, before anything is
 * accepted.
 *
 * Everything else on the connection (sessions, sftp, forwarding in both directions, the agent) depends on this. The checks
 * follow sshd: the login shell must exist and be executable, nologin(5), then PAM's account phase in a helper, using the
 * stack of the first of `services` that the machine has. Without PAM, shadow(5). An error, a missing answer or nothing to
 * ask means refusal. Tested in test/agent/admission.test.ts and shadow.test.ts.
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
  /** While one of these files exists, only root may log in; its contents are shown to others. */
  readonly nologin: readonly string[];
  /** Folders of PAM stacks, in libpam's order. */
  readonly pam: readonly string[];
  readonly pamConfiguration: string;
  /** PAM services: the first one with a stack is used. */
  readonly services?: readonly string[];
}
const systemFiles: AdmissionFiles = {
  nologin: ['/etc/nologin', '/run/nologin'],
  pam: ['/etc/pam.d', '/usr/lib/pam.d'],
  pamConfiguration: '/etc/pam.conf',
};

/** An administrator may write a stack for Steno alone; otherwise the stacks for remote logins apply. */
const services = ['steno', 'sshd', 'remote', 'login', 'su'] as const;
const MAX_NOLOGIN = 2_048;
/** Helpers that query PAM concurrently; further logins wait. */
const AT_A_TIME = 8;

/** The reason for refusing a login, with text to show to the user. */
export class LoginRefused extends StenoError {
  /** Printable; empty: only the code's own message is shown. */
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

  /** Rejects with LoginRefused. `address`: the client's address. */
  async judge(account: Account, address: string): Promise<void> {
    await mustRun(account.shell);
    const closed = account.uid === 0 ? undefined : this.#files.nologin.find((path) => existsSync(path));
    if (closed !== undefined) throw new LoginRefused(`${closed} exists: only root may log in now`, printable(readStart(closed)));
    const service = this.#service();
    const { judgement, text } =
      service === null ? ({ judgement: 'absent', text: '' } as const) : await this.#ask(service, account.name, address);
    switch (judgement) {
      case 'allowed':
        return;
      case 'refused':
        throw new LoginRefused(`PAM (${service}) refuses ${account.name}${text === '' ? '' : `: ${text.replaceAll('\n', '; ')}`}`, text);
      case 'failed':
        throw new LoginRefused(`PAM (${service}) gave no answer about ${account.name}`, 'The account cannot be checked now.');
      case 'absent': {
        if (service !== null)
          throw new LoginRefused('there are PAM stacks, but libpam cannot be loaded', 'The account cannot be checked now.');
        const why = judgeShadow(await shadowOf(account.name), Math.floor(Date.now() / 86_400_000));
        if (why !== null) throw new LoginRefused(`shadow(5) refuses ${account.name}: ${why}`, why);
      }
    }
  }

  /** Null: this machine has no PAM. If no known stack exists, `sshd`: libpam falls back to `other`. */
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

/**
 * A shell that is missing or not executable admits nobody, not even for forwarding; a shell that refuses logins explains
 * that itself.
 */
async function mustRun(shell: string): Promise<void> {
  try {
    if (!(await stat(shell)).isFile()) throw new Error('no file');
    await access(shell, constants.X_OK);
  } catch {
    throw new LoginRefused(`the account's shell ${shell} is not there or cannot run`);
  }
}

/** The shadow(5) entry, or null if there is none. Rejects with LoginRefused if it cannot be read. */
function shadowOf(login: string): Promise<string | null> {
  return new Promise((resolve, reject) => {
    execFile('getent', ['shadow', '--', login], { timeout: 5_000, encoding: 'utf8', maxBuffer: 64 << 10 }, (error, stdout) => {
      // 2: no such key; also returned when the caller may not read it.
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
