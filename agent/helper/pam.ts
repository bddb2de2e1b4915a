/**
 * PAM's account phase for a login without a password: may this account be used now, from this address? (pam_acct_mgmt(3):
 * expired accounts and passwords, pam_nologin, pam_access, pam_time, directory policies.)
 *
 * Modules are third-party code: they block, change signal handlers and leak. This therefore runs in a helper that judges
 * some logins and exits, never in the node service. Messages of modules are collected; their questions are not answered, so
 * a module that insists on an answer refuses. An expired password is a refusal too, since it cannot be changed here. Tested
 * in test/agent/admission.test.ts with real modules.
 */
import koffi from 'koffi';
import { cFunctions } from '#runtime/c-library.js';
import type { Judgement } from './messages.js';
import { MAX_TEXT } from './messages.js';

const PAM_SUCCESS = 0;
const PAM_NEW_AUTHTOK_REQD = 12;
const PAM_CONV_ERR = 19;
const PAM_BUF_ERR = 5;
const item = { tty: 3, rhost: 4 } as const;
const style = { echoOff: 1, echoOn: 2, error: 3, info: 4 } as const;
/** PAM's own limit (PAM_MAX_NUM_MSG). */
const MAX_MESSAGES = 32;
/** Size of `struct pam_message` and `struct pam_response` on 64-bit systems: a pointer and an int, in either order. */
const PAIR = 16;

const conversation = koffi.proto('int steno_pam_conversation(int count, void **messages, _Out_ void **responses, void *data)');

export interface Judged {
  readonly judgement: Judgement;
  /** Printable, possibly several lines; empty if PAM printed nothing. */
  readonly text: string;
}

/** `service`: a file in /etc/pam.d. `host`: the user's address. Never throws; errors give `failed`. */
export function accountPhase(service: string, user: string, host: string): Judged {
  let library: Pam;
  try {
    library = pam();
  } catch {
    return { judgement: 'absent', text: '' };
  }
  said = [];
  try {
    return ask(library, service, user, host);
  } catch {
    return { judgement: 'failed', text: printable(said.join('\n')) };
  }
}

/** Messages of the modules during this call; calls do not overlap. */
let said: string[] = [];

const libc = cFunctions<{ readonly calloc: (count: number, size: number) => unknown }>(null, {
  calloc: 'void *calloc(size_t count, size_t size)',
});
const converse = koffi.register((count: number, messages: unknown, responses: unknown): number => {
  if (count <= 0 || count > MAX_MESSAGES) return PAM_CONV_ERR;
  const pointers = koffi.decode(messages, koffi.array('void *', count)) as readonly unknown[];
  let asked = false;
  for (const pointer of pointers) {
    const kind = koffi.decode(pointer, 0, 'int') as number;
    if (kind === style.info || kind === style.error) said.push((koffi.decode(pointer, 8, 'char *') as string | null) ?? '');
    else asked = true;
  }
  if (asked) return PAM_CONV_ERR;
  // PAM frees this: empty answers, one per message.
  const answers = libc().calloc(count, PAIR);
  if (answers === null) return PAM_BUF_ERR;
  koffi.encode(responses, 'void *', answers);
  return PAM_SUCCESS;
}, koffi.pointer(conversation));
/** `struct pam_conv`: our function, and no data for it. */
const conv = Buffer.alloc(PAIR);
conv.writeBigUInt64LE(BigInt(koffi.address(converse)));

interface Pam {
  readonly start: (service: string, user: string, conversation: Buffer, handle: [unknown]) => number;
  readonly set: (handle: unknown, type: number, value: string) => number;
  readonly account: (handle: unknown, flags: number) => number;
  readonly words: (handle: unknown, code: number) => string | null;
  readonly end: (handle: unknown, status: number) => number;
}
/** Throws if libpam is missing. */
const pam = cFunctions<Pam>('libpam.so.0', {
  start: 'int pam_start(const char *service, const char *user, void *conversation, _Out_ void **handle)',
  set: 'int pam_set_item(void *handle, int type, const char *value)',
  account: 'int pam_acct_mgmt(void *handle, int flags)',
  words: 'const char *pam_strerror(void *handle, int code)',
  end: 'int pam_end(void *handle, int status)',
});

function ask({ start, set, account, words, end }: Pam, service: string, user: string, host: string): Judged {
  const out: [unknown] = [null];
  if (start(service, user, conv, out) !== PAM_SUCCESS) return { judgement: 'failed', text: '' };
  const [handle] = out;
  let code = PAM_SUCCESS;
  try {
    code = set(handle, item.tty, 'ssh');
    if (code === PAM_SUCCESS && host !== '') code = set(handle, item.rhost, host);
    if (code !== PAM_SUCCESS) return { judgement: 'failed', text: '' };
    code = account(handle, 0);
    if (code === PAM_SUCCESS) return { judgement: 'allowed', text: printable(said.join('\n')) };
    if (said.join('').trim() === '') said.push(words(handle, code) ?? '');
    if (code === PAM_NEW_AUTHTOK_REQD) said.push('The password must be changed first, which cannot be done here.');
    return { judgement: 'refused', text: printable(said.join('\n')) };
  } finally {
    end(handle, code);
  }
}

/** The part of a module's message that cannot control a terminal. */
export function printable(text: string): string {
  return text
    .replace(/\r\n?/g, '\n')
    .replace(/[^\P{C}\n]/gu, '?')
    .trim()
    .slice(0, MAX_TEXT);
}
