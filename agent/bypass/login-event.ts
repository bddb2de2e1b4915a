/** Turns an observed login into its event. Tested in login-record.test.ts. */
import { isIP } from 'node:net';
import type { FreeEvent } from '#runtime/uplink/free-event-rows.js';
import type { LoginRecord } from './login-record.js';

export const doors = ['sshd', 'console', 'su', 'cron'] as const;
export type Door = (typeof doors)[number];

const MAX_NAME = 255;
const MAX_PATH = 4096;

function doorOf(program: string): Door {
  if (program === 'su') return 'su';
  if (program === 'cron' || program === 'crond') return 'cron';
  return program === 'login' || program === 'sulogin' ? 'console' : 'sshd';
}

/** `account`: the name of the uid on this machine; '' if it has none. `at`: ms since 1970. */
export function loginEvent(record: LoginRecord, account: string, at: number): FreeEvent {
  const { door, program, argv, argvCut, pid, doorPid, uid, variables } = record;
  const [address = '', port = ''] = door.startsWith('su') ? [] : (variables.get('SSH_CONNECTION') ?? '').split(' ');
  const isAddress = isIP(address) !== 0;
  const tty = variables.get('SSH_TTY');
  const asked = variables.get('SSH_ORIGINAL_COMMAND');
  return {
    kind: 'login',
    user: '',
    login: (account === '' ? `${uid}` : account).slice(0, MAX_NAME),
    at,
    name: doorOf(door),
    path: program.slice(0, MAX_PATH),
    outcome: 'success',
    reason: '',
    address: isAddress ? address : '',
    port: isAddress && /^\d{1,5}$/.test(port) && Number(port) <= 0xffff ? Number(port) : null,
    data: JSON.stringify({
      door,
      pid,
      door_pid: doorPid,
      uid,
      argv,
      ...(argvCut ? { argv_cut: true } : {}),
      ...(tty === undefined ? {} : { tty: tty.slice(0, MAX_NAME) }),
      ...(asked === undefined ? {} : { asked: asked.slice(0, MAX_PATH) }),
    }),
  };
}

/** A gap for logins that could not be recorded, with their `count`. */
export function lostLogins(count: number, at: number): FreeEvent {
  return { kind: 'gap', user: '', at, outcome: 'failure', name: 'logins_lost', reason: 'the ring of logins was full', count };
}
