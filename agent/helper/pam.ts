/**
 * PAM's account phase for a login that needs no password: may this account be used now, from there? (pam_acct_mgmt(3):
 * expired accounts and passwords, pam_nologin, pam_access, pam_time, what a directory says.)
 *
 * Modules are other people's code: they block, change signal handlers and leak. So this runs in a helper that judges some
 * logins and ends, never in the node service. What modules say is collected; what they ask is not answered, and a module
 * that insists on an answer refuses. An expired password refuses too: nobody could change it here.
 * Tested in test/agent/admission.test.ts with real modules.
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
/** PAM's own bound (PAM_MAX_NUM_MSG). */
const MAX_MESSAGES = 32;
/** `struct pam_message` and `struct pam_response` of 64-bit systems: pointer and int, either way round. */
const PAIR = 16;

const conversation = koffi.proto('int steno_pam_conversation(int count, void **messages, _Out_ void **responses, void *data)');

export interface Judged {
  readonly judgement: Judgement;
  /** Printable, several lines perhaps; empty where PAM said nothing. */
  readonly text: string;
}

/** `service`: a file of /etc/pam.d. `host`: where the user comes from. Never throws; what goes wrong is `failed`. */
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

/** What the modules of this call have said: calls do not overlap. */
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
  // PAM frees it: empty answers, one for each message.
  const answers = libc().calloc(count, PAIR);
  if (answers === null) return PAM_BUF_ERR;
  koffi.encode(responses, 'void *', answers);
  return PAM_SUCCESS;
}, koffi.pointer(conversation));
/** `struct pam_conv`: our function, and nothing for it. */
const conv = Buffer.alloc(PAIR);
conv.writeBigUInt64LE(BigInt(koffi.address(converse)));

interface Pam {
  readonly start: (service: string, user: string, conversation: Buffer, handle: [unknown]) => number;
  readonly set: (handle: unknown, type: number, value: string) => number;
  readonly account: (handle: unknown, flags: number) => number;
  readonly words: (handle: unknown, code: number) => string | null;
  readonly end: (handle: unknown, status: number) => number;
}
/** Throws where there is no libpam. */
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

/** Of what a module says, what cannot steer a terminal. */
export function printable(text: string): string {
  return text
    .replace(/\r\n?/g, '\n')
    .replace(/[^\P{C}\n]/gu, '?')
    .trim()
    .slice(0, MAX_TEXT);
}
